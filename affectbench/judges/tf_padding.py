"""TensorFlow's "SAME" padding, which PyTorch supports for a stride of 1 only."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the pixels to add before and after one axis so that ceil(size / stride) outputs fit.

    TensorFlow puts the odd pixel after, where a symmetric padding would shift the grid.

    >>> same_padding(112, kernel=3, stride=2), same_padding(15, kernel=3, stride=2)
    ((0, 1), (1, 1))
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: torch.Tensor, kernel: int, stride: int, value: float = 0.0) -> torch.Tensor:
    """Pad (N, C, H, W) for a square window without padding of its own, filled with `value`.

    Max pooling needs `value=-inf`: padded pixels must never win.
    """
    top, bottom = same_padding(x.shape[-2], kernel, stride)
    left, right = same_padding(x.shape[-1], kernel, stride)
    return F.pad(x, (left, right, top, bottom), value=value)
