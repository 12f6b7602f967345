"""Networks with random weights: what they show does not matter, what they cost does."""

from __future__ import annotations

import torch
from torch import nn


def plain_x8(width: str = "64", depth: str = "24", seed: str = "0") -> nn.Module:
    """3x3 convolutions at LR size and a pixel shuffle of 8; 1.0 million parameters by default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        channels = int(width)
        body: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
        for _ in range(int(depth)):
            body += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        head = nn.Conv2d(channels, 3 * 8 * 8, 3, padding=1)
        return nn.Sequential(*body, head, nn.PixelShuffle(8), nn.Sigmoid()).eval()
