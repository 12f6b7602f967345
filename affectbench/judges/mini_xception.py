"""mini-Xception: 58 thousand parameters, greyscale faces (network only).

Architecture: O. Arriaga, M. Valdenegro-Toro, P. Plöger, "Real-time Convolutional Neural Networks
for Emotion and Gender Classification", arXiv 1710.07557. The weights come from Keras, hence the
"SAME" padding and the epsilon of the batch normalisation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench.judges.tf_padding import pad_same

CLASS_COUNT = 7
_STEM_WIDTH = 8
_BLOCK_WIDTHS = (16, 32, 64, 128)
_KERAS_EPSILON = 1e-3


class MiniXception(nn.Module):
    """Two plain convolutions, four separable residual blocks, a convolution pooled to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, _STEM_WIDTH, 3, bias=False),
            _norm(_STEM_WIDTH),
            nn.ReLU(),
            nn.Conv2d(_STEM_WIDTH, _STEM_WIDTH, 3, bias=False),
            _norm(_STEM_WIDTH),
            nn.ReLU(),
        )
        widths = (_STEM_WIDTH, *_BLOCK_WIDTHS)
        self.blocks = nn.Sequential(*(Block(before, after) for before, after in pairwise(widths)))
        self.head = nn.Conv2d(widths[-1], CLASS_COUNT, 3, padding=1)

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last feature map (N, 128, 4, 4) of grey faces (N, 1, 64, 64) in [0, 1]."""
        return cast(torch.Tensor, self.blocks(self.stem(2.0 * x - 1.0)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last feature map after global average pooling, (N, 128)."""
        return self.feature_map(x).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 7) of greyscale faces (N, 1, 64, 64) in [0, 1]."""
        return cast(torch.Tensor, self.head(self.feature_map(x))).mean(dim=(2, 3))


class Block(nn.Module):
    """Two separable convolutions and max pooling, in parallel to a strided 1x1 convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _separable(before, after),
            _norm(after),
            nn.ReLU(),
            _separable(after, after),
            _norm(after),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(before, after, 1, stride=2, bias=False), _norm(after)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, before, H, W) to (N, after, ceil(H / 2), ceil(W / 2))."""
        body = pad_same(self.body(x), kernel=3, stride=2, value=float("-inf"))
        return F.max_pool2d(body, kernel_size=3, stride=2) + cast(torch.Tensor, self.shortcut(x))


def _separable(before: int, after: int) -> nn.Sequential:
    """Return a depthwise 3x3 convolution followed by a 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        nn.Conv2d(before, after, 1, bias=False),
    )


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_KERAS_EPSILON)
