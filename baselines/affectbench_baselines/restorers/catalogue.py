"""The public restorers: names, licences and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from affectbench.errors import InputError
from affectbench_baselines.restorers.real_esrgan import X4PLUS, X4PLUS_ANIME, Published


@dataclass(frozen=True)
class Restorer:
    """A public architecture: its spandrel name, and the facts about its public weights.

    `face` marks those that restore a 512-pixel face; the others upscale an image. `published`
    are weights that can be fetched, and are used where the user names none.
    """

    name: str
    title: str
    architecture: str
    licence: str
    trained_on: tuple[str, ...]
    trained_against: tuple[str, ...]
    face: bool = True
    published: Published | None = None


RESTORERS = (
    Restorer(
        "gfpgan",
        "GFPGAN (Wang et al., 2021)",
        "GFPGAN",
        "Apache-2.0",
        ("ffhq",),
        ("vgg19", "arcface"),
    ),
    Restorer(
        "codeformer",
        "CodeFormer (Zhou et al., 2022)",
        "CodeFormer",
        "S-Lab 1.0 (non-commercial)",
        ("ffhq",),
        ("lpips-vgg",),
    ),
    Restorer(
        "restoreformer",
        "RestoreFormer (Wang et al., 2022)",
        "RestoreFormer",
        "Apache-2.0",
        ("ffhq",),
        ("vgg19", "arcface"),
    ),
    Restorer(
        "real-esrgan",
        "Real-ESRGAN (Wang et al., 2021)",
        "ESRGAN",
        "BSD-3-Clause",
        ("div2k", "flickr2k", "outdoor-scene-training"),
        ("vgg19",),
        face=False,
        published=X4PLUS,
    ),
    Restorer(
        "real-esrgan-anime",
        "Real-ESRGAN for drawn pictures (Wang et al., 2021)",
        "ESRGAN",
        "BSD-3-Clause",
        ("unpublished-drawings",),
        ("vgg19",),
        face=False,
        published=X4PLUS_ANIME,
    ),
)


def fidelity(options: Mapping[str, str]) -> float:
    """Return CodeFormer's w: 0 uses its prior alone, 1 follows the input most; 0.5 as published."""
    text = options.get("w", "0.5")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise InputError(f"codeformer: @w={text} is not a number from 0 to 1")
    return value
