"""The model `unsharp`: bicubic, then an unsharp mask. `unsharp@amount=0.8` sharpens more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affectbench.errors import InputError
from affectbench.types import ModelPlugin, ModelSpec, content_id

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Unsharp:
    """What the runner calls: it is given LR faces and nothing else."""

    spec: ModelSpec
    scale: int
    amount: float

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """SR (N, 3, scale*h, scale*w) of LR (N, 3, h, w), both in [0, 1]."""
        import torch.nn.functional as F

        sr = F.interpolate(lr, scale_factor=self.scale, mode="bicubic", align_corners=False)
        blurred = F.avg_pool2d(F.pad(sr, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
        return (sr + self.amount * (sr - blurred)).clamp(0, 1)


def describe(_scale: int, options: Mapping[str, str]) -> ModelSpec:
    """Called to plan a run: cheap, without torch. The revision decides what is reused."""
    amount = _amount(options)
    return ModelSpec(
        name="unsharp",
        scale=None,
        revision=content_id({"unsharp": 1, "amount": amount}),
        licence="Apache-2.0",
        parameters=0,
        trained_on=(),
        trained_against=(),
        note=f"bicubic, then unsharp mask 5x5, amount {amount:g}",
    )


def load(scale: int, options: Mapping[str, str], _device: torch.device) -> Unsharp:
    """The model itself. One with weights loads them here, onto the device."""
    return Unsharp(describe(scale, options), scale, _amount(options))


def _amount(options: Mapping[str, str]) -> float:
    unknown = set(options) - {"amount"}
    if unknown:
        raise InputError(f"unsharp: there is no option @{min(unknown)}=; known: @amount=")
    try:
        return float(options.get("amount", "0.5"))
    except ValueError:
        raise InputError(f"unsharp: @amount={options['amount']} is no number") from None


UNSHARP = ModelPlugin("unsharp", "bicubic and an unsharp mask", describe, load)
