"""RRDBNet, the generator of ESRGAN (Wang et al., arXiv 1809.00219).

From the paper and the public code (facts, not our choices): three dense blocks of five 3x3
convolutions in each residual-in-residual block, residuals scaled by 0.2, LeakyReLU of slope 0.2, no
batch normalisation, and for each factor of 2 nearest-neighbour upsampling followed by a
convolution. 23 blocks of 64 features with a growth of 32 at x4 have 16,697,987 parameters, 6 blocks
4,467,779. Submodules have BasicSR's names, so that its checkpoints load here and ours load in
spandrel.

Ours: x8 by a third upsampling stage `conv_up3`, and the size of the config `compact`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.base import Details, Network

SLOPE = 0.2
RESIDUAL = 0.2


@dataclass(frozen=True)
class RRDBConfig:
    """Size of an RRDBNet: C `features`, G `growth`; `scale` is 2, 4 or 8.

    `unshuffle` is the factor of Real-ESRGAN's x2 and x1 files: LR is pixel-unshuffled by it into
    channels, and the network upsamples by `scale * unshuffle`.
    """

    features: int = 64
    growth: int = 32
    blocks: int = 23
    scale: int = 4
    unshuffle: int = 1

    @property
    def stages(self) -> int:
        """The number of x2 upsampling stages."""
        factor = self.scale * self.unshuffle
        if factor not in (2, 4, 8):
            raise ValueError(f"RRDBNet enlarges by 2, 4 or 8, not by {factor}")
        return factor.bit_length() - 1


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each fed with the input and all previous outputs."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = small_conv3(features, growth)
        self.conv2 = small_conv3(features + growth, growth)
        self.conv3 = small_conv3(features + 2 * growth, growth)
        self.conv4 = small_conv3(features + 3 * growth, growth)
        self.conv5 = small_conv3(features + 4 * growth, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, leaky(conv(seen))], dim=1)
        return x + RESIDUAL * cast(torch.Tensor, self.conv5(seen))


class RRDB(nn.Module):
    """Residual in residual: three dense blocks with a residual connection around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        return x + RESIDUAL * cast(torch.Tensor, self.rdb3(self.rdb2(self.rdb1(x))))


class RRDBNet(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w) in about [0, 1]."""

    def __init__(self, config: RRDBConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        self.conv_first = conv3(3 * config.unshuffle**2, features)
        self.body = nn.Sequential(*(RRDB(features, config.growth) for _ in range(config.blocks)))
        self.conv_body = conv3(features, features)
        self.ups = [f"conv_up{stage + 1}" for stage in range(config.stages)]
        for name in self.ups:
            self.add_module(name, conv3(features, features))
        self.conv_hr = conv3(features, features)
        self.conv_last = conv3(features, 3)

    @property
    def scale(self) -> int:
        """The super-resolution factor."""
        return self.config.scale

    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR, without auxiliary predictions."""
        first = self.first(lr)
        features = first + self.conv_body(self.body(first))
        for name in self.ups:
            features = self.up(name, features)
        return Details(self.last(features))

    def first(self, lr: torch.Tensor) -> torch.Tensor:
        """Return shallow features (N, C, h/u, w/u) of LR (N, 3, h, w), with u = `unshuffle`."""
        folded = F.pixel_unshuffle(lr, self.config.unshuffle) if self.config.unshuffle > 1 else lr
        return cast(torch.Tensor, self.conv_first(folded))

    def up(self, name: str, features: torch.Tensor) -> torch.Tensor:
        """Apply one upsampling stage: (N, C, h, w) to (N, C, 2h, 2w)."""
        return leaky(self.get_submodule(name)(F.interpolate(features, scale_factor=2.0)))

    def last(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, C, H, W) to SR (N, 3, H, W)."""
        return cast(torch.Tensor, self.conv_last(leaky(self.conv_hr(features))))


def conv3(before: int, after: int) -> nn.Conv2d:
    """Return a 3x3 convolution that preserves the size."""
    return nn.Conv2d(before, after, 3, padding=1)


def small_conv3(before: int, after: int) -> nn.Conv2d:
    """Return `conv3` with He initialisation scaled by 0.1, which ESRGAN uses for deep networks."""
    conv = conv3(before, after)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    with torch.no_grad():
        conv.weight.mul_(0.1)
    nn.init.zeros_(cast(torch.Tensor, conv.bias))
    return conv


def leaky(x: torch.Tensor) -> torch.Tensor:
    """Apply LeakyReLU with slope 0.2."""
    return F.leaky_relu(x, SLOPE)


def build(settings: dict[str, Any]) -> RRDBNet:
    """Return the network for a config's settings."""
    return RRDBNet(RRDBConfig(**settings))
