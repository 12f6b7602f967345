"""ResNetFer: a residual classifier of apparent expression that starts from a face recogniser.

The trunk is the first eleven blocks of dlib's face descriptor (`affectbench.faces.identity`), taken
with its weights: what tells faces apart is a better start for reading them than chance. Its stem is
folded to grey. The class evidence is averaged over a face and its mirror image inside of the
network, so that the two are treated alike.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affectbench.faces.identity import BLOCKS, MEAN_RGB, Residual, load_face_descriptor

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
NATIVE_SIZE = 48
TRUNK = BLOCKS[:11]
_ENLARGED = 2  # the recogniser was made for faces of 150 pixels; at 96 it takes a third of the time
_WIDE_FROM = 9  # the last block of 128 channels, whose maps are features as well
_GREY, _CONTRAST = 0.45, 0.2  # mean and deviation of photographs, which the trunk is used to


class ResNetFer(nn.Module):
    """Classifier of seven apparent expressions on 48x48 grey faces; 2.0 million parameters."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, TRUNK[0][0], 7, stride=2)
        self.blocks = nn.ModuleList(Residual(*block) for block in TRUNK)
        self.norm = nn.LayerNorm(TRUNK[_WIDE_FROM][1] + TRUNK[-1][1])
        self.head = nn.Linear(TRUNK[_WIDE_FROM][1] + TRUNK[-1][1], len(CLASSES))
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def one_sided(self, x: Tensor) -> Tensor:
        """(N,1,H,W) grey in [0,1], 40 pixels or more -> features (N,D) of the face as it is."""
        large = F.interpolate(_standardised(x), scale_factor=_ENLARGED, mode="bilinear")
        maps = F.relu(self.stem(large.contiguous(memory_format=torch.channels_last)))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2)
        pooled = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in (_WIDE_FROM, len(self.blocks) - 1):
                pooled.append(maps.mean(dim=(2, 3)))
        return cast(Tensor, self.norm(torch.cat(pooled, dim=1)))

    def features(self, x: Tensor) -> Tensor:
        """(N,1,H,W) grey in [0,1] -> features (N,D), the mean over the face and its mirror image.

        The head is linear: the mean of the features gives the mean of the logits.
        """
        # One after the other: twice the batch at once falls out of the processor's cache.
        return (self.one_sided(x) + self.one_sided(x.flip(3))) / 2.0

    def forward(self, x: Tensor) -> Tensor:
        """(N,1,48,48) grey in [0,1] -> logits (N,7) in the order of `CLASSES`."""
        return cast(Tensor, self.head(self.features(x)))

    def start_from_recogniser(self) -> None:
        """Take the weights of dlib's face descriptor, the stem folded to grey."""
        source = load_face_descriptor(torch.device("cpu"))
        weight, bias = source.stem.weight.detach(), cast(Tensor, source.stem.bias).detach()
        mean = weight.new_tensor(MEAN_RGB).view(1, 3, 1, 1)
        with torch.no_grad():
            self.stem.weight.copy_(weight.sum(1, keepdim=True))
            cast(Tensor, self.stem.bias).copy_(bias - (weight * mean).sum((1, 2, 3)))
        for own, given in zip(self.blocks, source.blocks, strict=False):
            own.load_state_dict(given.state_dict())

    def freeze_trunk(self, blocks: int) -> None:
        """Keep the stem and the first blocks as they are."""
        for part in (self.stem, *self.blocks[:blocks]):
            part.requires_grad_(False)


def _standardised(x: Tensor) -> Tensor:
    """Grey faces of one mean and contrast: exposure carries no expression."""
    variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
    # The floor keeps a flat image finite.
    return (x - mean) / (variance.sqrt() + 0.01) * _CONTRAST + _GREY
