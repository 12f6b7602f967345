"""More fidelity metrics: `mae`, `ms_ssim`, `vif`, and `gmsd` and `haarpsi` through `piq`.

All compare whole 8-bit images without a border: the conventions of PSNR and SSIM do not apply. They
use the same colour planes as `piq` 0.8 for RGB images:

| metric          | colour                                  | smallest side |
|-----------------|-----------------------------------------|---------------|
| `mae`           | RGB                                     | 1             |
| `ms_ssim`       | RGB, each channel, then their mean      | 161           |
| `ms_ssim_small` | RGB, each channel, then their mean      | 81            |
| `vif`           | luma 0.299 R + 0.587 G + 0.114 B        | 41            |
| `gmsd`          | luma (Y of YIQ), halved in size         | 6             |
| `haarpsi`       | luma and chroma (YIQ), halved in size   | 16            |

`piq` comes with the extra `metrics`: it needs torchvision, each build of which requires one version
of torch, so a plain installation does not include it.

MS-SSIM and VIF divide by window variances, which float32 loses where an image is flat: a white
background around a face changes VIF by .006. They are computed in float64, where they agree with
`piq` to 1e-9. GMSD and HaarPSI are computed by `piq` in float32, within 1e-5 of float64 even on
flat images.
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
from affectbench.metrics import catalogue, metric_plugin
from affectbench.metrics.assets import require_extras
from affectbench.metrics.base import PairFunction, PairMetric, gaussian_taps, measured, window_means
from affectbench.types import Judge, MetricSettings

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weights of the five scales of MS-SSIM, finest first (Wang et al., 2003)."""
SMALL_WEIGHTS = WEIGHTS[:4]
"""The weights of `ms_ssim_small`, without the coarsest scale, normalised to sum 1."""
VIF_NOISE = 2.0
"""Variance of the visual noise in VIF's model of the eye, for levels of 0 to 255."""
FLAT = 1e-8
"""A window with a smaller variance carries no information."""


