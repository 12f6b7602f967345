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

MS-SSIM and VIF divide by variances of windows, which float32 loses where an image is flat: white
paper around a face moves VIF by .006. They are computed in float64, where they are those of `piq`
to 1e-9. GMSD and HaarPSI are computed by `piq` in float32, within 1e-5 of float64 on flat images
too.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import cast

import torch
from torch.nn import functional as F

from affectbench.images.luma import luma
from affectbench.images.tensors import ImageLike, unit_range
from affectbench.metrics import assets, catalogue, metric_plugin
from affectbench.metrics.base import PairFunction, PairMetric, gaussian_taps, measured, window_means
from affectbench.types import Judge, MetricSettings

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weights of the five scales of MS-SSIM, finest first (Wang et al., 2003)."""
SMALL_WEIGHTS = WEIGHTS[:4]
"""Those of `ms_ssim_small`, divided by their sum: the coarsest scale is left out."""
VIF_NOISE = 2.0
"""Variance of the noise that VIF supposes in what an eye sees, for levels of 0 to 255."""
FLAT = 1e-8
"""A window with less variance than this has no information."""


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
    return measured(catalogue.MAE.spec, _mae, sr, hr)


def _mae(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return (unit_range(sr).double() - unit_range(hr).double()).abs().flatten(1).mean(1)


def ms_ssim(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Multi-scale structural similarity in [0, 1], one value per image, higher is better.

    prod_j cs_j^w_j over five scales, with SSIM itself at the coarsest one: each scale halves the
    one before by 2x2 means, the window is Gaussian 11x11 with sigma 1.5, w are
    `WEIGHTS`. Negative means count as 0. Images need 161 pixels a side. Arguments,
    result and errors as in `mae`. Source: Wang, Simoncelli and Bovik, Asilomar 2003.
    """
    return measured(catalogue.MS_SSIM.spec, _ms_ssim, sr, hr)


