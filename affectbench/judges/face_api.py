"""The expression network of face-api: 0.3 million parameters, RGB faces (network only).

Depthwise-separable convolutions in four densely connected blocks, each of which halves the size.
The weights come from TensorFlow.js, hence the "SAME" padding.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench.judges.tf_padding import pad_same

CLASS_COUNT = 7
_BLOCK_WIDTHS = (32, 64, 128, 256)
_MEAN_RGB = (122.782 / 255.0, 117.001 / 255.0, 104.298 / 255.0)


class FaceApiExpression(nn.Module):
    """Four dense blocks, global average pooling, a linear classifier."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        widths = (3, *_BLOCK_WIDTHS)
        self.blocks = nn.Sequential(
            *(DenseBlock(before, after) for before, after in pairwise(widths))
        )
        self.head = nn.Linear(widths[-1], CLASS_COUNT)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return pooled features (N, 256) of RGB faces (N, 3, 112, 112) in [0, 1]."""
        maps = cast(torch.Tensor, self.blocks(x - self.mean))
        return maps.mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 7) of RGB faces (N, 3, 112, 112) in [0, 1]."""
        return cast(torch.Tensor, self.head(self.features(x)))


class DenseBlock(nn.Module):
    """Four 3x3 convolutions, the first with stride 2; each takes the sum of all before it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        # The image's colour channels are the only input with an ordinary convolution.
        self.conv0 = (
            nn.Conv2d(before, after, 3, stride=2) if before == 3 else _separable(before, after, 2)
        )
        self.conv1 = _separable(after, after)
        self.conv2 = _separable(after, after)
        self.conv3 = _separable(after, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, before, H, W) to (N, after, ceil(H / 2), ceil(W / 2))."""
        total = F.relu(self.conv0(pad_same(x, kernel=3, stride=2)))
        total = total + self.conv1(total)
        total = total + self.conv2(F.relu(total))
        total = total + self.conv3(F.relu(total))
        return F.relu(total)


def _separable(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 convolution followed by a 1x1 convolution with bias.

    With a stride of 2 the caller pads, since TensorFlow's padding is not symmetric.
    """
    padding = 1 if stride == 1 else 0
    return nn.Sequential(
        nn.Conv2d(before, before, 3, stride, padding, groups=before, bias=False),
        nn.Conv2d(before, after, 1),
    )
