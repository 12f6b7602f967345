"""Plain resampling by Pillow's kernels, the baseline that every model has to beat.

LR faces are 8-bit, so the result is bitwise that of Pillow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affectbench.adapters.syntax import require_known
from affectbench.registry import Late
from affectbench.types import ModelPlugin, ModelSpec, content_id

if TYPE_CHECKING:
    import torch

    from affectbench.images.resizing import Method


def _spec(kernel: str) -> ModelSpec:
    return ModelSpec(
        name=kernel,
        scale=None,
        revision=content_id({"resampling": kernel, "rule": "pillow-uint8/1"}),
        licence="none needed",
        parameters=0,
        note="Pillow, on 8-bit RGB",
    )


_enlarged = Late("affectbench.images.tensors:enlarged")


@dataclass(frozen=True)
class Resampling:
    """LR (N, 3, h, w) in [0, 1], rounded to 8 bits, enlarged by one of Pillow's kernels."""

    spec: ModelSpec
    scale: int
    kernel: Method

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR (N, 3, scale*h, scale*w), multiples of 1/255 in [0, 1]."""
        sr: torch.Tensor = _enlarged(lr, self.scale, self.kernel)
        return sr


def _plugin(kernel: Method, title: str) -> ModelPlugin:
    def describe(_scale: int, options: Mapping[str, str]) -> ModelSpec:
        require_known(options, ("name",), kernel)
        return _spec(kernel)

    def load(scale: int, options: Mapping[str, str], _device: torch.device) -> Resampling:
        return Resampling(describe(scale, options), scale, kernel)

    return ModelPlugin(kernel, title, describe, load)


NEAREST = _plugin("nearest", "the nearest pixel repeated")
BICUBIC = _plugin("bicubic", "bicubic interpolation (Pillow, a = -0.5)")
LANCZOS = _plugin("lanczos", "Lanczos interpolation (Pillow, 3 lobes)")
