"""Adapters of the restorers: value range, size and deterministic noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from affectbench.adapters.adapted import AdaptedNetwork, resample
from affectbench.adapters.syntax import require_scale
from affectbench.assets.untrusted import read_weights
from affectbench.errors import MissingExtraError, MissingPackageError, WeightsError
from affectbench.types import ModelSpec
from affectbench_baselines.restorers.catalogue import Restorer, fidelity
from affectbench_baselines.rrdbnet.ncnn import read_values
from affectbench_baselines.rrdbnet.network import RRDBConfig

SIZE = 512


class FaceRestorer:
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w) via a 512-pixel face in [-1, 1]."""

    def __init__(self, network: nn.Module, name: str, scale: int, w: float = 0.5) -> None:
        self.network, self.scale = network, scale
        self._options: dict[str, Any] = {}
        if name == "gfpgan":
            # Its decoder adds noise, which must be identical for identical faces.
            self._options = {"randomize_noise": False}
        elif name == "codeformer":
            self._options = {"weight": w}

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR of LR, one face at a time, since 512 pixels take much memory."""
        height, width = (side * self.scale for side in lr.shape[-2:])
        large = resample(lr, SIZE, SIZE, "bicubic").clamp(0.0, 1.0)
        faces = [self.network(face[None] * 2.0 - 1.0, **self._options)[0] for face in large]
        restored = ((torch.cat(faces) + 1.0) / 2.0).clamp(0.0, 1.0)
        return resample(restored, height, width, "bicubic")


def load_restorer(
    restorer: Restorer,
    spec: ModelSpec,
    scale: int,
    options: Mapping[str, str],
    device: torch.device,
) -> AdaptedNetwork:
    """Return the model of a restorer, by default with its published weights.

    Raises InputError for another scale, WeightsError for weights that are not its own.
    """
    if "weights" in options:
        argument = f"{restorer.name}@weights={options['weights']}"
        descriptor = _recognised(
            read_weights(options["weights"]), options["weights"], restorer, device
        )
    else:
        argument = restorer.name
        descriptor = _recognised(published_weights(restorer), argument, restorer, device)
    parameters = sum(p.numel() for p in descriptor.model.parameters())
    spec = replace(spec, parameters=parameters)
    if restorer.face:
        network = FaceRestorer(descriptor.model, restorer.name, scale, fidelity(options))
        return AdaptedNetwork(network, spec, scale)
    then = options.get("then")
    require_scale(descriptor.scale, scale, then, argument)
    multiple = descriptor.size_requirements.multiple_of
    spec = replace(spec, scale=descriptor.scale, size_multiple=multiple)
    return AdaptedNetwork(descriptor, spec, scale, then)


def published_weights(restorer: Restorer) -> dict[str, torch.Tensor]:
    """Return the RRDBNet weights that were fetched from a package, under BasicSR's names."""
    if restorer.published is None:
        raise WeightsError(f"{restorer.name}: no weights of it are published in a package")
    path, _ = restorer.published.asset.verified()
    config = RRDBConfig(blocks=restorer.published.blocks)
    return read_values(path.read_bytes(), config, str(path))


def _recognised(
    weights: Mapping[str, Any], path: str, restorer: Restorer, device: torch.device
) -> Any:
    """Return spandrel's descriptor of weights; WeightsError if they are of another architecture."""
    try:
        from spandrel import MAIN_REGISTRY, ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise MissingExtraError(restorer.name, "checkpoint") from error
    if restorer.architecture == "CodeFormer":
        try:
            import spandrel_extra_arches
        except ImportError as error:
            raise MissingPackageError("codeformer", "spandrel_extra_arches") from error
        spandrel_extra_arches.install(ignore_duplicates=True)
    try:
        loader = ModelLoader(device, registry=MAIN_REGISTRY)
        descriptor = loader.load_from_state_dict(dict(weights))
    except UnsupportedModelError:
        raise WeightsError(f"{path}: spandrel does not know this architecture") from None
    except Exception as error:
        raise WeightsError(f"{path}: are not weights of {restorer.title} ({error})") from error
    found = descriptor.architecture.name
    if found != restorer.architecture:
        raise WeightsError(f"{path}: are weights of {found}, not of {restorer.title}")
    descriptor.model.eval().requires_grad_(False)
    return descriptor
