"""The landmark graph on a feature map: sample features at its nodes, convolve, scatter back."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.affectsrnet.graph import POINTS, contour_edges, normalised_adjacency


class GraphConvolution(nn.Module):
    """X' = A X W + b with the fixed, normalised adjacency A of the contour graph."""

    sources: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        adjacency = normalised_adjacency(contour_edges())
        targets, sources = adjacency.nonzero(as_tuple=True)
        self.register_buffer("sources", sources, persistent=False)
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("weights", adjacency[targets, sources][:, None], persistent=False)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        """Map (N, P, before) to (N, P, after)."""
        sent = nodes[:, self.sources] * self.weights
        gathered = torch.zeros_like(nodes).index_add(1, self.targets, sent)
        return cast(torch.Tensor, self.linear(gathered))


class NodeGraph(nn.Module):
    """Nodes of features at their positions, and `layers` residual graph convolutions over them.

    `embedding` channels of each node are learned and tell which landmark it is.
    """

    embedding: nn.Parameter

    def __init__(self, features: int, width: int, embedding: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(0.1 * torch.randn(POINTS, embedding))
        self.entry = nn.Linear(features + 2 + embedding, width)
        self.layers = nn.ModuleList(GraphConvolution(width, width) for _ in range(layers))

    def forward(self, features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return nodes (N, P, D) of features (N, C, h, w) at positions (N, P, 2)."""
        embedding = self.embedding.expand(len(points), -1, -1)
        seen = sampled(features.float(), points)
        nodes = self.entry(torch.cat([seen, points - 0.5, embedding], dim=2)).relu()
        for layer in self.layers:
            nodes = nodes + layer(nodes).relu()
        return cast(torch.Tensor, nodes)


def sampled(features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return features (N, P, C) of a map (N, C, h, w) at points (N, P, 2), bilinear."""
    grid = (2.0 * points - 1.0)[:, :, None]
    found = F.grid_sample(features, grid, "bilinear", "border", False)
    return found[..., 0].mT


def scattered(nodes: torch.Tensor, points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Scatter nodes (N, P, D) onto a map (N, D + 1, h, w): weighted means, and log(1 + weight).

    Each node is spread over its four nearest pixels with bilinear weights. Pixels without a node
    are 0, and where the weights sum to less than one the map fades out.
    """
    place, weight = corners(points, height, width)
    ones = nodes.new_ones((*nodes.shape[:2], 1))
    values = torch.cat([nodes, ones], dim=2)[:, :, None] * weight[..., None].to(nodes.dtype)
    channels = values.shape[-1]
    flat = values.new_zeros((len(nodes), height * width, channels))
    index = place.flatten(1)[..., None].expand(-1, -1, channels)
    flat = flat.scatter_add(1, index, values.flatten(1, 2))
    total, count = flat[..., :-1], flat[..., -1:]
    found = torch.cat([total / count.clamp(min=1.0), count.log1p()], dim=2)
    return found.mT.reshape(len(nodes), channels, height, width)


def corners(points: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixel numbers (N, P, 4) around each point, and their bilinear weights.

    Pixel centres lie at (i + 1/2) / size; points beyond the outermost ones are moved to them.
    """
    numbers, weights = [], []
    for axis, size in ((1, height), (0, width)):
        at = (points[..., axis] * size - 0.5).clamp(0.0, size - 1.0)
        low = at.detach().floor().clamp(max=max(size - 2, 0))
        share = at - low
        numbers.append(torch.stack([low, (low + 1).clamp(max=size - 1)], dim=-1).long())
        weights.append(torch.stack([1.0 - share, share], dim=-1))
    place = numbers[0][..., :, None] * width + numbers[1][..., None, :]
    weight = weights[0][..., :, None] * weights[1][..., None, :]
    return place.flatten(2), weight.flatten(2)
