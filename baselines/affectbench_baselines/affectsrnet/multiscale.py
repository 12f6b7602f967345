"""AffectSRNet (Rizvi et al., arXiv 2502.09932) for small LR faces: a W of dense blocks. Ours.

From the paper: residual-in-residual dense blocks, a graph convolutional network over 478 facial
landmarks as structural prior, and a multimodal split attention fusion (MSAF) of both. All else is
ours, made for 16x16 LR faces, in which no mesh detector finds a face:

- two U-shaped halves of dense blocks at the full, half and quarter LR size. The first locates the
  landmarks: an average face, moved by the deepest features, then refined by graph convolutions over
  the features at the landmarks. The second restores the image;
- the nodes of the graph stay on the face: each samples image features at its position, and is
  scattered back there, at every scale of the second half and after the first two upsamplings, where
  MSAF fuses it with the image features, as a residual;
- the result is added to the bicubic enlargement of LR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.affectsrnet.landmarks import CoarseLandmarks, MeanFace, Refinement
from affectbench_baselines.affectsrnet.msaf import MSAF
from affectbench_baselines.affectsrnet.nodes import NodeGraph, scattered
from affectbench_baselines.base import Details, Network
from affectbench_baselines.rrdbnet.network import RESIDUAL, DenseBlock, leaky

STAGES = ("lr", "lr_half", "lr_quarter", "up1", "up2")
"""Where landmarks are fused: at the LR size and below, and after the first two upsamplings."""


@dataclass(frozen=True)
class ScaleConfig:
    """Sizes, and which parts are enabled.

    `features` C and `growth` G up to twice the LR size, `fine` and `fine_growth` at four times,
    `full` at eight times. `locate` and `restore`: dense blocks at the full, half, quarter, half and
    full LR size of each half; `large`: after the first and second upsampling.
    `scales` 1 keeps all blocks at the LR size. `prior`: landmarks `predicted` from LR, the average
    face of the training faces (`mean`), or no landmarks at all (`none`). `msaf` False concatenates.
    """

    features: int = 48
    growth: int = 16
    fine: int = 32
    fine_growth: int = 8
    full: int = 24
    locate: tuple[int, ...] = (1, 1, 1, 1, 1)
    restore: tuple[int, ...] = (1, 1, 2, 1, 2)
    large: tuple[int, ...] = (1, 1)
    scales: int = 3
    prior: Literal["predicted", "mean", "none"] = "predicted"
    hidden: int = 64
    nodes: int = 32
    embedding: int = 16
    gcn: int = 3
    refine: int = 1
    fused: tuple[str, ...] = STAGES
    msaf: bool = True
    block: int = 16
    reduction: int = 4
    dropout: float = 0.0
    lowest: float = 0.2
    scale: int = 8


class Group(nn.Module):
    """Dense blocks in sequence, with a residual connection around them."""

    def __init__(self, features: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(features, growth) for _ in range(blocks)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        return x + RESIDUAL * cast(torch.Tensor, self.blocks(x))


Fuse = Callable[[str, torch.Tensor], torch.Tensor]
"""Fuses landmarks into the features (N, C, h, w) of a stage, by its name in `STAGES`."""


class Half(nn.Module):
    """One U of groups: down to a quarter of the size and up again, with additive skips."""

    def __init__(self, config: ScaleConfig, blocks: tuple[int, ...]) -> None:
        super().__init__()
        c, stride = config.features, 2 if config.scales > 1 else 1
        self.groups = nn.ModuleList(Group(c, config.growth, count) for count in blocks)
        self.shrink = nn.ModuleList(nn.Conv2d(c, c, 3, stride, padding=1) for _ in range(2))

    def forward(
        self, x: torch.Tensor, fuse: Fuse = lambda _stage, x: x
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the deepest features, and those of the size of `x`; `fuse` on the way down."""
        skips: list[torch.Tensor] = []
        for level, stage in enumerate(STAGES[:3]):
            if level:
                x = leaky(self.shrink[level - 1](x))
            x = self.groups[level](fuse(stage, x))
            skips.append(x)
        for group, skip in zip(self.groups[3:], skips[1::-1], strict=True):
            if x.shape != skip.shape:
                x = F.interpolate(x, scale_factor=2.0)
            x = cast(torch.Tensor, group(skip + x))
        return skips[-1], x


