"""AffectSRNet (Rizvi et al., arXiv 2502.09932).

From the paper: an RRDB backbone initialised with ESRGAN weights; a graph convolutional network over
478 facial landmarks as structural prior; a multimodal split attention fusion (MSAF) of both; pixel,
perceptual, graph-based and emotion consistency losses. The parts of the paper that we could access
do not give layers and sizes.

The config `paper` follows public development code that appears to be the authors' (an early state):
x4 from 64x64, landmarks (x, y, z) by MediaPipe on the LR face, graph convolutions
3-128-256-1024-4096-8192 with ReLU, mean over the nodes, reshaped to 8x32x32, MSAF of two 8-channel
maps (block 8, dropout 0.2, reduction 4), reduced from 16 to 8 channels by a 1x1 convolution;
RRDBNet of 8 blocks, growth 32, 8 features. Its "split 5" has no meaning with one block per modality
and is omitted. The position of the fusion (before the trunk) is our choice.

The config `compact` is ours, for 16x16 LR faces, on which no mesh detector works: a small network
predicts the landmarks from the LR face, supervised in training; each node samples image features at
its position, and its features are scattered back onto the map at that position (no pooling into one
vector); MSAF fuses at LR size and after the first upsampling, as a residual, so that the backbone
can be initialised with ESRGAN weights.

Both see the LR face only; `paper` locates its landmarks with affectbench's own mesh (`mesh.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.affectsrnet.graph import POINTS, contour_edges, normalised_adjacency
from affectbench_baselines.affectsrnet.mesh import SMALLEST_LR, landmarks_on_lr
from affectbench_baselines.affectsrnet.msaf import MSAF
from affectbench_baselines.base import Details, Network
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet

Mesh = Callable[[torch.Tensor], torch.Tensor]
"""Landmarks (N, 478, 3) of LR faces (N, 3, h, w): x, y relative to the image, z in its widths."""


@dataclass(frozen=True)
class AffectConfig:
    """Sizes, and which parts are enabled.

    `prior`: landmarks `predicted` from LR, from a `mesh` run on LR, or always the average (`mean`).
    `gcn`: `placed` keeps nodes at their positions, `pooled` averages them into one vector, `none`
    removes the graph convolutions. `msaf` False concatenates instead.
    `node_widths`: node channels at the entry and after each graph convolution.
    `map_shape`: the map (channels, h, w) that pooled nodes are reshaped to.
    """

    backbone: RRDBConfig
    prior: Literal["predicted", "mesh", "mean"] = "predicted"
    gcn: Literal["placed", "pooled", "none"] = "placed"
    msaf: bool = True
    node_widths: tuple[int, ...] = (32, 32, 32, 32)
    embedding: int = 16
    map_shape: tuple[int, int, int] = (32, 4, 4)
    block: int = 16
    reduction: int = 4
    dropout: float = 0.1
    lowest: float = 0.2
    residual: bool = True
    stages: tuple[str, ...] = ("trunk", "conv_up1")


class LandmarkPrior(nn.Module):
    """Predicts 478 landmarks from the LR face: three convolutions and two linear layers."""

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 64), hidden: int = 96) -> None:
        super().__init__()
        strides = (1, 2, 2)
        pairs = zip((3, *widths[:2]), widths, strides, strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride, 1) for a, b, stride in pairs)
        self.hidden = nn.Linear(widths[-1] * 16, hidden)
        self.head = nn.Linear(hidden, 2 * POINTS)
        nn.init.constant_(self.head.bias, 0.5)

    @torch.no_grad()
    def start_from(self, mean_face: torch.Tensor) -> None:
        """Initialise at an average face (478, 2)."""
        self.head.bias.copy_(mean_face.flatten())

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Return landmarks (N, 478, 2), x and y in [0, 1], of LR (N, 3, h, w)."""
        x = lr - 0.5
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        x = F.adaptive_avg_pool2d(x, 4).flatten(1)
        x = F.leaky_relu(self.hidden(x), 0.2)
        return cast(torch.Tensor, self.head(x)).view(-1, POINTS, 2)


