"""The base class of all networks here: their interface, and what they pass to the losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import nn


class Details(NamedTuple):
    """`sr` (N, 3, H, W), and a network's auxiliary predictions, None where it has none.

    `landmarks`: successive predictions (N, P, 2), the last one the best, as x, y in [0, 1] of the
    image; empty where a network has none. `parsing` (N, K, h, w): logits of K face
    regions. `cost` (): mean relative cost of a dynamic network, in [0, 1]. `frequency`
    (N, 3, h, w): logits of the frequency class (low, mid, high) of each LR pixel.
    """

    sr: torch.Tensor
    landmarks: tuple[torch.Tensor, ...] = ()
    parsing: torch.Tensor | None = None
    cost: torch.Tensor | None = None
    frequency: torch.Tensor | None = None


class Network(nn.Module, ABC):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w) in about [0, 1], from LR alone."""

    size_multiple = 1
    smallest_lr = 8
    """Smallest supported side of an LR face, in pixels."""

    @property
    @abstractmethod
    def scale(self) -> int:
        """The super-resolution factor."""

    @abstractmethod
    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR, and what the training losses need in addition."""

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR of LR."""
        return self.details(lr).sr
