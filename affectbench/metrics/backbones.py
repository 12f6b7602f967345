"""The convolutional layers of AlexNet and VGG16 with torchvision's ImageNet weights.

Defined here because `lpips` and `piq` go through torchvision, which initialises 61 or 138 million
random weights only to discard them, and downloads the trained ones on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from affectbench.errors import WeightsError

Net = Literal["alex", "vgg"]
Layer = tuple[int, int, int, int, int]
"""A convolution: input channels, output channels, kernel size, stride, padding."""

LAYERS: dict[Net, tuple[tuple[Layer, ...], ...]] = {
    # Activations are compared at the end of each stage; pooling lies between stages.
    "alex": (
        ((3, 64, 11, 4, 2),),
        ((64, 192, 5, 1, 2),),
        ((192, 384, 3, 1, 1),),
        ((384, 256, 3, 1, 1),),
        ((256, 256, 3, 1, 1),),
    ),
    "vgg": (
        ((3, 64, 3, 1, 1), (64, 64, 3, 1, 1)),
        ((64, 128, 3, 1, 1), (128, 128, 3, 1, 1)),
        ((128, 256, 3, 1, 1), (256, 256, 3, 1, 1), (256, 256, 3, 1, 1)),
        ((256, 512, 3, 1, 1), (512, 512, 3, 1, 1), (512, 512, 3, 1, 1)),
        ((512, 512, 3, 1, 1), (512, 512, 3, 1, 1), (512, 512, 3, 1, 1)),
    ),
}
POOLED: dict[Net, tuple[int, ...]] = {"alex": (1, 2), "vgg": (1, 2, 3, 4)}
"""The stages that start with pooling."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""For R, G and B in [0, 1]; LPIPS gives the equivalent values for images in [-1, 1]."""

_Network = TypeVar("_Network", bound=nn.Module)
Pooling = Callable[[torch.Tensor], torch.Tensor]
Features: TypeAlias = list[torch.Tensor]
"""Activations (N, C, h, w) of each stage."""


class Stages(nn.Module):
    """The convolutional layers of AlexNet or VGG16, without the classifier."""

    def __init__(self, net: Net, pooling: Pooling) -> None:
        super().__init__()
        self.pooled, self.pooling = POOLED[net], pooling
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(i, o, k, s, p) for i, o, k, s, p in stage)
            for stage in LAYERS[net]
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the activations (N, C, h, w) at the end of each stage."""
        found = []
        for number, stage in enumerate(self.stages):
            if number in self.pooled:
                x = self.pooling(x)
            for convolution in cast(nn.ModuleList, stage):
                x = F.relu(convolution(x))
            found.append(x)
        return found


def normalised(x: torch.Tensor) -> torch.Tensor:
    """Return images (N, 3, H, W) in [0, 1], normalised as in the training of the backbones."""
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (x - mean) / std


def stage_tensors(net: Net, arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Return the tensors of `Stages`; JAX stores filters as (H, W, in, out)."""
    origin = {"alex": "AlexNet_0", "vgg": "VGG16_0"}[net]
    tensors, number = {}, 0
    for i, stage in enumerate(LAYERS[net]):
        for j in range(len(stage)):
            for theirs, ours, axes in (("kernel", "weight", (3, 2, 0, 1)), ("bias", "bias", (0,))):
                array = arrays.get(f"{origin}/Conv_{number}/{theirs}")
                if array is not None and array.ndim == len(axes):
                    stored = torch.from_numpy(array.transpose(axes).copy())
                    tensors[f"stages.{i}.{j}.{ours}"] = stored
            number += 1
    return tensors


def loaded(
    network: _Network, tensors: Mapping[str, torch.Tensor], path: Path, device: torch.device
) -> _Network:
    """Return the network with these tensors, frozen and in eval mode.

    Raises WeightsError if they do not fit.
    """
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path}: does not fit {type(network).__name__} ({reason})") from error
    return network.to(device).eval().requires_grad_(False)
