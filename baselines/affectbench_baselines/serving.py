"""Expose the networks of this package as models for affectbench."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from affectbench.adapters.adapted import AdaptedNetwork
from affectbench.adapters.syntax import require_scale
from affectbench.assets.untrusted import read_weights
from affectbench.errors import InputError, WeightsError
from affectbench.types import Model, ModelSpec
from affectbench_baselines.base import Network
from affectbench_baselines.header import Header
from affectbench_baselines.rrdbnet.layouts import config_of, weights_of
from affectbench_baselines.rrdbnet.network import RRDBNet
from affectbench_baselines.sadn.network import SADN
from affectbench_baselines.weights import load_network

SCALES_OF_SADN = (1.0, 8.0)


class FaceModel:
    """An adapted network that rejects LR faces below its smallest side before they are padded."""

    def __init__(self, adapted: AdaptedNetwork, smallest: int) -> None:
        self.adapted, self.spec, self._smallest = adapted, adapted.spec, smallest

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR of LR; InputError for a side below the smallest."""
        height, width = lr.shape[-2:]
        if min(height, width) < self._smallest:
            raise InputError(
                f"{self.spec.name}: the LR face is {width}x{height} pixels; at least "
                f"{self._smallest}x{self._smallest} are needed to see a face"
            )
        return self.adapted(lr)


@dataclass(frozen=True)
class AtScale:
    """SADN at a fixed scale."""

    network: SADN
    scale: int

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR of `scale` times the size of LR."""
        size = (lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)
        return self.network.details(lr, size).sr


def load_served(
    path: Path,
    header: Header | None,
    spec: ModelSpec,
    *,
    scale: int,
    then: str | None,
    device: torch.device,
) -> Model:
    """Return the network of a weights file of this package, or of a public RRDBNet (no header).

    Raises InputError if it does not support that scale.
    """
    network = _public_rrdbnet(path) if header is None else load_network(path, header)
    return _served(network.to(device), spec, scale, then)


def _served(network: Network, spec: ModelSpec, scale: int, then: str | None) -> Model:
    parameters = sum(p.numel() for p in network.parameters())
    spec = replace(spec, parameters=parameters, size_multiple=network.size_multiple)
    if isinstance(network, SADN):
        low, high = SCALES_OF_SADN
        if not low <= scale <= high:
            raise InputError(f"{spec.name}: serves scales from {low:g} to {high:g}, not {scale}")
        return FaceModel(AdaptedNetwork(AtScale(network, scale), spec, scale), network.smallest_lr)
    require_scale(network.scale, scale, then, spec.name)
    spec = replace(spec, scale=network.scale)
    return FaceModel(AdaptedNetwork(network, spec, scale, then), network.smallest_lr)


def _public_rrdbnet(path: Path) -> RRDBNet:
    weights = weights_of(read_weights(path), str(path))
    try:
        network = RRDBNet(config_of(weights, str(path)))
        network.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: are not weights of an RRDBNet ({error})") from error
    if network.config.unshuffle > 1:
        network.size_multiple = network.config.unshuffle
    return network.eval().requires_grad_(False)
