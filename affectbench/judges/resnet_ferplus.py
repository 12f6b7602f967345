"""ResNetFerPlus: a residual classifier of apparent expression that learned from people's votes.

The trunk is the first eleven blocks of dlib's face descriptor (`affectbench.faces.identity`), from
which it was trained: what tells faces apart is a better start for reading them than chance. Its
stem is folded to grey. The class evidence is averaged over a face and its mirror image inside of
the network, so that the two are treated alike.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affectbench.faces.identity import BLOCKS, Residual
from affectbench.types import EXPRESSIONS

NATIVE_SIZE = 48
ENLARGED = 96  # the recogniser was made for faces of 150 pixels; at 96 it takes a third of the time
TRUNK = BLOCKS[:11]
_WIDE_FROM = 9  # the last block of 128 channels, whose maps are features as well
_WIDTH = TRUNK[_WIDE_FROM][1] + TRUNK[-1][1]
_GREY, _CONTRAST = 0.45, 0.2  # mean and deviation of photographs, which the trunk is used to


class ResNetFerPlus(nn.Module):
    """Classifier of seven apparent expressions on 48x48 grey faces; 2.0 million parameters.

    `enlarged` is the side in pixels at which the trunk sees a face.
    """

    def __init__(self, enlarged: int = ENLARGED) -> None:
        super().__init__()
        self.scale = enlarged / NATIVE_SIZE
        self.stem = nn.Conv2d(1, TRUNK[0][0], 7, stride=2)
        self.blocks = nn.ModuleList(Residual(*block) for block in TRUNK)
        self.norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, len(EXPRESSIONS))

    def one_sided(self, x: Tensor) -> Tensor:
        """Return features (N,D) of grey faces (N,1,H,W) in [0,1] as they are, 40 pixels or more."""
        large = F.interpolate(_standardised(x), scale_factor=self.scale, mode="bilinear")
        maps = F.relu(self.stem(large.contiguous(memory_format=torch.channels_last)))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2)
        pooled = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in (_WIDE_FROM, len(TRUNK) - 1):
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
