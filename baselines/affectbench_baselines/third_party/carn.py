"""CARN-M (Ahn et al., ECCV 2018, arXiv 1803.08664), for `checkpoint/carn_m.pth` of its authors.

nmhkahn/CARN-pytorch, commit 40d3514, MIT. One set of weights for x2, x3 and x4, trained on DIV2K.
RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from affectbench.assets.untrusted import read_weights
from affectbench.errors import WeightsError

SCALES = (2, 3, 4)
GROUPS = 4
WIDTH = 64


def _conv(channels: int, out: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, groups=groups)


class _Named(nn.Module):
    """A sequence under the name `body`, as the checkpoint has it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sequence applied."""
        out: torch.Tensor = self.body(x)
        return out


class EfficientResidual(_Named):
    """Two grouped 3x3 convolutions and a 1x1, added to the input, ReLU."""

    def __init__(self) -> None:
        grouped = [_conv(WIDTH, WIDTH, GROUPS) for _ in range(2)]
        super().__init__(grouped[0], nn.ReLU(), grouped[1], nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 64, h, w) to the same shape."""
        return torch.relu(self.body(x) + x)


class Cascade(nn.Module):
    """Three stages; after each, a 1x1 convolution fuses the input and the results so far."""

    def __init__(self) -> None:
        super().__init__()
        for stage in (1, 2, 3):
            fuse = nn.Conv2d(WIDTH * (stage + 1), WIDTH, 1)
            self.add_module(f"c{stage}", _Named(fuse, nn.ReLU()))

    def cascade(
        self, x: torch.Tensor, stages: tuple[Callable[[torch.Tensor], torch.Tensor], ...]
    ) -> torch.Tensor:
        """The stages applied to (N, 64, h, w)."""
        gathered = out = x
        for number, stage in enumerate(stages, 1):
            gathered = torch.cat([gathered, stage(out)], dim=1)
            out = self.get_submodule(f"c{number}")(gathered)
        return out


class Block(Cascade):
    """A cascade whose three stages share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.b1 = EfficientResidual()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 64, h, w) to the same shape."""
        return self.cascade(x, (self.b1, self.b1, self.b1))


def _upsampler(scale: int) -> _Named:
    steps = (2, 2) if scale == 4 else (scale,)
    layers: list[nn.Module] = []
    for step in steps:
        layers += [_conv(WIDTH, WIDTH * step**2, GROUPS), nn.ReLU(), nn.PixelShuffle(step)]
    return _Named(*layers)


class _Shift(nn.Module):
    """The mean colour taken off or put back, a 1x1 convolution in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) to the same shape."""
        out: torch.Tensor = self.shifter(x)
        return out


class CARNM(Cascade):
    """LR (N, 3, h, w) in [0, 1] to SR of `scale` times the size. Parts named as the weights are."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = _Shift(), _Shift()
        self.entry = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.b1, self.b2, self.b3 = Block(), Block(), Block()
        self.upsample = nn.ModuleDict({f"up{s}": _upsampler(s) for s in SCALES})
        self.exit = nn.Conv2d(WIDTH, 3, 3, padding=1)
        self._up = f"up{scale}"
        self.spec = {
            "scale": scale,
            "licence": "MIT",
            "trained_on": ("div2k",),
            "note": f"CARN-M x{scale} of nmhkahn/CARN-pytorch, commit 40d3514",
        }

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """SR of LR."""
        features = self.cascade(self.entry(self.sub_mean(lr)), (self.b1, self.b2, self.b3))
        sr: torch.Tensor = self.add_mean(self.exit(self.upsample[self._up](features)))
        return sr


def carn_m(scale: int, weights: str) -> CARNM:
    """CARN-M for x2, x3 or x4; for any other scale x4, to be completed by `@then=`."""
    network = CARNM(scale if scale in SCALES else 4)
    try:
        network.load_state_dict(read_weights(weights))
    except RuntimeError as error:
        raise WeightsError(f"{weights}: is not CARN-M ({error})") from error
    return network
