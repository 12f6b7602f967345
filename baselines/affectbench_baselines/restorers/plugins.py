"""GFPGAN, CodeFormer, RestoreFormer, Real-ESRGAN with a user's weights: `gfpgan@weights=FILE`.

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
        spec = describe(scale, options)
        model: Model = _load_restorer(restorer, spec, scale, options, device)
        return model

    return ModelPlugin(name, f"{restorer.title}, with @weights=FILE", describe, load)


GFPGAN, CODEFORMER, RESTOREFORMER, REAL_ESRGAN = (plugin(restorer) for restorer in RESTORERS)
