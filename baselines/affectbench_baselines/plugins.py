"""Entry points: every trained variant as an affectbench plug-in. Nothing here imports torch.

`NAME` uses the weights shipped with this package; `NAME@weights=FILE` uses those of a training run,
or, for `rrdbnet`, any public ESRGAN or Real-ESRGAN file. `@then=KERNEL` resizes the result of a
network of another scale to the requested one. A variant without weights is listed as untrained, and
requesting it is an error that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.adapters.syntax import kernel_option, require_known
from affectbench.assets import sha256_of
from affectbench.errors import InputError, WeightsError
from affectbench.registry import Late
from affectbench.types import Model, ModelPlugin, ModelSpec, content_id
from affectbench_baselines.header import Header, read_header
from affectbench_baselines.variants import VARIANTS, weights_of

if TYPE_CHECKING:
    import torch

LICENCE = "research use: trained on CelebA"
_HOME = Path(__file__).parent
_OPTIONS = ("name", "weights", "then")
_RULES = "affectbench-baselines/1"
"""Changes when the same weights produce other outputs."""


_load_served = Late("affectbench_baselines.serving:load_served")


def weights_path(name: str, home: Path = _HOME) -> Path:
    """Return the path of a variant's trained weights in this package."""
    return home / VARIANTS[name].family / "weights" / f"{name}.safetensors"


def trained(name: str) -> dict[int, Path]:
    """Return the weights of a model in this package, by scale."""
    paths = {scale: weights_path(variant) for scale, variant in weights_of(name).items()}
    return {scale: path for scale, path in sorted(paths.items()) if path.is_file()}


def plugin(name: str) -> ModelPlugin:
    """Return the plug-in of a variant."""

    def describe(scale: int, options: Mapping[str, str]) -> ModelSpec:
        require_known(options, _OPTIONS, name)
        kernel_option(options, name)
        path = _file(name, scale, options)
        return _spec(name, path, _header(name, path), options)

    def load(scale: int, options: Mapping[str, str], device: torch.device) -> Model:
        spec = describe(scale, options)
        path = _file(name, scale, options)
        header = _header(name, path)
        model: Model = _load_served(
            path, header, spec, scale=scale, then=options.get("then"), device=device
        )
        return model

    title = VARIANTS[name].title
    if not trained(name):
        title += " (untrained: no weights in this version)"
    return ModelPlugin(name, title, describe, load)


def scale_of(header: Header) -> int:
    """Return the scale that a network was built for."""
    settings = header.settings
    return int(settings.get("backbone", settings)["scale"])


def size_multiple_of(header: Header) -> int:
    """Return what the sides of LR are padded to a multiple of: two halvings need 4."""
    halves = header.network == "wnet" or (
        header.network == "affectsrnet" and "backbone" not in header.settings
    )
    return 4 if halves else 1


def _file(name: str, scale: int, options: Mapping[str, str]) -> Path:
    """Return the path of the requested weights, by default those for the scale.

    Raises WeightsError if this model has none yet, InputError if it has none for that scale and no
    `@then=` resizes the result of another one.
    """
    if "weights" in options:
        return Path(options["weights"])
    paths = trained(name)
    if not paths:
        raise WeightsError(
            f"{name}: is not trained yet, this version of affectbench-baselines has no weights of "
            f"it; train it ('python -m affectbench_baselines.train {name} --help') and use "
            f"{name}@weights=FILE"
        )
    if name == "sadn":  # one file serves all scales
        return next(iter(paths.values()))
    if scale not in paths and "then" not in options:
        known = " and ".join(f"x{known}" for known in paths)
        raise InputError(
            f"{name}: has weights for {known}, not for x{scale}; use --scale {max(paths)}, or add "
            "@then=bicubic (or lanczos, nearest) to resize the result"
        )
    return paths.get(scale, paths[max(paths)])


def _header(name: str, path: Path) -> Header | None:
    """Return a file's header; None for a public RRDBNet. WeightsError for another network."""
    header = read_header(path)
    family = VARIANTS[name].family
    if header is None:
        if family != "rrdbnet":
            raise WeightsError(f"{path}: is no weights file of {family} in this package")
        if not path.is_file():
            raise WeightsError(f"{path}: no such file")
    elif header.network != family:
        raise WeightsError(f"{path}: are weights of {header.network}, not of {family}")
    return header


def _spec(name: str, path: Path, header: Header | None, options: Mapping[str, str]) -> ModelSpec:
    digest = sha256_of(path)
    content = {"rules": _RULES, "weights": digest, "then": options.get("then")}
    if header is None:
        return ModelSpec(name, None, content_id(content), weights_sha256=digest)
    family = header.network
    return ModelSpec(
        name=name,
        scale=None if family == "sadn" else scale_of(header),
        revision=content_id(content),
        licence=LICENCE,
        size_multiple=size_multiple_of(header),
        weights_sha256=digest,
        trained_on=header.trained_on,
        trained_against=header.trained_against,
        note=f"{header.note}, {header.faces:,} faces seen",
    )


RRDBNET = plugin("rrdbnet")
RRDBNET_EMOTION = plugin("rrdbnet-emotion")
AFFECTSRNET = plugin("affectsrnet")
AFFECTSRNET_NOEMOTION = plugin("affectsrnet-noemotion")
WNET = plugin("wnet")
WNET_EMOTION = plugin("wnet-emotion")
FADN = plugin("fadn")
FADN_EMOTION = plugin("fadn-emotion")
SADN = plugin("sadn")