class Fusion(nn.Module):
    """Add to image features what MSAF and a 1x1 convolution make of them and the landmark map."""

    def __init__(self, config: ScaleConfig, channels: int, landmarks: int) -> None:
        super().__init__()
        both = (channels, landmarks)
        self.msaf = (
            MSAF(both, config.block, config.reduction, config.dropout, config.lowest)
            if config.msaf
            else None
        )
        self.join = nn.Conv2d(sum(both), channels, 1)

    def forward(self, image: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        """Fuse (N, C, h, w) and (N, D, h, w) into (N, C, h, w)."""
        maps = [image, landmarks] if self.msaf is None else self.msaf([image, landmarks])
        return image + cast(torch.Tensor, self.join(torch.cat(maps, dim=1)))


class MultiScaleAffectSRNet(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, 8h, 8w); h and w are multiples of 4."""

    size_multiple = 4

    def __init__(self, config: ScaleConfig) -> None:
        super().__init__()
        if config.scale != 8:
            raise ValueError(f"this network enlarges by 8, not by {config.scale}")
        self.config = config
        c = config.features
        self.first = nn.Conv2d(3, c, 3, padding=1)
        self.locate = Half(config, config.locate)
        self.restore = Half(config, config.restore)
        self.prior: nn.Module | None = None
        if config.prior != "none":
            predicted = config.prior == "predicted"
            self.prior = CoarseLandmarks(c, config.hidden) if predicted else MeanFace()
            graph = (c, config.nodes, config.embedding, config.gcn)
            steps = config.refine if predicted else 0
            self.refine = nn.ModuleList(
                Refinement(NodeGraph(*graph), config.nodes) for _ in range(steps)
            )
            self.graph = NodeGraph(*graph)
            self.fusions = nn.ModuleDict(
                {
                    stage: Fusion(config, config.fine if stage == "up2" else c, config.nodes + 1)
                    for stage in config.fused
                }
            )
        self.up1 = nn.Conv2d(c, c, 3, padding=1)
        self.large1 = Group(c, config.growth, config.large[0])
        self.up2 = nn.Conv2d(c, config.fine, 3, padding=1)
        self.large2 = Group(config.fine, config.fine_growth, config.large[1])
        self.up3 = nn.Conv2d(config.fine, config.full, 3, padding=1)
        self.hr = nn.Conv2d(config.full, config.full, 3, padding=1)
        self.last = nn.Conv2d(config.full, 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(torch.Tensor, self.last.bias))

    @property
    def scale(self) -> int:
        """The super-resolution factor."""
        return self.config.scale

    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR, and the predicted landmarks, coarse and refined."""
        first = self.first(lr - 0.5)
        deep, located = self.locate(first)
        # Positions need more than bfloat16's eight bits.
        with torch.autocast(lr.device.type, enabled=False):
            points = self.landmarks(deep.float(), located.float())
            nodes = self.graph(located.float(), points[-1].detach()) if points else None

        def fuse(stage: str, image: torch.Tensor) -> torch.Tensor:
            return self._fused(stage, image, nodes, points)

        x = first + self.restore(first + located, fuse)[1]
        x = leaky(self.up1(F.interpolate(x, scale_factor=2.0)))
        x = self.large1(fuse("up1", x))
        x = leaky(self.up2(F.interpolate(x, scale_factor=2.0)))
        x = self.large2(fuse("up2", x))
        x = leaky(self.up3(F.interpolate(x, scale_factor=2.0)))
        x = leaky(self.hr(x))
        with torch.autocast(lr.device.type, enabled=False):
            change = self.last(x.float())
        sr = change + F.interpolate(lr, scale_factor=8.0, mode="bicubic", align_corners=False)
        learned = points if self.config.prior == "predicted" else ()
        return Details(sr, landmarks=tuple(learned))

    def landmarks(self, deep: torch.Tensor, located: torch.Tensor) -> list[torch.Tensor]:
        """Return landmarks (N, 478, 2), coarse ones first and the most refined ones last."""
        if self.prior is None:
            return []
        points = [self.prior(deep)]
        for step in self.refine:
            points.append(step(located, points[-1]))
        return points

    def _fused(
        self,
        name: str,
        image: torch.Tensor,
        nodes: torch.Tensor | None,
        points: list[torch.Tensor],
    ) -> torch.Tensor:
        if nodes is None or name not in self.fusions:
            return image
        landmarks = scattered(nodes, points[-1].detach(), *image.shape[-2:])
        return cast(torch.Tensor, self.fusions[name](image, landmarks.to(image.dtype)))


def build(settings: dict[str, Any]) -> MultiScaleAffectSRNet:
    """Return the network for a config's settings."""
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    return MultiScaleAffectSRNet(ScaleConfig(**plain))
