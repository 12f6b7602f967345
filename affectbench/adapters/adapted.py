"""Adapter from a network of any value range, size multiple and scale to the runner's interface."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from affectbench.adapters.syntax import require_scale
from affectbench.errors import ModelError
from affectbench.types import ModelSpec

Network = Callable[[torch.Tensor], Any]


class AdaptedNetwork:
    """A map from LR in [0, 1] to SR in about [0, 1] through a network with other requirements.

    `spec.size_multiple`: LR is padded at the right and bottom (reflected, then replicated) and SR
    is cropped. `spec.value_range`: input and output are converted. `then`: a Pillow kernel that
    resamples the output of a network of another scale to the requested size, in floating point.
    """

    def __init__(
        self, network: Network, spec: ModelSpec, scale: int, then: str | None = None
    ) -> None:
        self.network = network
        self.spec = spec
        self._scale = scale
        self._then = then

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR (N, 3, scale*h, scale*w); raise ModelError for any other network output."""
        low, high = self.spec.value_range
        padded = pad_to_multiple(lr, self.spec.size_multiple)
        # Without a conversion the values are passed on exactly.
        plain = (low, high) == (0.0, 1.0)
        out = self.network(padded if plain else padded * (high - low) + low)
        sr = plain_tensor(out, self.spec.name)
        factor = scale_of(sr, padded, self.spec.name)
        if not plain:
            sr = (sr - low) / (high - low)
        height, width = lr.shape[-2:]
        sr = sr[..., : height * factor, : width * factor]
        if factor == self._scale:
            return sr
        require_scale(factor, self._scale, self._then, self.spec.name)
        return resample(sr, height * self._scale, width * self._scale, str(self._then))


def network_for(network: Network, device: torch.device) -> tuple[Network, int | None]:
    """Return a network on the device in evaluation mode, and its number of parameters.

    Functions are returned unchanged, and unsupported calls are skipped: a torch.export program has
    no modes, and a quantised network may not be movable. This hides no errors: a network on the
    wrong device raises, and in training mode a face alone gives another result than in a batch.
    """
    if isinstance(network, torch.export.ExportedProgram):
        network = network.module()
    if not isinstance(network, torch.nn.Module):
        return network, None
    try:
        moved = network.to(device)
        network = moved if isinstance(moved, torch.nn.Module) else network
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:  # each class raises its own
        pass
    with suppress(Exception):
        network.eval()
    parameters = list(network.parameters())
    if any(torch.nn.parameter.is_lazy(parameter) for parameter in parameters):
        return network, None
    for parameter in parameters:
        parameter.requires_grad_(False)
    return network, sum(parameter.numel() for parameter in parameters)


def plain_tensor(out: Any, name: str) -> torch.Tensor:
    """Return a model's output as a plain `torch.Tensor`, dense and with values.

    A subclass that only wraps a tensor (a torchvision image, a parameter) is unwrapped; one that
    overrides dispatch is refused, since it could return anything for any operation.
    """
    if not isinstance(out, torch.Tensor):
        raise ModelError(f"{name}: gave a {type(out).__name__}, not a tensor")
    with torch._C.DisableTorchFunctionSubclass():
        if torch._C._dispatch_keys(out).has(torch._C.DispatchKey.Python):
            raise ModelError(f"{name}: gave a {type(out).__name__}; a plain tensor is needed")
        if out.is_meta:
            raise ModelError(f"{name}: gave a tensor on the device 'meta', which has no values")
        if out.layout is not torch.strided:
            raise ModelError(f"{name}: gave a tensor of {out.layout}; a dense one is needed")
        tensor = torch.Tensor.as_subclass(out, torch.Tensor)
    # 8-bit floats support no arithmetic; float32 represents all of them exactly.
    tiny = tensor.is_floating_point() and tensor.element_size() == 1
    return tensor.float() if tiny else tensor


def scale_of(sr: torch.Tensor, lr: torch.Tensor, name: str) -> int:
    """Return the scale factor from LR to SR; raise ModelError if the shapes do not match."""
    factor = sr.shape[-1] // lr.shape[-1] if sr.ndim == 4 else 0
    expected = (*lr.shape[:2], lr.shape[-2] * factor, lr.shape[-1] * factor)
    if factor < 1 or tuple(sr.shape) != expected:
        raise ModelError(
            f"{name}: gave the shape {tuple(sr.shape)} for LR {tuple(lr.shape)}; "
            "(N, 3, s*h, s*w) with one whole factor s is needed"
        )
    return factor


def pad_to_multiple(lr: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad LR to a multiple in height and width: reflect as far as possible, then replicate."""
    down, right = (-lr.shape[-2] % multiple, -lr.shape[-1] % multiple)
    if not down and not right:
        return lr
    reflect_down, reflect_right = min(down, lr.shape[-2] - 1), min(right, lr.shape[-1] - 1)
    padded = F.pad(lr, (0, reflect_right, 0, reflect_down), mode="reflect")
    return F.pad(padded, (0, right - reflect_right, 0, down - reflect_down), mode="replicate")


def resample(batch: torch.Tensor, height: int, width: int, kernel: str) -> torch.Tensor:
    """Resize a float batch (N, C, H, W) by a Pillow kernel, per channel and without rounding."""
    filter_ = Image.Resampling[kernel.upper()]
    planes = batch.detach().float().cpu().numpy().reshape(-1, *batch.shape[-2:])
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), filter_))
        for plane in planes
    ]
    out = torch.from_numpy(np.stack(resized)).to(batch.device)
    return out.reshape(*batch.shape[:2], height, width)
