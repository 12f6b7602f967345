"""ResNetFerPlus: a residual classifier of apparent expression that learned from people's votes.

The trunk is the first blocks of dlib's face descriptor (`affectbench.faces.identity`), which it
was trained from: what tells faces apart is a better start for reading them than chance. Its stem is
folded to grey. The class evidence is averaged over a face and its mirror image inside of the
network, so that the two are treated alike.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affectbench.faces.identity import BLOCKS, Residual
from affectbench.types import EXPRESSIONS

NATIVE_SIZE = 48
TRUNK_BLOCKS = 12
ENLARGED = 112  # the recogniser was made for faces of 150 pixels
_WIDE_FROM = 9  # the last block of 128 channels, whose maps are features as well
_GREY, _CONTRAST = 0.45, 0.2  # mean and deviation of photographs, which the trunk is used to


class ResNetFerPlus(nn.Module):
    """Classifier of seven apparent expressions on 48x48 grey faces; 3.2 million parameters."""

    def __init__(self, blocks: int = TRUNK_BLOCKS, enlarged: int = ENLARGED) -> None:
        super().__init__()
        trunk = BLOCKS[:blocks]
        self.scale = enlarged / NATIVE_SIZE
        self.stem = nn.Conv2d(1, trunk[0][0], 7, stride=2)
        self.blocks = nn.ModuleList(Residual(*block) for block in trunk)
        self.norm = nn.LayerNorm(trunk[_WIDE_FROM][1] + trunk[-1][1])
        self.head = nn.Linear(trunk[_WIDE_FROM][1] + trunk[-1][1], len(EXPRESSIONS))

    def one_sided(self, x: Tensor) -> Tensor:
        """Return features (N,D) of faces (N,1,H,W), grey in [0,1], as they are."""
        large = F.interpolate(_standardised(x), scale_factor=self.scale, mode="bilinear")
        maps = F.relu(self.stem(large.contiguous(memory_format=torch.channels_last)))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2)
        pooled = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in (_WIDE_FROM, len(self.blocks) - 1):
                pooled.append(maps.mean(dim=(2, 3)))
        return cast(Tensor, self.norm(torch.cat(pooled, dim=1)))

    def features(self, x: Tensor) -> Tensor:
        """Return features (N,D) of grey faces (N,1,H,W), the mean over a face and its mirror image.

        The head is linear: the mean of the features gives the mean of the logits.
        """
        # One after the other: twice the batch at once falls out of the processor's cache.
        return (self.one_sided(x) + self.one_sided(x.flip(3))) / 2.0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N,7), in the order of `EXPRESSIONS`, of grey faces (N,1,48,48)."""
        return cast(Tensor, self.head(self.features(x)))


def _standardised(x: Tensor) -> Tensor:
    """Return grey faces of one mean and contrast: exposure carries no expression."""
    variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
    # The floor keeps a flat image finite.
    return (x - mean) / (variance.sqrt() + 0.01) * _CONTRAST + _GREY
