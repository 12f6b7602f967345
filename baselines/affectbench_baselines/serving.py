"""Networks of this package as models that affectbench runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from affectbench.adapters.network import AdaptedNetwork
from affectbench.adapters.syntax import require_scale
from affectbench.assets.untrusted import read_weights
from affectbench.errors import InputError, WeightsError
from affectbench.types import Model, ModelSpec
from affectbench_baselines.network import Network
from affectbench_baselines.rrdbnet.layouts import config_of, weights_of
from affectbench_baselines.rrdbnet.network import RRDBNet
from affectbench_baselines.sadn.network import SADN
from affectbench_baselines.weights import Header, load_network

SCALES_OF_SADN = (1.0, 8.0)


class LargeEnough:
    """A network that refuses LR faces too small to be one, by name."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """SR of LR; InputError for a side under the network's smallest."""
        height, width = lr.shape[-2:]
        smallest = self.network.smallest_lr
        if min(height, width) < smallest:
            raise InputError(
                f"{self.name}: the LR face is {width}x{height} pixels; at least "
                f"{smallest}x{smallest} are needed to see a face"
            )
        return self.enlarged(lr)

    def enlarged(self, lr: torch.Tensor) -> torch.Tensor:
        """What the network makes of LR."""
        return cast(torch.Tensor, self.network(lr))


class AnyScale(LargeEnough):
    """SADN at one of its scales."""

    def __init__(self, network: SADN, name: str, scale: int) -> None:
        super().__init__(network, name)
        low, high = SCALES_OF_SADN
        if not low <= scale <= high:
            raise InputError(f"{name}: serves scales from {low:g} to {high:g}, not {scale}")
        self.scale = scale

    def enlarged(self, lr: torch.Tensor) -> torch.Tensor:
        """SR of `scale` times the size of LR."""
        size = (lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)
        return cast(SADN, self.network).details(lr, size).sr


def load_file(path: Path, header: Header | None) -> Network:
    """The network of a weights file of this package, or of a public RRDBNet (no header)."""
    return _public_rrdbnet(path) if header is None else load_network(path, header)


def served(network: Network, spec: ModelSpec, scale: int, then: str | None) -> Model:
    """A network as a model for a scale; InputError if it does not serve that one."""
    parameters = sum(p.numel() for p in network.parameters())
    spec = replace(spec, parameters=parameters, size_multiple=network.size_multiple)
    if isinstance(network, SADN):
        return AdaptedNetwork(AnyScale(network, spec.name, scale), spec, scale)
    require_scale(network.scale, scale, then, spec.name)
    spec = replace(spec, scale=network.scale)
    return AdaptedNetwork(LargeEnough(network, spec.name), spec, scale, then)


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
