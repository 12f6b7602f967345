"""GFPGAN, CodeFormer, RestoreFormer, Real-ESRGAN with a user's weights: `gfpgan@weights=FILE`.

Real-ESRGAN needs no weights of the user after `affectbench assets fetch real-esrgan-x4plus`.

Loaded through spandrel, which recognises the architectures. CodeFormer also needs the package
spandrel_extra_arches, which is not a dependency because the licences of some of its architectures
(CodeFormer's own among them) forbid commercial use.

The three restorers take an aligned 512-pixel face in [-1, 1]. spandrel passes values to GFPGAN and
CodeFormer unchanged and clamps the result to [0, 1]; here the networks are called directly, with
conversion in both directions. LR is resized to 512 by Pillow's bicubic in floating point, and the
result to the requested size. They were trained on FFHQ's alignment, which benchmark faces lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.adapters.syntax import kernel_option, require_known
from affectbench.assets import sha256_of
from affectbench.errors import WeightsError
from affectbench.registry import Late
from affectbench.types import Model, ModelPlugin, ModelSpec, content_id
from affectbench_baselines.restorers.catalogue import RESTORERS, Restorer, fidelity

if TYPE_CHECKING:
    import torch


_RULES = "restorers/1"
_load_restorer = Late("affectbench_baselines.restorers.adapted:load_restorer")


def plugin(restorer: Restorer) -> ModelPlugin:
    """Return the plug-in of a public architecture."""
    name = restorer.name
    own = ("then",) if not restorer.face else ("w",) if name == "codeformer" else ()

    def describe(_scale: int, options: Mapping[str, str]) -> ModelSpec:
        require_known(options, ("name", "weights", *own), name)
        kernel_option(options, name)
        fidelity(options)
        digest, whose = _weights(restorer, options)
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
            note=f"training data and losses as published; {whose}",
        )

    def load(scale: int, options: Mapping[str, str], device: torch.device) -> Model:
        spec = describe(scale, options)
        model: Model = _load_restorer(restorer, spec, scale, options, device)
        return model

    fetched = f"fetched as {restorer.published.asset.name}, or " if restorer.published else ""
    return ModelPlugin(name, f"{restorer.title}, {fetched}with @weights=FILE", describe, load)


def _weights(restorer: Restorer, options: Mapping[str, str]) -> tuple[str, str]:
    """The SHA-256 of the weights that are asked for, and whose they are; WeightsError if none."""
    if "weights" in options:
        path = Path(options["weights"])
        if not path.is_file():
            raise WeightsError(f"{path}: no such file")
        return sha256_of(path), "the file is the user's"
    if restorer.published is None:
        raise WeightsError(
            f"{restorer.name}: its weights do not come with this package; get them from their "
            f"authors and write {restorer.name}@weights=FILE"
        )
    asset = restorer.published.asset
    return asset.verified()[1], asset.source.origin


GFPGAN, CODEFORMER, RESTOREFORMER, REAL_ESRGAN, REAL_ESRGAN_ANIME = map(plugin, RESTORERS)
