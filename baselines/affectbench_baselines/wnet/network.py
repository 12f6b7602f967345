"""W-Net (Liu, Yang, Liu, arXiv 2406.00676).

From the paper's abstract (all that we could access): a parsing block predicts a face parsing map
from the LR face, which serves as attention prior; the network is W-shaped; LPF modules fuse LR
features and parsing map at several scales; a parsing mask gives region-dependent loss weights.

Everything else is ours: two U-shaped halves in sequence (parsing, then super-resolution), each of
residual blocks at the full, half and quarter LR size; the fusion; seven regions drawn from
landmarks (`regions.py`) as the parsing target; all sizes.
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
    """C `features`, number of residual `blocks` per scale, `scale` 2, 4 or 8.

    `up_features`: channels after the first upsampling, where most of the multiply-adds are spent.
    """

    features: int = 64
    up_features: int = 64
    blocks: int = 2
    parsing_blocks: int = 1
    scale: int = 8


class Residual(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        return x + cast(torch.Tensor, self.conv2(F.leaky_relu(self.conv1(x), 0.2)))


class Half(nn.Module):
    """One U: two downsamplings, two upsamplings, with additive skip connections."""

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
        """Return (N, C, h, w) of the same shape; `fusions` inject the parsing map at each scale."""
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
    """Fusion of features and parsing map: a gate and a shift per pixel and channel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(features + len(REGIONS), features, 3, padding=1)
        self.shift = nn.Conv2d(len(REGIONS), features, 1)

    def forward(self, x: torch.Tensor, parsing: torch.Tensor) -> torch.Tensor:
        """Map (N, C, h, w) and region probabilities (N, K, h', w') to (N, C, h, w)."""
        regions = F.interpolate(parsing, x.shape[-2:], mode="area")
        gate = cast(torch.Tensor, self.gate(torch.cat([x, regions], dim=1))).sigmoid()
        return x * (0.5 + gate) + cast(torch.Tensor, self.shift(regions))


class WNet(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w); h and w are multiples of 4."""

    size_multiple = 4  # the size is halved twice

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
        """The super-resolution factor."""
        return self.config.scale

    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR, and the parsing logits (N, 7, 2h, 2w)."""
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
    """Return the network for a config's settings."""
    return WNet(WNetConfig(**settings))