class MeanFace(nn.Module):
    """The ablation of the prior: one learned face, independent of the LR face."""

    points: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.full((POINTS, 2), 0.5))

    @torch.no_grad()
    def start_from(self, mean_face: torch.Tensor) -> None:
        """Initialise at an average face (478, 2)."""
        self.points.copy_(mean_face)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Return the same landmarks (N, 478, 2) for every LR face (N, 3, h, w)."""
        return self.points.expand(len(lr), -1, -1)


class GraphConvolution(nn.Module):
    """X' = A X W + b with the fixed, normalised adjacency A of the contour graph."""

    adjacency: torch.Tensor

    def __init__(self, before: int, after: int, adjacency: torch.Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        """Map (N, P, before) to (N, P, after)."""
        # Aggregate neighbours on the narrower side; both orders give the same result.
        if self.linear.in_features <= self.linear.out_features:
            return cast(torch.Tensor, self.linear(self.adjacency @ nodes))
        return self.adjacency @ F.linear(nodes, self.linear.weight) + self.linear.bias


class PlacedNodes(nn.Module):
    """Nodes with positions: features are sampled from the image there, and scattered back there."""

    embedding: nn.Parameter

    def __init__(self, config: AffectConfig) -> None:
        super().__init__()
        widths = config.node_widths
        self.embedding = nn.Parameter(0.1 * torch.randn(POINTS, config.embedding))
        self.entry = nn.Linear(config.backbone.features + 2 + config.embedding, widths[0])
        adjacency = normalised_adjacency(contour_edges())
        layers = range(len(widths) - 1) if config.gcn != "none" else ()
        self.layers = nn.ModuleList(
            GraphConvolution(widths[i], widths[i + 1], adjacency) for i in layers
        )

    def forward(self, features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return nodes (N, P, D) of image features (N, C, h, w) at positions (N, P, 2)."""
        places = placement(points, *features.shape[-2:])
        seen = places @ features.flatten(2).mT  # bilinear: the weights of each node sum to 1
        embedding = self.embedding.expand(len(points), -1, -1)
        nodes = self.entry(torch.cat([seen, points - 0.5, embedding], dim=2)).relu()
        for layer in self.layers:
            change = layer(nodes).relu()
            nodes = nodes + change if change.shape == nodes.shape else change
        return cast(torch.Tensor, nodes)


class MeshNodes(nn.Module):
    """Plain graph convolutions over (x, y, z), as in the development code."""

    def __init__(self, config: AffectConfig) -> None:
        super().__init__()
        widths = (3, *config.node_widths)
        adjacency = normalised_adjacency(contour_edges())
        self.layers = nn.ModuleList(GraphConvolution(a, b, adjacency) for a, b in pairwise(widths))

    def forward(self, _features: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return nodes (N, P, D) of points (N, P, 3)."""
        nodes = points
        for layer in self.layers:
            nodes = layer(nodes).relu()
        return nodes


class Fusion(nn.Module):
    """Fuses image features and landmark map into image features of the same shape."""

    def __init__(self, config: AffectConfig, landmark_channels: int) -> None:
        super().__init__()
        channels = (config.backbone.features, landmark_channels)
        self.residual = config.residual
        self.msaf = (
            MSAF(channels, config.block, config.reduction, config.dropout, config.lowest)
            if config.msaf
            else None
        )
        self.join = nn.Conv2d(sum(channels), channels[0], 1)

    def forward(self, image: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        """Fuse (N, C, h, w) and (N, D, h', w') into (N, C, h, w); the landmark map is resized."""
        size = image.shape[-2:]
        maps = [image, landmarks]
        if self.msaf is not None:
            maps = self.msaf(maps)
        if maps[1].shape[-2:] != size:
            maps[1] = F.interpolate(maps[1], size, mode="bilinear", align_corners=False)
        joined = cast(torch.Tensor, self.join(torch.cat(maps, dim=1)))
        return image + joined if self.residual else joined


class AffectSRNet(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w) in about [0, 1].

    `mesh` is the landmark model behind the prior `mesh`; it is not part of the weights.
    """

    def __init__(self, config: AffectConfig, mesh: Mesh = landmarks_on_lr) -> None:
        super().__init__()
        self.config = config
        self.backbone = RRDBNet(config.backbone)
        from_mesh = config.prior == "mesh"
        self.mesh = mesh
        if from_mesh:
            self.smallest_lr = SMALLEST_LR
        priors = {"predicted": LandmarkPrior, "mean": MeanFace}
        self.prior = None if from_mesh else priors[config.prior]()
        self.nodes = MeshNodes(config) if from_mesh else PlacedNodes(config)
        channels, height, width = config.map_shape
        self.pooled = None
        if config.gcn == "pooled":
            after = channels * height * width
            last = config.node_widths[-1]
            # In the development code the last width is the map's size, so no projection is needed.
            self.pooled = nn.Identity() if last == after else nn.Linear(last, after)
        else:
            channels = config.node_widths[-1] + 1  # plus the number of nodes at each pixel
        self.fusions = nn.ModuleDict({stage: Fusion(config, channels) for stage in config.stages})

    @property
    def scale(self) -> int:
        """The super-resolution factor."""
        return self.backbone.scale

    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR, and the predicted landmarks."""
        points = self.landmarks(lr)
        first = self.backbone.first(lr)
        nodes = self.nodes(first, points)
        features = self._fused("trunk", first, nodes, points)
        features = features + self.backbone.conv_body(self.backbone.body(features))
        for name in self.backbone.ups:
            features = self._fused(name, self.backbone.up(name, features), nodes, points)
        sr = self.backbone.last(features)
        predicted = points if self.config.prior == "predicted" else None
        return Details(sr, landmarks=predicted)

    def landmarks(self, lr: torch.Tensor) -> torch.Tensor:
        """Return landmarks (N, 478, 2, or 3 with a mesh) of LR from the prior."""
        if self.prior is None:
            return self.mesh(lr)
        return cast(torch.Tensor, self.prior(lr))

    def _fused(
        self, stage: str, image: torch.Tensor, nodes: torch.Tensor, points: torch.Tensor
    ) -> torch.Tensor:
        if stage not in self.fusions:
            return image
        if self.pooled is not None:
            landmarks = self.pooled(nodes.mean(1)).view(-1, *self.config.map_shape)
        else:
            landmarks = scattered(nodes, points[..., :2], *image.shape[-2:])
        return cast(torch.Tensor, self.fusions[stage](image, landmarks))


def placement(points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return the bilinear weight of each node at each pixel: (N, P, h*w), rows sum to 1.

    `points` (N, P, 2) are x, y relative to the image, pixel centres at (i + 1/2) / size; points
    beyond the outermost centres are clamped to them.
    """
    axes = []
    for axis, size in ((1, height), (0, width)):
        at = (points[..., axis] * size - 0.5).clamp(0.0, size - 1.0)
        pixels = torch.arange(size, device=points.device, dtype=points.dtype)
        axes.append((1.0 - (at[..., None] - pixels).abs()).clamp(min=0.0))
    down, across = axes
    return (down[..., :, None] * across[..., None, :]).flatten(2)


def scattered(nodes: torch.Tensor, points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Scatter nodes (N, P, D) onto a map (N, D + 1, h, w): weighted means, and log(1 + count).

    Pixels without a node are 0.
    """
    places = placement(points, height, width)
    count = places.sum(1)  # (N, h*w)
    total = nodes.mT @ places  # (N, D, h*w)
    # Pixels with a total weight below one are not normalised: the map fades out smoothly.
    mean = total / count.clamp(min=1.0)[:, None]
    landmarks = torch.cat([mean, count[:, None].log1p()], dim=1)
    return landmarks.view(len(nodes), -1, height, width)


def build(settings: dict[str, Any]) -> AffectSRNet:
    """Return the network for a config's settings; `backbone` holds those of an RRDBNet."""
    backbone = RRDBConfig(**settings.pop("backbone"))
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    return AffectSRNet(AffectConfig(backbone, **plain))
