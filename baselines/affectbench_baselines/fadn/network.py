"""FADN (Xie, Song, Xu et al., ICCV 2021, arXiv 2103.08357): frequency-aware dynamic network.

From the paper (facts): an EDSR-like shell of 16 residual blocks with 64 features; in each block a
1x1 convolution assigns every pixel to a low, mid or high branch (Gumbel-softmax in training, the
largest at test); low = depthwise 3x3, ReLU, 1x1; mid = 3x3, ReLU, 1x1; high = 3x3, ReLU, 3x3. The
predictor is guided by masks derived from a DCT, with a sparsity loss on the mean cost.

Ours: the masks' thresholds (`frequency.py`), the size of the config `compact`, three PixelShuffle
stages for x8, and three equivalent ways of inference: `dense` computes all branches everywhere,
`pixel` gathers the pixels of a branch, `tile` runs a branch on tiles of at least 8x8 that contain
one of its pixels. Which is fastest depends on the machine and the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import nn
from torch.nn import functional as F

from affectbench_baselines.base import Details, Network
from affectbench_baselines.fadn.masked import by_pixels, by_tiles

Execution = Literal["dense", "pixel", "tile"]
EXECUTIONS: tuple[Execution, ...] = get_args(Execution)
BRANCHES = ("low", "mid", "high")


@dataclass(frozen=True)
class FADNConfig:
    """C `features`, number of `blocks`, `scale` 2, 4 or 8, Gumbel `temperature`, `tile` side."""

    features: int = 64
    blocks: int = 16
    scale: int = 4
    temperature: float = 1.0
    execution: Execution = "dense"
    tile: int = 8


class DynamicBlock(nn.Module):
    """x + the output of the branch that each pixel is routed to."""

    def __init__(self, config: FADNConfig) -> None:
        super().__init__()
        features = config.features
        self.config = config
        self.execution: Execution = config.execution
        self.predictor = nn.Conv2d(features, 3, 1)
        self.low = _branch(nn.Conv2d(features, features, 3, padding=1, groups=features), 1)
        self.mid = _branch(nn.Conv2d(features, features, 3, padding=1), 1)
        self.high = _branch(nn.Conv2d(features, features, 3, padding=1), 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (N, C, h, w) of the same shape; the choice and its logits, both (N, 3, h, w)."""
        logits = self.predictor(x)
        if self.training:
            choice = F.gumbel_softmax(logits, self.config.temperature, hard=True, dim=1)
        else:
            choice = F.one_hot(logits.argmax(1), 3).movedim(-1, 1).to(x.dtype)
        branches = [self.get_submodule(name) for name in BRANCHES]
        if self.training or self.execution == "dense":
            change = sum(choice[:, i : i + 1] * b(x) for i, b in enumerate(branches))
        else:
            masks = choice.bool().unbind(1)
            pairs = zip(branches, masks, strict=True)
            if self.execution == "pixel":
                change = sum(by_pixels(cast(nn.Sequential, b), x, mask) for b, mask in pairs)
            else:
                tile = self.config.tile
                change = sum(by_tiles(cast(nn.Sequential, b), x, mask, tile) for b, mask in pairs)
        return x + change, choice, logits


class FADN(Network):
    """Map LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w) in about [0, 1]."""

    costs: torch.Tensor

    def __init__(self, config: FADNConfig) -> None:
        super().__init__()
        if config.scale not in (2, 4, 8):
            raise ValueError(f"FADN enlarges by 2, 4 or 8, not by {config.scale}")
        self.config = config
        features = config.features
        self.head = nn.Conv2d(3, features, 3, padding=1)
        self.blocks = nn.ModuleList(DynamicBlock(config) for _ in range(config.blocks))
        self.tail = nn.Conv2d(features, features, 3, padding=1)
        stages = config.scale.bit_length() - 1
        self.ups = nn.ModuleList(
            nn.Conv2d(features, 4 * features, 3, padding=1) for _ in range(stages)
        )
        self.last = nn.Conv2d(features, 3, 3, padding=1)
        self.register_buffer("costs", branch_costs(features), persistent=False)

    @property
    def scale(self) -> int:
        """The super-resolution factor."""
        return self.config.scale

    def execute(self, execution: Execution) -> None:
        """Choose how branches are computed at inference; the result stays the same."""
        for block in self.blocks:
            cast(DynamicBlock, block).execution = execution

    def details(self, lr: torch.Tensor) -> Details:
        """Return SR of LR, the mean cost of the choices, and the predictors' mean logits."""
        first = x = self.head(lr - 0.5)
        costs, guides = [], []
        for block in self.blocks:
            x, choice, logits = block(x)
            costs.append((choice.mean((0, 2, 3)) * self.costs).sum())
            guides.append(logits)
        x = first + self.tail(x)
        for up in self.ups:
            x = F.pixel_shuffle(up(x), 2)
        sr = self.last(x) + 0.5
        return Details(sr, cost=torch.stack(costs).mean(), frequency=torch.stack(guides).mean(0))


def branch_costs(features: int) -> torch.Tensor:
    """Return the multiply-adds of the three branches per pixel, relative to the high one."""
    low, mid, high = 9 + features, 10 * features, 18 * features
    return torch.tensor([low / high, mid / high, 1.0])


def _branch(first: nn.Conv2d, kernel: int) -> nn.Sequential:
    features = first.out_channels
    return nn.Sequential(
        first, nn.ReLU(), nn.Conv2d(features, features, kernel, padding=kernel // 2)
    )


def build(settings: dict[str, Any]) -> FADN:
    """Return the network for a config's settings."""
    return FADN(FADNConfig(**settings))
