"""ResNetFer: a small residual classifier of apparent expression whose logits ignore left and right.

Every convolution is equivariant to mirroring (a group convolution over the two-element mirror
group). Channels come in two halves, and the second half of the output is made by the mirror images
of the first half's kernels: mirroring a face swaps the halves of each feature map and mirrors it.
Averaging over positions and over the halves then gives features that are the same for a face and
its mirror image, up to rounding, in one forward pass. Such a pass costs what an ordinary residual
network of the same width costs; only the number of free weights is halved.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
NATIVE_SIZE = 48


class MirrorConv(nn.Module):
    """Stride-1 convolution of unchanged size, equivariant to a mirrored input.

    `weight` (out // 2, in, k, k) makes the first half of the output channels. Its mirror image,
    with the two halves of the input channels swapped, makes the second half. An image has no
    halves to swap: `from_image=True`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        from_image: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if outputs % 2 or (inputs % 2 and not from_image):
            raise ValueError(f"channel counts must be even: {inputs} -> {outputs}")
        self.from_image = from_image
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.empty(outputs // 2, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu", generator=generator)

    def full_weight(self) -> Tensor:
        """The ordinary convolution kernel (out, in, k, k) that this layer applies."""
        mirrored = self.weight.flip(3)
        if not self.from_image:
            mirrored = mirrored.roll(mirrored.shape[1] // 2, dims=1)
        return torch.cat((self.weight, mirrored))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        return F.conv2d(x, self.full_weight(), padding=self.padding)


class MirrorNorm(nn.BatchNorm2d):
    """Batch normalisation whose two channel halves share statistics, scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels // 2)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        n, c, h, w = input.shape
        # The halves become neighbouring columns: no copy in the channels_last memory format.
        paired = input.permute(0, 2, 3, 1).reshape(n, h, 2 * w, c // 2).permute(0, 3, 1, 2)
        normed: Tensor = super().forward(paired)
        return normed.permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)


class MirrorBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.conv1 = MirrorConv(inputs, outputs, 3, generator=generator)
        self.norm1 = MirrorNorm(outputs)
        self.conv2 = MirrorConv(outputs, outputs, 3, generator=generator)
        self.norm2 = MirrorNorm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            conv = MirrorConv(inputs, outputs, 1, generator=generator)
            self.shortcut = nn.Sequential(conv, MirrorNorm(outputs))
        nn.init.zeros_(self.norm2.weight)  # each block starts as its shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNetFer(nn.Module):
    """Classifier of seven apparent expressions on 48x48 grey faces.

    `widths` and `depths` are the channels (both halves together) and blocks of each stage; every
    stage halves the size by max pooling first, whose even windows keep the mirror symmetry.
    """

    def __init__(
        self,
        stem: int = 32,
        widths: Sequence[int] = (64, 128, 256),
        depths: Sequence[int] = (1, 2, 2),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            MirrorConv(1, stem, 3, from_image=True, generator=generator),
            MirrorNorm(stem),
            nn.ReLU(),
        ]
        channels = stem
        for width, depth in zip(widths, depths, strict=True):
            layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers.append(MirrorBlock(channels, width, generator))
                channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels // 2, len(CLASSES))
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def features(self, x: Tensor) -> Tensor:
        """(N,1,H,W) grey in [0,1], H and W multiples of 8 -> (N,D) mirror-invariant features."""
        variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
        # Exposure and contrast carry no expression; the floor keeps a flat image finite.
        standard = (x - mean) / (variance.sqrt() + 0.01)
        maps = self.body(standard.contiguous(memory_format=torch.channels_last))
        pooled: Tensor = maps.mean(dim=(2, 3))
        halves = pooled.chunk(2, dim=1)
        return (halves[0] + halves[1]) / 2.0

    def forward(self, x: Tensor) -> Tensor:
        """(N,1,48,48) grey in [0,1] -> logits (N,7) in the order of `CLASSES`."""
        logits: Tensor = self.head(self.features(x))
        return logits
