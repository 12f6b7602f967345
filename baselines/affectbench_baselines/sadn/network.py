"""SADN (Wu, Ni, Zhang, arXiv 2110.15655), for continuous scales.

From the paper and its public code (facts): a dynamic convolution whose kernel is a mixture of K
kernels, weighted by image and scale; wide residual blocks with squeeze-and-excitation, in local
dense groups of L blocks, G groups densely connected; this body is unrolled `levels` times with
shared weights, fed with its own output; each output passes through a number of x2 stages, is
resized to the target and weighted by scale. All convolutions use weight normalisation. C=64 L=4 G=4
w=4 levels=4 K=3 has 7,565,782 parameters, C=32 L=2 G=2 w=8 levels=3 K=3 ("light") 1,042,624. The
temperature of the mixture is annealed from 34 to 1 in training.

Ours: the config `compact` (a narrower fusion, whose 256 channels at the output size cost more than
the rest), scales from 2 to 8 instead of 1 to 4, and annealing by the share of faces seen instead of
by epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from affectbench_baselines.base import Details, Network

START_TEMPERATURE = 34.0
ANNEALED_AT = 0.3
_HIDDEN = 64


@dataclass(frozen=True)
class SADNConfig:
    """C `features`, L `layers`, G `groups`, w `widening`, `levels`, K `kernels`.

    `fusion`: channels of the 1x1 convolutions at the output size. `scale` is the default scale, and
    the largest drawn in training; `smallest` is the smallest.
    """

    features: int = 64
    layers: int = 4
    groups: int = 4
    widening: int = 4
    levels: int = 4
    kernels: int = 3
    fusion: int = 256
    reduction: int = 4
    scale: int = 8
    smallest: float = 2.0


class SADConv(nn.Module):
    """A 3x3 convolution whose kernel depends on the image and the scale.

    pi = softmax(logits / T), kernel = sum_k pi_k W_k, bias = sum_k pi_k b_k; the K logits follow
    from the image's channel means and from r = LR size / output size.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, features: int, kernels: int) -> None:
        super().__init__()
        hidden = features // 4 + 1
        self.squeeze = nn.Linear(features, hidden, bias=False)
        self.logits = nn.Linear(hidden + 2, kernels)
        self.weight = nn.Parameter(torch.empty(kernels, features, features, 3, 3))
        self.bias = nn.Parameter(torch.zeros(kernels, features))
        for kernel in self.weight:
            nn.init.kaiming_uniform_(kernel)
        self.temperature = START_TEMPERATURE

    def forward(self, x: torch.Tensor, r: float) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        context = self.squeeze(x.mean((2, 3))).relu()
        context = torch.cat([context, context.new_full((len(x), 2), r)], dim=1)
        mixture = self.logits(context).div(self.temperature if self.training else 1.0).softmax(1)
        # A grouped convolution with one group per image applies all kernels at once.
        kernel = torch.einsum("nk,koihw->noihw", mixture, self.weight).flatten(0, 1)
        bias = (mixture @ self.bias).flatten()
        y = F.conv2d(x.flatten(0, 1)[None], kernel, bias, padding=1, groups=len(x))
        return y.view_as(x)


