"""The input normalisation that both kinds of published network need."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

_MEAN_RGB = (0.485, 0.456, 0.406)
_DEVIATION_RGB = (0.229, 0.224, 0.225)


class Normalised(nn.Module):
    """A network that takes RGB in [0, 1] and applies ImageNet's mean and standard deviation."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN_RGB).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION_RGB).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return outputs (N, K) of RGB faces (N, 3, H, W) in [0, 1]."""
        return cast(torch.Tensor, self.network((x - self.mean) / self.deviation))
