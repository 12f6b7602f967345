"""ResNetFerPlus: a residual classifier of apparent expression, trained on people's votes.

The trunk is the first eleven blocks of dlib's face descriptor (`affectbench.faces.identity`), from
which it was fine-tuned: features that distinguish faces are a better start than random weights. Its
stem is folded to greyscale. Features are averaged over a face and its mirror image inside the
network, so the two get the same logits.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affectbench.faces.identity import BLOCKS, Residual
from affectbench.types import EXPRESSIONS

NATIVE_SIZE = 48
ENLARGED = 96  # the face descriptor was made for 150-pixel faces; 96 takes a third of the time
TRUNK = BLOCKS[:11]
_WIDE_FROM = 9  # the last block with 128 channels, whose maps also serve as features
_WIDTH = TRUNK[_WIDE_FROM][1] + TRUNK[-1][1]
_GREY, _CONTRAST = 0.45, 0.2  # mean and standard deviation of photographs, as the trunk expects


class ResNetFerPlus(nn.Module):
    """Classifier of seven apparent expressions on 48x48 greyscale faces; 2.0 million parameters.

    `enlarged` is the side in pixels to which faces are resized for the trunk.
    """

    def __init__(self, enlarged: int = ENLARGED) -> None:
        super().__init__()
        self.scale = enlarged / NATIVE_SIZE
        self.stem = nn.Conv2d(1, TRUNK[0][0], 7, stride=2)
        self.blocks = nn.ModuleList(Residual(*block) for block in TRUNK)
        self.norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, len(EXPRESSIONS))

    def one_sided(self, x: Tensor) -> Tensor:
        """Return features (N,D) of grey faces (N,1,H,W), 40 pixels or more, without mirroring."""
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

        The head is linear, so averaging the features averages the logits.
        """
        # One after the other: the doubled batch would no longer fit into the processor's cache.
        return (self.one_sided(x) + self.one_sided(x.flip(3))) / 2.0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N,7), in the order of `EXPRESSIONS`, of grey faces (N,1,48,48)."""
        return cast(Tensor, self.head(self.features(x)))


def _standardised(x: Tensor) -> Tensor:
    """Normalise mean and contrast of grey faces, since exposure carries no expression."""
    variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
    # The floor keeps the result finite for a flat image.
    return (x - mean) / (variance.sqrt() + 0.01) * _CONTRAST + _GREY