def mae(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return the mean absolute error (MAE) in [0, 1], one value per image; lower is better.

    The mean over pixels and channels of |SR - HR| / 255 of 8-bit images. `sr` and `hr` are as in
    `affectbench.metrics.fidelity.psnr`: floats are rounded to 8 bits, there is no gradient. Returns
    float64 (N,). Raises InputError for images that do not match or are too small.

    >>> import torch
    >>> black = torch.zeros(1, 3, 16, 16)
    >>> round(float(mae(black, black + 51 / 255)), 3)
    0.2
    """
    return measured(catalogue.MAE.spec, _mae, sr, hr)


def _mae(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return (unit_range(sr).double() - unit_range(hr).double()).abs().flatten(1).mean(1)


def ms_ssim(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return the multi-scale SSIM in [0, 1], one value per image; higher is better.

    prod_j cs_j^w_j over five scales, with SSIM itself at the coarsest. Each scale halves the
    previous one by 2x2 means; the window is an 11x11 Gaussian with sigma 1.5; the w are `WEIGHTS`.
    Negative means count as 0. Images need sides of at least 161 pixels. Arguments, result and
    errors are those of `mae`. Source: Wang, Simoncelli and Bovik, Asilomar 2003.
    """
    return measured(catalogue.MS_SSIM.spec, _ms_ssim, sr, hr)


def ms_ssim_small(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return MS-SSIM with four scales instead of five, for sides of at least 81 pixels.

    The first four weights of `ms_ssim`, normalised to sum 1 (our choice; the values are not
    comparable with any other MS-SSIM). Everything else as in `ms_ssim`.
    """
    return measured(catalogue.MS_SSIM_SMALL.spec, _ms_ssim_small, sr, hr)


def _ms_ssim(
    sr: torch.Tensor, hr: torch.Tensor, weights: Sequence[float] = WEIGHTS
) -> torch.Tensor:
    """Return MS-SSIM with the given weights of the scales, finest first."""
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
    """Return MS-SSIM without its coarsest scale; the other weights are normalised to sum 1."""
    return _ms_ssim(sr, hr, [weight / sum(SMALL_WEIGHTS) for weight in SMALL_WEIGHTS])


def _ssim_factors(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return luminance and contrast of SSIM in each whole window, from the sum and difference.

    Exactly 1 for identical images, and never above 1 (`fidelity.ssim_map`).
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
    """Return 2x2 means; an odd size first repeats its first row and column, as `piq` does."""
    odd = max(side % 2 for side in planes.shape[-2:])
    return F.avg_pool2d(F.pad(planes, (odd, 0, odd, 0), mode="replicate"), 2)


def vif(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return the visual information fidelity (VIF, pixel domain), one value per image.

    Higher is better. With c the covariance and vs and vr the variances of SR and HR in each window,
    SR is modelled as g HR + noise, with gain g = c / vr and noise variance v = vs - g c. VIF is the
    information about the scene in SR over that in HR, summed over windows and four scales,

        sum log(1 + g^2 vr / (v + 2)) / sum log(1 + vr / 2).

    0 without information, 1 for identical images, above 1 where SR has more contrast than HR; 1 for
    a flat HR, which has no information to lose. Not symmetric. Arguments, result and errors are
    those of `mae`. Source: Sheikh and Bovik, IEEE TIP 15(2), 2006, as in the authors' `vif_p`.
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
    # `piq` takes logarithms to base 10 and adds 1e-8 on that scale.
    least = FLAT * math.log(10.0)
    return torch.where(_identical(sr, hr), 1.0, (kept + least) / (whole + least))


def _channel(
    x: torch.Tensor, y: torch.Tensor, taps: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gain, noise variance and scene variance in each window of SR x and HR y."""
    mean_x, mean_y = window_means(x, taps), window_means(y, taps)
    var_x = (window_means(x * x, taps) - mean_x.square()).clamp_(min=0.0)
    var_y = (window_means(y * y, taps) - mean_y.square()).clamp_(min=0.0)
    covariance = window_means(x * y, taps) - mean_x * mean_y
    gain = covariance / (var_y + FLAT)
    noise = var_x - gain * covariance
    # A window in which HR or SR is flat carries no information; where SR and HR are negatively
    # correlated, SR is all noise.
    seen, informative = var_y >= FLAT, var_x >= FLAT
    noise = torch.where(seen & (gain >= 0), noise, var_x)
    noise = torch.where(informative, noise, 0.0)
    gain = torch.where(seen & informative, gain, 0.0).clamp(min=0.0)
    return gain, noise.clamp(min=FLAT), torch.where(seen, var_y, 0.0)


def gmsd(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return the gradient magnitude similarity deviation (GMSD), at least 0; lower is better.

    One value per image. Arguments, result and errors as in `mae`; MissingExtraError without `piq`.

    Source: Xue et al., IEEE TIP 23(2), 2014.
    """
    require_extras(catalogue.GMSD.spec)
    return measured(catalogue.GMSD.spec, _gmsd, sr, hr)


def _gmsd(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return _piq("gmsd", sr, hr)


def haarpsi(sr: ImageLike, hr: ImageLike) -> torch.Tensor:
    """Return the Haar wavelet-based perceptual similarity (HaarPSI) in [0, 1]; higher is better.

    One value per image, exactly 1 for identical images. Arguments, result and errors as in `gmsd`.
    Source: Reisenhofer et al., Signal Processing: Image Communication 61, 2018.
    """
    require_extras(catalogue.HAARPSI.spec)
    return measured(catalogue.HAARPSI.spec, _haarpsi, sr, hr)


def _haarpsi(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    # Identical images score 1 even where `piq` is undefined, as for two black images.
    return torch.where(_identical(sr, hr), 1.0, _piq("haarpsi", sr, hr).clamp(max=1.0))


def _identical(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return (sr == hr).flatten(1).all(1)


def _piq(name: str, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    # Imported here because the other metrics do not need piq.
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
"""Functions by metric name."""


def build(
    name: str,
    settings: MetricSettings,  # noqa: ARG001
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> PairMetric:
    """Return a metric of this family, behind the runner's interface."""
    return PairMetric(metric_plugin(name).spec, MEASURES[name], device)


def piq_record(_settings: MetricSettings) -> Mapping[str, str]:
    """Return the version of `piq` that computes the metric."""
    return {"package": f"piq {version('piq')}"}


def scales_record(scales: int, _settings: MetricSettings) -> Mapping[str, list[float]]:
    """Return the weights of the scales, before normalisation."""
    return {"scale_weights": list(WEIGHTS[:scales])}
