"""The one wrapper between a network and the `Judge` that everything else talks to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from affectbench.assets.weights import load_safetensors
from affectbench.errors import InputError, listed
from affectbench.images.luma import DIVISOR, THOUSANDTHS
from affectbench.images.tensors import resized
from affectbench.types import Colour, JudgeSpec


class NetworkJudge:
    """A judge whose logits are a network's, frozen and in eval mode.

    `network` takes faces (N, C, S, S) in [0, 1], with C = 1 for a grey judge, else 3, and
    S = `spec.input_size`; it gives logits (N, K) in the order of `native_classes`. The judge
    gives them in the order of `spec.classes`, divided by `spec.temperature`.
    """

    def __init__(
        self,
        spec: JudgeSpec,
        network: nn.Module,
        native_classes: Sequence[str],
        device: torch.device,
    ) -> None:
        self.spec = spec
        self._network = network.to(device).eval().requires_grad_(False)
        order = [native_classes.index(name) for name in spec.classes]
        self._order = torch.tensor(order, device=device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes, in the order of the logits."""
        return self.spec.classes

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Class logits (N, K), temperature applied, of face crops (N, 3, H, W) in [0, 1].

        Crops of any size: they are converted to the judge's colour and resized to its input.
        Differentiable with respect to `x`, which has to be on the judge's device. The range is
        not checked, as a network in training overshoots it.

        Raises InputError for another shape or type, and for logits that are NaN or infinite,
        naming the image by its place in `x`. Only while `x` has a gradient do they pass: there
        NaN tells a gradient scaler to skip the step.
        """
        return self.logits_of(self.outputs(x))

    def logits_of(self, outputs: torch.Tensor) -> torch.Tensor:
        """The class logits (N, K) in the network's `outputs`; errors as in `logits`."""
        logits = outputs.index_select(1, self._order) / self.spec.temperature
        if not logits.requires_grad:
            _require_finite(logits, self.spec.name)
        return logits

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """What the network itself says, in its own order, of face crops (N, 3, H, W) in [0, 1]."""
        return cast(torch.Tensor, self._network(self._inputs(x)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Features (N, D), which the last layer decides on, of face crops (N, 3, H, W) in [0, 1].

        Differentiable like `logits`. Raises InputError for another shape or type, and for a judge
        that gives none (`spec.features` is 0).
        """
        if not self.spec.features:
            raise InputError(f"judge '{self.spec.name}' gives no features")
        return cast(torch.Tensor, cast(Any, self._network).features(self._inputs(x)))

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        _require_batch(x)
        return resized(coloured(x.to(torch.float32), self.spec.colour), self.spec.input_size)

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """Class probabilities (N, K) of face crops (N, 3, H, W) in [0, 1]: softmax of `logits`."""
        return self.logits(x).softmax(1)


def load_network(build: Callable[[], nn.Module], weights: Path, sha256: str) -> nn.Module:
    """The network that `build` makes, with the weights of a verified safetensors file.

    The caller's random state stays as it is: the initial weights of `build` are thrown away.
    """
    tensors = load_safetensors(weights, sha256)
    with torch.random.fork_rng(devices=[]):
        network = build()
    network.load_state_dict(tensors)
    return network


def coloured(x: torch.Tensor, colour: Colour) -> torch.Tensor:
    """RGB faces (N, 3, H, W) as they are, or their BT.601 luma (N, 1, H, W).

    Grey is 0.299 R + 0.587 G + 0.114 B, with the range of the input.
    """
    if colour == "rgb":
        return x
    r, g, b = (weight / DIVISOR["y-yiq"] for weight in THOUSANDTHS["y-yiq"])
    return r * x[:, 0:1] + g * x[:, 1:2] + b * x[:, 2:3]


def _require_batch(x: torch.Tensor) -> None:
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = f"{x.dtype} tensor" if isinstance(x, torch.Tensor) else type(x).__name__
        raise InputError(f"a judge takes a float tensor (N, 3, H, W) in [0, 1], not a {kind}")
    if x.ndim != 4 or x.shape[1] != 3 or x.numel() == 0:
        raise InputError(
            f"a judge takes face crops (N, 3, H, W), none of them empty; the tensor has the shape "
            f"{tuple(x.shape)}"
        )


def _require_finite(logits: torch.Tensor, name: str) -> None:
    bad = (~logits.isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        raise InputError(
            f"judge '{name}': the logits are NaN or infinite for image {listed(map(str, bad))} of "
            "the tensor (counted from 0); its values are not in [0, 1], leave it out"
        )
