"""AffectSRNet (Rizvi et al., arXiv 2502.09932) at x4, as the paper builds it.

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

The config `x4` is ours where it differs, so that it trains on a CPU and can start from published
weights: RRDBNet of 6 blocks, growth 32 and 64 features, Real-ESRGAN's; graph convolutions
3-64-128-256-512, reshaped to 8x8x8; image features reduced to 8 channels for the fusion, whose
result is added to them and is 0 at first, so that the network starts as its backbone.

Landmarks are located on the LR face with affectbench's own mesh (`mesh.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.affectsrnet.mesh import SMALLEST_LR, landmarks_on_lr
from affectbench_baselines.affectsrnet.msaf import MSAF
from affectbench_baselines.affectsrnet.nodes import GraphConvolution
from affectbench_baselines.base import Details, Network
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet

Mesh = Callable[[torch.Tensor], torch.Tensor]
"""Landmarks (N, 478, 3) of LR faces (N, 3, h, w): x, y relative to the image, z in its widths."""


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of the network.

    `node_widths`: node channels after each graph convolution. `map_shape`: the map (channels, h, w)
    that pooled nodes are reshaped to. `image`: image channels in the fusion, 0 for the backbone's
    own. `residual` adds the fusion's result to the image features instead of replacing them.
    """

    backbone: RRDBConfig
    node_widths: tuple[int, ...]
    map_shape: tuple[int, int, int]
    block: int = 8
    reduction: int = 4
    dropout: float = 0.2
    lowest: float = 0.0
    image: int = 0
    residual: bool = False


class PooledGraph(nn.Module):
    """Graph convolutions with ReLU over (x, y, z), averaged over nodes and reshaped to a map."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.map_shape = config.map_shape
        if config.node_widths[-1] != prod(config.map_shape):
            raise ValueError("the last of node_widths is not the size of map_shape")
        widths = (3, *config.node_widths)
        self.layers = nn.ModuleList(GraphConvolution(a, b) for a, b in pairwise(widths))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Return a map (N, C, h, w) of points (N, P, 3)."""
        nodes = points
        for layer in self.layers:
            nodes = layer(nodes).relu()
        return nodes.mean(1).view(-1, *self.map_shape)


class Fusion(nn.Module):
    """Fuses image features and landmark map into image features of the same shape."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        features = config.backbone.features
        self.residual = config.residual
        self.reduce = nn.Conv2d(features, config.image, 1) if config.image else None
        channels = (config.image or features, config.map_shape[0])
        self.msaf = MSAF(channels, config.block, config.reduction, config.dropout, config.lowest)
        self.join = nn.Conv2d(sum(channels), features, 1)
        if config.residual:
            nn.init.zeros_(self.join.weight)
            nn.init.zeros_(cast(torch.Tensor, self.join.bias))

    def forward(self, image: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        """Fuse (N, C, h, w) and (N, D, h', w') into (N, C, h, w); the landmark map is resized."""
        reduced = image if self.reduce is None else self.reduce(image)
        maps = self.msaf([reduced, landmarks])
        resized = F.interpolate(maps[1], image.shape[-2:], mode="bilinear", align_corners=False)
        joined = cast(torch.Tensor, self.join(torch.cat([maps[0], resized], dim=1)))
        return image + joined if self.residual else joined


class PaperAffectSRNet(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w) in about [0, 1].

    `mesh` is the landmark model; it is not part of the weights.
    """

    smallest_lr = SMALLEST_LR

    def __init__(self, config: PaperConfig, mesh: Mesh = landmarks_on_lr) -> None:
        super().__init__()
        self.config, self.mesh = config, mesh
        self.backbone = RRDBNet(config.backbone)
        self.graph = PooledGraph(config)
        self.fusion = Fusion(config)

    @property
    def scale(self) -> int:
        """The super-resolution factor."""
        return self.backbone.scale

    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR."""
        points = self.mesh(lr)
        with torch.autocast(lr.device.type, enabled=False):
            landmarks = self.graph(points)
        features = self.fusion(self.backbone.first(lr), landmarks)
        features = features + self.backbone.conv_body(self.backbone.body(features))
        for name in self.backbone.ups:
            features = self.backbone.up(name, features)
        return Details(self.backbone.last(features))


def build(settings: dict[str, Any]) -> PaperAffectSRNet:
    """Return the network for a config's settings; `backbone` holds those of an RRDBNet."""
    backbone = RRDBConfig(**settings.pop("backbone"))
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    return PaperAffectSRNet(PaperConfig(backbone, **plain))
