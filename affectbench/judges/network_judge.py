"""The wrapper that makes a network a `Judge`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from affectbench.assets.weights import load_safetensors
from affectbench.errors import InputError, listed
from affectbench.images.luma import DIVISOR, THOUSANDTHS
from affectbench.images.tensors import resized
from affectbench.types import Colour, JudgeSpec

if TYPE_CHECKING:
    from affectbench.judges.catalogue import Entry


class NetworkJudge:
    """A judge backed by a network, frozen and in eval mode.

    `network` takes faces (N, C, S, S) in [0, 1], with C = 1 for a greyscale judge, else 3, and
    S = `spec.input_size`. Its outputs are named by `native_classes`, in that order, and include the
    logits. The judge returns the logits in the order of `spec.classes`, divided by
    `spec.temperature`.
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
        """The names of the K classes, in logit order."""
        return self.spec.classes

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return class logits (N, K), temperature applied, of face crops (N, 3, H, W) in [0, 1].

        Crops may have any size: they are converted to the judge's colour space and resized to its
        input. Differentiable with respect to `x`, which must be on the judge's device. The range is
        not checked, since a network overshoots it during training.

        Raises InputError for another shape or dtype, and for NaN or infinite logits, naming the
        index of the image in `x`. If `x` requires a gradient they pass through instead: there, NaN
        tells a gradient scaler to skip the step.
        """
        return self.logits_of(self.outputs(x))

    def logits_of(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the class logits (N, K) in the network's `outputs`; errors as in `logits`."""
        logits = outputs.index_select(1, self._order) / self.spec.temperature
        if not logits.requires_grad:
            _require_finite(logits, self.spec.name)
        return logits

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's raw outputs, in its own order, for face crops (N, 3, H, W)."""
        return cast(torch.Tensor, self._network(self._inputs(x)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features (N, D) before the last layer, of face crops (N, 3, H, W) in [0, 1].

        Differentiable like `logits`. Raises InputError for another shape or dtype, and for a judge
        without features (`spec.features` is 0).
        """
        if not self.spec.features:
            raise InputError(f"judge '{self.spec.name}' gives no features")
        return cast(torch.Tensor, cast(Any, self._network).features(self._inputs(x)))

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        _require_batch(x)
        return resized(coloured(x.to(torch.float32), self.spec.colour), self.spec.input_size)


class AffectJudge(NetworkJudge):
    """A judge whose network outputs valence and arousal after the expression classes."""

    def valence_arousal(self, x: torch.Tensor) -> torch.Tensor:
        """Return valence and arousal (N, 2) of face crops (N, 3, H, W) in [0, 1].

        On AffectNet's scale: -1 (negative; calm) to 1 (positive; excited). As regression outputs
        they can leave that range. Errors as in `logits`, but NaN passes through.
        """
        return self.outputs(x)[:, -2:]

    def logits_and_affect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `logits` and `valence_arousal` of face crops (N, 3, H, W), in one pass."""
        outputs = self.outputs(x)
        return self.logits_of(outputs), outputs[:, -2:]


def load_entry(entry: Entry, device: torch.device) -> NetworkJudge:
    """Return a judge of the catalogue, with its weights located, verified and loaded.

    Raises WeightsError if they are missing, damaged or belong to another network, and
    MissingExtraError without the package that reads them.
    """
    path, sha256 = entry.find_weights()
    kind = AffectJudge if entry.spec.affect else NetworkJudge
    network = entry.read(path, sha256)
    return kind(replace(entry.spec, sha256=sha256), network, entry.outputs, device)


def load_network(build: Callable[[], nn.Module], weights: Path, sha256: str) -> nn.Module:
    """Build a network and load its weights from a verified safetensors file.

    It is in channels-last memory format, which halves the time of convolutions on a CPU. The
    caller's random state is preserved, and the initial weights of `build` are discarded.
    """
    tensors = load_safetensors(weights, sha256)
    with torch.random.fork_rng(devices=[]):
        network = build()
    network.load_state_dict(tensors)
    return cast(nn.Module, cast(Any, network).to(memory_format=torch.channels_last))


def coloured(x: torch.Tensor, colour: Colour) -> torch.Tensor:
    """Return RGB faces (N, 3, H, W) unchanged, or their BT.601 luma (N, 1, H, W).

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