class DynamicBlock(nn.Module):
    """Wide convolutions, a dynamic convolution, squeeze-and-excitation, and a residual."""

    def __init__(self, config: SADNConfig) -> None:
        super().__init__()
        features, wide = config.features, config.features * config.widening
        self.widen = normed_conv(features, wide)
        self.narrow = normed_conv(wide, features)
        self.dynamic = weight_norm(SADConv(features, config.kernels))
        self.squeeze = nn.Linear(features, features // config.reduction, bias=False)
        self.excite = nn.Linear(features // config.reduction, features, bias=False)

    def forward(self, x: torch.Tensor, r: float) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        y = self.dynamic(self.narrow(self.widen(x).relu()), r)
        gate = self.excite(self.squeeze(y.mean((2, 3))).relu()).sigmoid()
        return x + cast(torch.Tensor, y * gate[..., None, None])


class Dense(nn.Module):
    """Modules in sequence; from the second on, each gets all previous outputs through a 1x1."""

    def __init__(self, parts: list[nn.Module], features: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.compress = nn.ModuleList(
            normed_conv((i + 1) * features, features, 1) for i in range(1, len(parts))
        )

    def forward(self, x: torch.Tensor, r: float) -> torch.Tensor:
        """Return (N, C, h, w) of the same shape."""
        seen = x
        out = self.parts[0](x, r)
        for compress, part in zip(self.compress, list(self.parts)[1:], strict=True):
            seen = torch.cat([seen, out], dim=1)
            out = part(compress(seen), r)
        return cast(torch.Tensor, out)


class ContinuousUpsampling(nn.Module):
    """Applies l x2 stages to output l, resizes it, weights it by scale; then 1x1s to RGB."""

    def __init__(self, config: SADNConfig) -> None:
        super().__init__()
        features, levels, fusion = config.features, config.levels, config.fusion
        self.stages = nn.ModuleList(normed_conv(features, 4 * features) for _ in range(levels - 1))
        self.by_scale = nn.Sequential(
            weight_norm(nn.Linear(1, _HIDDEN)),
            nn.ReLU(),
            weight_norm(nn.Linear(_HIDDEN, levels)),
            nn.Sigmoid(),
        )
        widths = (features * levels, fusion, fusion, fusion, fusion)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [normed_conv(before, after, 1), nn.ReLU()]
        self.fuse = nn.Sequential(*layers, normed_conv(fusion, 3, 1))

    def forward(self, results: list[torch.Tensor], size: tuple[int, int], r: float) -> torch.Tensor:
        """Map `levels` outputs (N, C, h, w) to (N, 3, H, W)."""
        shares = self.by_scale(results[0].new_tensor([r]))
        maps = []
        for level, result in enumerate(results):
            large = result
            for stage in list(self.stages)[:level]:
                large = F.pixel_shuffle(stage(large), 2)
            resized = F.interpolate(large, size, mode="bilinear", align_corners=False)
            maps.append(resized * shares[level])
        return cast(torch.Tensor, self.fuse(torch.cat(maps, dim=1)))


class SADN(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR of any size from x1 to x8, in about [0, 1]."""

    def __init__(self, config: SADNConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        # Published parameter counts include these two, which are fixed.
        self.centre, self.uncentre = shift(-0.5), shift(0.5)
        self.head = normed_conv(3, features)
        self.skip = normed_conv(3, features, 5)
        self.feedback = normed_conv(2 * features, features)
        groups: list[nn.Module] = [
            Dense([DynamicBlock(config) for _ in range(config.layers)], features)
            for _ in range(config.groups)
        ]
        self.body = Dense(groups, features)
        self.tail = normed_conv(features, features)
        self.upsampling = ContinuousUpsampling(config)

    @property
    def scale(self) -> int:
        """The default super-resolution factor."""
        return self.config.scale

    def anneal(self, progress: float) -> None:
        """Set the temperature for a fraction of the training in [0, 1]."""
        left = max(0.0, 1.0 - progress / ANNEALED_AT)
        for part in self.modules():
            if isinstance(part, SADConv):
                part.temperature = 1.0 + (START_TEMPERATURE - 1.0) * left

    def details(self, lr: torch.Tensor, size: tuple[int, int] | None = None) -> Details:
        """Return SR (N, 3, *size) of LR; without `size`, `scale` times that of LR."""
        height, width = size or (lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)
        r = lr.shape[-2] / height
        centred = self.centre(lr)
        skip = self.skip(centred)
        x = last = self.head(centred).relu()
        results = []
        for _ in range(self.config.levels):
            last = self.body(self.feedback(torch.cat([x, last], dim=1)).relu(), r)
            results.append(self.tail(last) + skip)
        return Details(self.uncentre(self.upsampling(results, (height, width), r)))


def shift(offset: float) -> nn.Conv2d:
    """Return a fixed 1x1 convolution that adds `offset` to each colour."""
    conv = nn.Conv2d(3, 3, 1).requires_grad_(False)
    conv.weight.copy_(torch.eye(3)[..., None, None])
    conv.bias.fill_(offset)  # type: ignore[union-attr]
    return conv


def normed_conv(before: int, after: int, kernel: int = 3) -> nn.Module:
    """Return a size-preserving convolution with weight normalisation per output channel."""
    return cast(nn.Module, weight_norm(nn.Conv2d(before, after, kernel, padding=kernel // 2)))


def build(settings: dict[str, Any]) -> SADN:
    """Return the network for a config's settings."""
    return SADN(SADNConfig(**settings))
