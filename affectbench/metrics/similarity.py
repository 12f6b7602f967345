"""Fidelity beside PSNR and SSIM: `mae`, `ms_ssim`, `vif`, and `gmsd` and `haarpsi` through `piq`.

All compare 8-bit images, whole, without a border: the conventions of PSNR and SSIM do not apply.
What they look at is what `piq` 0.8 does with RGB images:

| metric          | colour                                  | smallest side |
|-----------------|-----------------------------------------|---------------|
| `mae`           | RGB                                     | 1             |
| `ms_ssim`       | RGB, each channel, then their mean      | 161           |
| `ms_ssim_small` | RGB, each channel, then their mean      | 81            |
| `vif`           | luma 0.299 R + 0.587 G + 0.114 B        | 41            |
| `gmsd`          | luma (Y of YIQ), halved in size         | 6             |
| `haarpsi`       | luma and chroma (YIQ), halved in size   | 16            |

`piq` comes with the extra `metrics`: it needs torchvision, whose builds are tied to one of torch
each, so that a plain installation leaves it out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from affectbench.errors import MissingExtraError
from affectbench.types import (
    Direction,
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch

    from affectbench.images.tensors import ImageLike

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weights of the five scales of MS-SSIM, finest first (Wang et al., 2003)."""

SMALL_WEIGHTS = WEIGHTS[:4]
"""Those of `ms_ssim_small`, divided by their sum: the coarsest scale is left out."""


def require_piq() -> None:
    """MissingExtraError if `piq`, or the torchvision that it needs, is not installed."""
    if not all(importlib.util.find_spec(name) for name in ("piq", "torchvision")):
        raise MissingExtraError("gmsd and haarpsi (piq)", "metrics")


