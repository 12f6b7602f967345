"""Multimodal split attention fusion, MSAF (Su et al., arXiv 2012.07175), for feature maps.

Each modality's channels are split into blocks of c channels. One joint context vector, pooled over
all blocks of all modalities, yields a weight per block and channel; the weights compete in one
softmax over all blocks. Shapes are unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


class MSAF(nn.Module):
    """`channels` C_m of each modality, c `block`, r `reduction`, p `dropout`, lambda `lowest`."""

    def __init__(
        self,
        channels: Sequence[int],
        block: int,
        reduction: int = 4,
        dropout: float = 0.0,
        lowest: float = 0.0,
    ) -> None:
        super().__init__()
        self.block = block
        self.counts = [-(-width // block) for width in channels]  # rounded up
        self.dropout = dropout
        self.lowest = lowest
        hidden = max(1, block // reduction)
        # The normalisation has its own shift, so the linear map needs no bias.
        self.joint = nn.Sequential(
            nn.Linear(block, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()
        )
        self.logits = nn.ModuleList(nn.Linear(hidden, block) for _ in range(sum(self.counts)))

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Reweight maps (N, C_m, H_m, W_m) of the modalities; their sizes may differ."""
        blocks = [self._split(m) for m in maps]  # each (N, B_m, c, H_m, W_m)
        context = torch.stack([b.sum(1).mean((2, 3)) for b in blocks]).sum(0)  # (N, c)
        joint = self.joint(context)
        attention = torch.stack([linear(joint) for linear in self.logits], 1).softmax(1)
        attention = self.lowest + (1.0 - self.lowest) * attention  # (N, B, c)
        if self.training and self.dropout > 0:
            keep = torch.rand(attention.shape[:2], device=attention.device) >= self.dropout
            attention = attention * keep[..., None] / (1.0 - self.dropout)
        shares = torch.split(attention, self.counts, dim=1)
        return [
            (b * a[..., None, None]).flatten(1, 2)[:, : m.shape[1]]
            for m, b, a in zip(maps, blocks, shares, strict=True)
        ]

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """Split (N, C, H, W) into (N, B, c, H, W), zero-padding the last block."""
        filled = F.pad(x, (0, 0, 0, 0, 0, -x.shape[1] % self.block))
        return filled.view(len(x), -1, self.block, *x.shape[2:])
