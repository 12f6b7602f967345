"""The SRGAN generator (Ledig et al., arXiv 1609.04802), for the checkpoints of leftthomas/SRGAN.

`epochs/netG_epoch_{2,4,8}_100.pth` of commit b0323c6; the repository is under MIT since 2020, that
commit carries no licence file. Trained on VOC2012 with a VGG content loss. RGB in [0, 1].
"""

from __future__ import annotations

import torch
from torch import nn

from affectbench.assets.untrusted import read_weights
from affectbench.errors import WeightsError

BLOCKS = ("block2", "block3", "block4", "block5", "block6")


class Residual(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to the input."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to the same shape."""
        inner = self.prelu(self.bn1(self.conv1(x)))
        out: torch.Tensor = x + self.bn2(self.conv2(inner))
        return out


class Upsample(nn.Module):
    """Twice the size: convolution, pixel shuffle, PReLU."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.prelu = nn.PReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, 2h, 2w)."""
        out: torch.Tensor = self.prelu(self.shuffle(self.conv(x)))
        return out


class Generator(nn.Module):
    """LR (N, 3, h, w) in [0, 1] to SR of 2**stages times the size, in [0, 1].

    The parts bear the names of the checkpoints' tensors.
    """

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 64, 9, padding=4), nn.PReLU())
        for name in BLOCKS:
            self.add_module(name, Residual())
        self.block7 = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.PReLU())
        ups = [Upsample() for _ in range(stages)]
        self.block8 = nn.Sequential(*ups, nn.Conv2d(64, 3, 9, padding=4))
        self.spec = {
            "scale": 2**stages,
            "licence": "MIT (repository since 2020; the weights' commit carries no licence)",
            "trained_on": ("voc2012",),
            "trained_against": ("vgg16",),
            "note": f"SRGAN x{2**stages} of leftthomas/SRGAN, commit b0323c6",
        }

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """SR of LR."""
        first = inner = self.block1(lr)
        for name in BLOCKS:
            inner = self.get_submodule(name)(inner)
        out = self.block8(first + self.block7(inner))
        return (torch.tanh(out) + 1.0) / 2.0


def srgan(weights: str) -> Generator:
    """The generator of a checkpoint, of the scale that its weights have."""
    tensors = read_weights(weights)
    stages = sum(name.startswith("block8.") and name.endswith(".conv.weight") for name in tensors)
    generator = Generator(stages)
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{weights}: is not an SRGAN generator ({error})") from error
    return generator