def mae(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Mean absolute error in [0, 1], one value per image, lower is better.

    The mean over pixels and channels of |SR - HR| / 255 of 8-bit images. `sr` and `hr` are as in
    `affectbench.metrics.fidelity.psnr`: floats are rounded to 8 bits, there is no gradient. Gives
    float64 (N,). Raises InputError for images that do not fit each other or are too small.

    >>> import torch
    >>> black = torch.zeros(1, 3, 16, 16)
    >>> round(float(mae(black, black + 51 / 255)), 3)
    0.2
    """
    return _measured(MAE, sr, hr)


def ms_ssim(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Multi-scale structural similarity in [0, 1], one value per image, higher is better.

    prod_j cs_j^w_j over five scales, with SSIM itself at the coarsest one: each scale halves the
    one before by 2x2 means, the window is Gaussian 11x11 with sigma 1.5, w are `WEIGHTS`. Negative
    means count as 0. Images need 161 pixels a side. Arguments, result and errors as in `mae`.
    Source: Wang, Simoncelli and Bovik, Asilomar 2003.
    """
    return _measured(MS_SSIM, sr, hr)


def ms_ssim_small(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """MS-SSIM of four scales instead of five, for images from 81 pixels a side.

    The first four weights of `ms_ssim`, divided by their sum (our choice; nobody else's MS-SSIM
    has this number). All else as in `ms_ssim`.
    """
    return _measured(MS_SSIM_SMALL, sr, hr)


def vif(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Visual information fidelity in the pixel domain, one value per image, higher is better.

    0 without information, 1 for identical images, more than 1 where SR has more contrast than HR;
    1 of a flat HR, which has no information to lose. Not symmetric. Arguments, result and errors
    as in `mae`. Source: Sheikh and Bovik, IEEE TIP 15(2), 2006,
    as `vif_p` of its authors.
    """
    return _measured(VIF, sr, hr)


def gmsd(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Gradient magnitude similarity deviation, one value per image, 0 is best, lower is better.

    Arguments, result and errors as in `mae`; MissingExtraError without `piq`.
    Source: Xue et al., IEEE TIP 23(2), 2014.
    """
    return _measured(GMSD, sr, hr)


def haarpsi(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Haar wavelet-based perceptual similarity in [0, 1], one per image, higher is better.

    Exactly 1 for identical images. Arguments, result and errors as in `gmsd`. Source:
    Reisenhofer et al., Signal Processing: Image Communication 61, 2018.
    """
    return _measured(HAARPSI, sr, hr)


def _measured(plugin: MetricPlugin, sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    plugin.require()
    from affectbench.metrics import similarity_kernels
    from affectbench.metrics.pairs import measured

    return measured(plugin.spec, similarity_kernels.MEASURES[plugin.spec.name], sr, hr)


def _builder(
    spec: MetricSpec,
) -> Callable[[MetricSettings, Judge | None, torch.device], ImageMetric]:
    def build(
        settings: MetricSettings,  # noqa: ARG001
        judge: Judge | None,  # noqa: ARG001
        device: torch.device,
    ) -> ImageMetric:
        from affectbench.metrics.pairs import PairMetric
        from affectbench.metrics.similarity_kernels import MEASURES

        return PairMetric(spec, MEASURES[spec.name], device)

    return build


def _spec(
    name: str,
    title: str,
    direction: Direction,
    *,
    high: float,
    min_size: int,
    source: str,
    version: str = "1",
) -> MetricSpec:
    return MetricSpec(
        name=name,
        version=version,
        title=title,
        group="fidelity",
        direction=direction,
        range=(0.0, high),
        source=source,
        min_size=min_size,
    )


def _through_piq(spec: MetricSpec) -> MetricPlugin:
    def identify(_settings: MetricSettings) -> Mapping[str, Any]:
        require_piq()
        return {"package": f"piq {version('piq')}"}

    return MetricPlugin(spec, identify, _builder(spec), require=require_piq)


def _scaled(spec: MetricSpec, weights: tuple[float, ...]) -> MetricPlugin:
    def identify(_settings: MetricSettings) -> Mapping[str, Any]:
        return {"scale_weights": list(weights)}

    return MetricPlugin(spec, identify, _builder(spec))


def _nothing_more(_settings: MetricSettings) -> Mapping[str, Any]:
    return {}


_MAE = _spec(
    "mae",
    "Mean absolute error",
    "lower",
    high=1.0,
    min_size=1,
    source="mean of |SR - HR| / 255",
)
MAE = MetricPlugin(_MAE, _nothing_more, _builder(_MAE))

MS_SSIM = _scaled(
    _spec(
        "ms_ssim",
        "Multi-scale structural similarity",
        "higher",
        high=1.0,
        min_size=161,
        source="Wang, Simoncelli and Bovik, Asilomar 2003; as in piq",
        version="2",
    ),
    WEIGHTS,
)
MS_SSIM_SMALL = _scaled(
    _spec(
        "ms_ssim_small",
        "Multi-scale SSIM of four scales",
        "higher",
        high=1.0,
        min_size=81,
        source="MS-SSIM (Wang, Simoncelli and Bovik, 2003) without its coarsest scale; as in piq",
        version="2",
    ),
    SMALL_WEIGHTS,
)
VIF = MetricPlugin(
    _VIF := _spec(
        "vif",
        "Visual information fidelity, pixel domain",
        "higher",
        high=float("inf"),
        min_size=41,
        source="Sheikh and Bovik, IEEE TIP 15(2), 2006; as in piq",
        version="2",
    ),
    _nothing_more,
    _builder(_VIF),
)
GMSD = _through_piq(
    _spec(
        "gmsd",
        "Gradient magnitude similarity deviation",
        "lower",
        high=1.0,
        min_size=6,
        source="Xue et al., IEEE TIP 23(2), 2014; piq",
    )
)
HAARPSI = _through_piq(
    _spec(
        "haarpsi",
        "Haar wavelet-based perceptual similarity",
        "higher",
        high=1.0,
        min_size=16,
        source="Reisenhofer et al., Signal Processing: Image Communication 61, 2018; piq",
    )
)