def ms_ssim_small(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """MS-SSIM of four scales instead of five, for images from 81 pixels a side.

    The first four weights of `ms_ssim`, divided by their sum (our choice; nobody else's MS-SSIM
    has this number). All else as in `ms_ssim`.
    """
    return measured(catalogue.MS_SSIM_SMALL.spec, _ms_ssim_small, sr, hr)


def _ms_ssim(
    sr: torch.Tensor, hr: torch.Tensor, weights: Sequence[float] = WEIGHTS
) -> torch.Tensor:
    """MS-SSIM with the weight of each scale, finest first."""
    x, y = sr.double(), hr.double()
    value = x.new_ones(x.shape[:2])
    for scale, exponent in enumerate(weights):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, contrast = _ssim_factors(x, y)
        coarsest = scale == len(weights) - 1
        terms = luminance * contrast if coarsest else contrast
        value = value * terms.mean((2, 3)).clamp(min=0.0) ** exponent
    return value.mean(1)


def _ms_ssim_small(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """MS-SSIM without its coarsest scale; the other weights are divided by their sum."""
    return _ms_ssim(sr, hr, [weight / sum(SMALL_WEIGHTS) for weight in SMALL_WEIGHTS])


def _ssim_factors(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Luminance and contrast of SSIM in each whole window, from the sum and the difference.

    Exactly 1 for identical images, and never above (`fidelity.ssim_map`).
    """
    taps = gaussian_taps(11, 1.5)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total, difference = x + y, x - y
    mean_s, mean_d = window_means(total, taps).square_(), window_means(difference, taps).square_()
    var_s = (window_means(total.square_(), taps) - mean_s).clamp_(min=0.0)
    var_d = (window_means(difference.square_(), taps) - mean_d).clamp_(min=0.0)
    luminance = (mean_s - mean_d + 2 * c1) / (mean_s + mean_d + 2 * c1)
    return luminance, (var_s - var_d + 2 * c2) / (var_s + var_d + 2 * c2)


def _halved(planes: torch.Tensor) -> torch.Tensor:
    """Means of 2x2 pixels; an odd size repeats its first row and column before, as `piq` does."""
    odd = max(side % 2 for side in planes.shape[-2:])
    return F.avg_pool2d(F.pad(planes, (odd, 0, odd, 0), mode="replicate"), 2)


def vif(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Visual information fidelity in the pixel domain, one value per image, higher is better.

    With c the covariance and vs and vr the variances of SR and HR in each window, SR is taken for
    g HR + noise, g = c / vr, of variance v = vs - g c. VIF is the information that SR has of the
    scene over the one that HR has, summed over windows and four scales,

        sum log(1 + g^2 vr / (v + 2)) / sum log(1 + vr / 2).

    0 without information, 1 for identical images, more than 1 where SR has more contrast than HR;
    1 of a flat HR, which has no information to lose. Not symmetric. Arguments, result and errors
    as in `mae`. Source: Sheikh and Bovik, IEEE TIP 15(2), 2006,
    as `vif_p` of its authors.
    """
    return measured(catalogue.VIF.spec, _vif, sr, hr)


def _vif(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    x, y = (luma(pixels, "y-yiq", "none") for pixels in (sr, hr))
    kept, whole = x.new_zeros(len(x)), x.new_zeros(len(x))
    for size in (17, 9, 5, 3):
        taps = gaussian_taps(size, size / 5)
        if size < 17:
            x, y = (window_means(planes, taps)[..., ::2, ::2] for planes in (x, y))
        gain, noise, variance = _channel(x, y, taps)
        kept += (gain.square() * variance / (noise + VIF_NOISE)).log1p().sum((1, 2, 3))
        whole += (variance / VIF_NOISE).log1p().sum((1, 2, 3))
    # `piq` takes logarithms of base 10, beside which it adds its 1e-8.
    least = FLAT * math.log(10.0)
    return torch.where(_identical(sr, hr), 1.0, (kept + least) / (whole + least))


def _channel(
    x: torch.Tensor, y: torch.Tensor, taps: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gain, variance of the noise, and the scene's variance in each window of SR x and HR y."""
    mean_x, mean_y = window_means(x, taps), window_means(y, taps)
    var_x = (window_means(x * x, taps) - mean_x.square()).clamp_(min=0.0)
    var_y = (window_means(y * y, taps) - mean_y.square()).clamp_(min=0.0)
    covariance = window_means(x * y, taps) - mean_x * mean_y
    gain = covariance / (var_y + FLAT)
    noise = var_x - gain * covariance
    # Nothing is known of a window in which HR is flat, and a flat SR tells nothing; where SR
    # runs against HR, all of it is noise.
    seen, telling = var_y >= FLAT, var_x >= FLAT
    noise = torch.where(seen & (gain >= 0), noise, var_x)
    noise = torch.where(telling, noise, 0.0)
    gain = torch.where(seen & telling, gain, 0.0).clamp(min=0.0)
    return gain, noise.clamp(min=FLAT), torch.where(seen, var_y, 0.0)


def gmsd(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Gradient magnitude similarity deviation, one value per image, 0 is best, lower is better.

    Arguments, result and errors as in `mae`; MissingExtraError without `piq`.
    Source: Xue et al., IEEE TIP 23(2), 2014.
    """
    assets.require_piq()
    return measured(catalogue.GMSD.spec, _gmsd, sr, hr)


def _gmsd(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return _piq("gmsd", sr, hr)


def haarpsi(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Haar wavelet-based perceptual similarity in [0, 1], one per image, higher is better.

    Exactly 1 for identical images. Arguments, result and errors as in `gmsd`. Source:
    Reisenhofer et al., Signal Processing: Image Communication 61, 2018.
    """
    assets.require_piq()
    return measured(catalogue.HAARPSI.spec, _haarpsi, sr, hr)


def _haarpsi(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    # Identical images have 1 also where `piq` is undefined: two black ones.
    return torch.where(_identical(sr, hr), 1.0, _piq("haarpsi", sr, hr).clamp(max=1.0))


def _identical(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return (sr == hr).flatten(1).all(1)


def _piq(name: str, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    # Imported here: the others need no piq.
    measure = getattr(importlib.import_module("piq"), name)
    return cast(torch.Tensor, measure(unit_range(sr), unit_range(hr), reduction="none"))


MEASURES: Mapping[str, PairFunction] = {
    "mae": _mae,
    "ms_ssim": _ms_ssim,
    "ms_ssim_small": _ms_ssim_small,
    "vif": _vif,
    "gmsd": _gmsd,
    "haarpsi": _haarpsi,
}
"""By the names of the metrics."""


def build(
    name: str,
    settings: MetricSettings,  # noqa: ARG001
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> PairMetric:
    """Return a metric of the family as the runner calls it."""
    return PairMetric(metric_plugin(name).spec, MEASURES[name], device)


def piq_record(_settings: MetricSettings) -> Mapping[str, str]:
    """Which `piq` computes the metric."""
    assets.require_piq()
    return {"package": f"piq {version('piq')}"}


def scales_record(scales: int, _settings: MetricSettings) -> Mapping[str, list[float]]:
    """The weights of the scales, before they are divided by their sum."""
    return {"scale_weights": list(WEIGHTS[:scales])}
