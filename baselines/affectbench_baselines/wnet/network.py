"""W-Net (Liu, Yang, Liu, arXiv 2406.00676).

From the paper's abstract (all that we could read): a parsing block makes a face parsing map from
the LR face, which is used as attention prior; the network is W-shaped; LPF modules fuse LR features
and parsing map at several scales; a parsing mask gives region-dependent loss weights.

Everything else is ours: two U-shaped halves in a row (first parsing, then super-resolution), each
of residual blocks at the LR size, a half and a quarter of it; the fusion; seven regions drawn from
landmarks (`regions.py`) as the parsing's target; all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.base import Details, Network
from affectbench_baselines.wnet.regions import REGIONS


@dataclass(frozen=True)
class WNetConfig:
    """C `features`, number of residual `blocks` a scale, `scale` 2, 4 or 8.

    `up_features`: channels after the first upsampling, where most of the multiply-adds are.
    """

    features: int = 64
    up_features: int = 64
    blocks: int = 2
    parsing_blocks: int = 1
    scale: int = 8


class Residual(nn.Module):
    """Two 3x3 convolutions and a residual."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to the same shape."""
        return x + cast(torch.Tensor, self.conv2(F.leaky_relu(self.conv1(x), 0.2)))


class Half(nn.Module):
    """One U: down twice, up twice, with sums across."""

    def __init__(self, features: int, blocks: int) -> None:
        super().__init__()

        def stack() -> nn.Sequential:
            return nn.Sequential(*(Residual(features) for _ in range(blocks)))

        self.down = nn.ModuleList(stack() for _ in range(3))
        self.shrink = nn.ModuleList(
            nn.Conv2d(features, features, 3, stride=2, padding=1) for _ in range(2)
        )
        self.up = nn.ModuleList(stack() for _ in range(2))

    def forward(
        self, x: torch.Tensor, fusions: list[LPF], parsing: torch.Tensor | None
    ) -> torch.Tensor:
        """(N, C, h, w) to the same shape; `fusions` take in the parsing map at each scale."""
        skips = []
        for level, stack in enumerate(self.down):
            if parsing is not None:
                x = fusions[level](x, parsing)
            x = stack(x)
            if level < 2:
                skips.append(x)
                x = self.shrink[level](x)
        for stack, skip in zip(self.up, reversed(skips), strict=True):
            x = cast(torch.Tensor, stack(skip + F.interpolate(x, scale_factor=2.0)))
        return x


class LPF(nn.Module):
    """Fusion of features and parsing map: a gate per pixel and channel, and a shift."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(features + len(REGIONS), features, 3, padding=1)
        self.shift = nn.Conv2d(len(REGIONS), features, 1)

    def forward(self, x: torch.Tensor, parsing: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) and region probabilities (N, K, h', w') to (N, C, h, w)."""
        regions = F.interpolate(parsing, x.shape[-2:], mode="area")
        gate = cast(torch.Tensor, self.gate(torch.cat([x, regions], dim=1))).sigmoid()
        return x * (0.5 + gate) + cast(torch.Tensor, self.shift(regions))


class WNet(Network):
    """LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w); h and w are multiples of 4."""

    size_multiple = 4  # they are halved twice

    def __init__(self, config: WNetConfig) -> None:
        super().__init__()
        if config.scale not in (2, 4, 8):
            raise ValueError(f"W-Net enlarges by 2, 4 or 8, not by {config.scale}")
        self.config = config
        features = config.features
        self.first = nn.Conv2d(3, features, 3, padding=1)
        self.parser = Half(features, config.parsing_blocks)
        self.regions = nn.Conv2d(features, 4 * len(REGIONS), 3, padding=1)
        self.restorer = Half(features, config.blocks)
        self.fusions = nn.ModuleList(LPF(features) for _ in range(3))
        stages = config.scale.bit_length() - 1
        fewer = config.up_features
        self.ups = nn.ModuleList(
            nn.Conv2d(fewer if stage else features, fewer, 3, padding=1) for stage in range(stages)
        )
        self.up_fusion = LPF(fewer)
        self.hr = nn.Conv2d(fewer, fewer, 3, padding=1)
        self.last = nn.Conv2d(fewer, 3, 3, padding=1)

    @property
    def scale(self) -> int:
        """How much larger SR is than LR."""
        return self.config.scale

    def details(self, lr: torch.Tensor) -> Details:
        """SR of LR, and the parsing logits (N, 7, 2h, 2w)."""
        first = self.first(lr - 0.5)
        parsed = self.parser(first, [], None)
        logits = F.pixel_shuffle(self.regions(parsed), 2)
        parsing = logits.softmax(1)
        fusions = [cast(LPF, fusion) for fusion in self.fusions]
        x = first + self.restorer(first + parsed, fusions, parsing)
        for stage, up in enumerate(self.ups):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2.0)), 0.2)
            if stage == 0:
                x = self.up_fusion(x, parsing)
        sr = self.last(F.leaky_relu(self.hr(x), 0.2)) + 0.5
        return Details(sr, parsing=logits)


def build(settings: dict[str, Any]) -> WNet:
    """The network of a config's settings."""
    return WNet(WNetConfig(**settings))
