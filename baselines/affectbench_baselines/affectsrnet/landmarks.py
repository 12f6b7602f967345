"""Landmarks of an LR face: an average face, moved by what the deepest features see, then refined.

All positions are x, y relative to the image.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.affectsrnet.graph import POINTS
from affectbench_baselines.affectsrnet.nodes import NodeGraph

_GRID = 4


class MeanFace(nn.Module):
    """The average face of the training faces, whatever the LR face: the ablation of the prior."""

    points: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("points", torch.full((POINTS, 2), 0.5))

    @torch.no_grad()
    def start_from(self, mean_face: torch.Tensor) -> None:
        """Set the average face (478, 2)."""
        self.points.copy_(mean_face)

    def forward(self, deep: torch.Tensor) -> torch.Tensor:
        """Return the same landmarks (N, 478, 2) for all features (N, C, h, w)."""
        return self.points.expand(len(deep), -1, -1)


class CoarseLandmarks(nn.Module):
    """An average face and its displacement by two linear layers on a 4x4 grid of deep features."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.mean = MeanFace()
        self.hidden = nn.Linear(features * _GRID**2, hidden)
        self.head = nn.Linear(hidden, 2 * POINTS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, deep: torch.Tensor) -> torch.Tensor:
        """Return landmarks (N, 478, 2) of the deepest features (N, C, h, w)."""
        x = F.adaptive_avg_pool2d(deep, _GRID).flatten(1)
        moved = self.head(F.leaky_relu(self.hidden(x), 0.2)).view(-1, POINTS, 2)
        return cast(torch.Tensor, self.mean(deep) + moved)


class Refinement(nn.Module):
    """One step of refinement: a graph over the features at the landmarks moves each of them."""

    def __init__(self, graph: NodeGraph, width: int) -> None:
        super().__init__()
        self.graph = graph
        self.move = nn.Linear(width, 2)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def forward(self, features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return landmarks (N, 478, 2), moved from `points` by what is seen around them."""
        return points + cast(torch.Tensor, self.move(self.graph(features, points)))
