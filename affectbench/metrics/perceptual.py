"""Distances of what networks see: the plug-ins `lpips-alex`, `lpips-vgg` and `dists`.

All compare 8-bit RGB images divided by 255, whole and at their size (`dists` brings larger ones to
256 pixels). The backbones are downloads (`affectbench assets fetch lpips-alex`), VGG16 for both
`lpips-vgg` and `dists`. A model that was trained against such a network has to say so in its
`trained_against`.

| metric       | backbone | smallest side | compared with                                    |
|--------------|----------|---------------|--------------------------------------------------|
| `lpips-alex` | AlexNet  | 31            | the package `lpips` 0.1.4, `net="alex"`, v0.1    |
| `lpips-vgg`  | VGG16    | 16            | the same with `net="vgg"`                        |
| `dists`      | VGG16    | 16            | `piq` 0.8.0; up to 256 pixels also DISTS_pytorch |

The networks are our own definitions: those of `lpips` and `piq` go through torchvision, make 61 or
138 million random weights that are thrown away, and download by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from affectbench.errors import InputError, UnknownNameError
from affectbench.metrics.assets import DISTS as DISTS_WEIGHTS
from affectbench.metrics.assets import LPIPS_ALEX as ALEX_WEIGHTS
from affectbench.metrics.assets import LPIPS_VGG as VGG_WEIGHTS
from affectbench.types import (
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch

    from affectbench.assets.catalogue import Asset
    from affectbench.images.tensors import ImageLike
    from affectbench.metrics.perceptual_networks import Lpips

CHUNK_VALUES = 1 << 20
"""Values of images at once: VGG16 makes some 60 for each of them."""


def lpips(sr: ImageLike, hr: ImageLike, net: str = "alex") -> torch.Tensor:
    """Learned perceptual image patch similarity, one distance per image, lower is better.

    0 for identical images; seldom more than 1. `net` is `alex` or `vgg`. `sr` and `hr` are as in
    `affectbench.metrics.fidelity.psnr`: floats are rounded to 8 bits, there is no gradient. Gives
    float64 (N,). Loads the network at each call. Formula: `perceptual_networks.Lpips`.

    Raises InputError for images that do not fit each other or are too small, UnknownNameError for
    another network, AssetMissingError without its weights, WeightsError if these are damaged.
    Source: Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep
    features as a perceptual metric", CVPR 2018.
    """
    return _measured(_lpips_of(net), sr, hr)


def lpips_over(
    sr: ImageLike, hr: ImageLike, masks: torch.Tensor, net: str = "alex"
) -> torch.Tensor:
    """LPIPS over a region of each image, such as the eyes: float64 (N,), lower is better.

    The mean of the map of distances (`Lpips.spatial`) over `masks`, booleans (N, H, W); NaN for
    an image whose mask is empty. The network sees the whole images, so that a pixel just inside
    of a region still says something of those just outside. Over a mask of everything it is near
    to `lpips` but not equal: maps are enlarged before they are averaged. Arguments and errors as
    in `lpips`, and InputError for masks that are not booleans of the images' size.
    """
    import torch

    from affectbench.images.tensors import as_pair
    from affectbench.metrics.pairs import require_size
    from affectbench.metrics.perceptual_networks import region_distances

    plugin = _lpips_of(net)
    x, y = as_pair(sr, hr)
    require_size(plugin.spec, x)
    if masks.dtype != torch.bool or masks.shape != (len(x), *x.shape[-2:]):
        expected = (len(x), *x.shape[-2:])
        raise InputError(
            f"the masks are {masks.dtype} {tuple(masks.shape)}; booleans {expected} are needed"
        )
    network = load_network(plugin, x.device)
    regions = masks.to(x.device).unsqueeze(1)
    return region_distances(network, x, y, regions, CHUNK_VALUES).squeeze(1)


def dists(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Deep image structure and texture similarity as a distance, one per image, lower is better.

    In [0, 1] up to rounding, 0 for identical images. Formula: `perceptual_networks.Dists`.
    Arguments, result and errors as in `lpips`. Source: Ding, Ma, Wang and Simoncelli, "Image
    quality assessment: unifying structure and texture similarity", IEEE TPAMI 44(5), 2022.
    """
    return _measured(DISTS, sr, hr)


def load_network(plugin: MetricPlugin, device: torch.device) -> Lpips | Any:
    """The network of a metric with verified weights; errors as in `lpips`."""
    from affectbench.metrics.perceptual_networks import load_dists, load_lpips

    if plugin is DISTS:
        bundled, sha256 = DISTS_WEIGHTS.verified()
        return load_dists(VGG_WEIGHTS.verified()[0], bundled, sha256, device)
    if plugin is LPIPS_VGG:
        return load_lpips("vgg", VGG_WEIGHTS.verified()[0], device)
    return load_lpips("alex", ALEX_WEIGHTS.verified()[0], device)


def _lpips_of(net: str) -> MetricPlugin:
    known = {"alex": LPIPS_ALEX, "vgg": LPIPS_VGG}
    if net not in known:
        raise UnknownNameError(f"LPIPS has no network '{net}'; known: {', '.join(known)}")
    return known[net]


def _measured(plugin: MetricPlugin, sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    from affectbench.images.tensors import as_pair, unit_range
    from affectbench.metrics.pairs import pair_values

    x, y = as_pair(sr, hr)
    network = load_network(plugin, x.device)

    def compared(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        distances: torch.Tensor = network(unit_range(sr), unit_range(hr))
        return distances

    return pair_values(plugin.spec, compared, x, y, CHUNK_VALUES).double()


def _plugin(spec: MetricSpec, backbone: Asset, *others: Asset) -> MetricPlugin:
    def identify(_settings: MetricSettings) -> Mapping[str, Any]:
        return {"weights": [asset.verified()[1] for asset in (backbone, *others)]}

    def build(
        settings: MetricSettings,  # noqa: ARG001
        judge: Judge | None,  # noqa: ARG001
        device: torch.device,
    ) -> ImageMetric:
        from affectbench.metrics.perceptual_metric import PerceptualMetric

        return PerceptualMetric(spec, load_network(plugin, device), device, CHUNK_VALUES)

    def require() -> None:
        backbone.require()

    plugin = MetricPlugin(spec, identify, build, require=require)
    return plugin


def _spec(name: str, title: str, *, high: float, min_size: int, source: str) -> MetricSpec:
    return MetricSpec(
        name=name,
        version="1",
        title=title,
        group="perceptual",
        direction="lower",
        range=(0.0, high),
        source=source,
        min_size=min_size,
    )


_ZHANG = "Zhang et al., CVPR 2018, version 0.1"

LPIPS_ALEX = _plugin(
    _spec("lpips-alex", "LPIPS of AlexNet", high=float("inf"), min_size=31, source=_ZHANG),
    ALEX_WEIGHTS,
)
LPIPS_VGG = _plugin(
    _spec("lpips-vgg", "LPIPS of VGG16", high=float("inf"), min_size=16, source=_ZHANG),
    VGG_WEIGHTS,
)
DISTS = _plugin(
    _spec(
        "dists",
        "Deep image structure and texture similarity",
        high=1.0,
        min_size=16,
        source="Ding et al., IEEE TPAMI 44(5), 2022",
    ),
    VGG_WEIGHTS,
    DISTS_WEIGHTS,
)
