"""GFPGAN, CodeFormer, RestoreFormer and Real-ESRGAN with the user's weights: `gfpgan@weights=FILE`.

Read through spandrel, which knows the architectures; CodeFormer needs the package
spandrel_extra_arches beside it, which is not installed with this one because the terms of some of
its architectures (CodeFormer's own among them) forbid commercial use.

The three restorers take an aligned 512-pixel face in [-1, 1]. spandrel hands GFPGAN and CodeFormer
the values as they are and clamps the result to [0, 1]; here the networks are called directly and
converted both ways. LR is brought to 512 by Pillow's bicubic, in floating point, and the result to
the size asked for. They were trained on FFHQ's alignment, which benchmark faces do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.adapters.syntax import kernel_option, require_known, require_scale
from affectbench.assets import sha256_of
from affectbench.errors import InputError, WeightsError
from affectbench.types import Model, ModelPlugin, ModelSpec, content_id

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Restorer:
    """A public architecture: how spandrel names it, what is known of its public weights.

    `face` is for those that restore a 512-pixel face; the other enlarges an image.
    """

    name: str
    title: str
    architecture: str
    licence: str
    trained_on: tuple[str, ...]
    trained_against: tuple[str, ...]
    face: bool = True


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
    ),
)
_RULES = "restorers/1"


def plugin(restorer: Restorer) -> ModelPlugin:
    """The plug-in of a public architecture."""
    name = restorer.name
    own = ("then",) if not restorer.face else ("w",) if name == "codeformer" else ()

    def describe(_scale: int, options: Mapping[str, str]) -> ModelSpec:
        require_known(options, ("name", "weights", *own), name)
        kernel_option(options, name)
        _fidelity(options)
        if "weights" not in options:
            raise WeightsError(
                f"{name}: its weights do not come with this package; get them from their authors "
                f"and write {name}@weights=FILE"
            )
        path = Path(options["weights"])
        if not path.is_file():
            raise WeightsError(f"{path}: no such file")
        digest = sha256_of(path)
        decided = {key: options[key] for key in own if key in options}
        content = {"rules": _RULES, "restorer": name, "weights": digest, "options": decided}
        return ModelSpec(
            name=name,
            scale=None,
            revision=content_id(content),
            licence=restorer.licence,
            weights_sha256=digest,
            trained_on=restorer.trained_on,
            trained_against=restorer.trained_against,
            note="training data and losses as published; the file is the user's",
        )

    def load(scale: int, options: Mapping[str, str], device: torch.device) -> Model:
        from affectbench.adapters.network import AdaptedNetwork
        from affectbench_baselines.restorers.network import FaceRestorer, recognised

        spec = describe(scale, options)
        descriptor = recognised(options["weights"], restorer, device)
        parameters = sum(p.numel() for p in descriptor.model.parameters())
        spec = replace(spec, parameters=parameters)
        if restorer.face:
            network = FaceRestorer(descriptor.model, name, scale, _fidelity(options))
            return AdaptedNetwork(network, spec, scale)
        then = options.get("then")
        require_scale(descriptor.scale, scale, then, f"{name}@weights={options['weights']}")
        multiple = descriptor.size_requirements.multiple_of
        spec = replace(spec, scale=descriptor.scale, size_multiple=multiple)
        return AdaptedNetwork(descriptor, spec, scale, then)

    return ModelPlugin(name, f"{restorer.title}, with @weights=FILE", describe, load)


def _fidelity(options: Mapping[str, str]) -> float:
    """CodeFormer's w: 0 is its prior alone, 1 follows the input most; 0.5 as published."""
    text = options.get("w", "0.5")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise InputError(f"codeformer: @w={text} is not a number from 0 to 1")
    return value


GFPGAN, CODEFORMER, RESTOREFORMER, REAL_ESRGAN = (plugin(restorer) for restorer in RESTORERS)
