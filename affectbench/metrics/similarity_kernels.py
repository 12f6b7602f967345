"""Mean absolute error, MS-SSIM and VIF in float64, and GMSD and HaarPSI of `piq`.

All take SR and HR (N, 3, H, W), uint8, and give one value per image. MS-SSIM and VIF divide by
variances of windows, which float32 loses where an image is flat: white paper around a face moves
VIF by .006. In float64 they are those of `piq` 0.8 to 1e-9. GMSD and HaarPSI are computed by `piq`
in float32, which is within 1e-5 of float64 on flat images too.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch.nn import functional as F

from affectbench.images.luma import luma
from affectbench.images.tensors import unit_range
from affectbench.metrics.fidelity_kernels import gaussian_taps, window_means
from affectbench.metrics.pairs import Measure
from affectbench.metrics.similarity import SMALL_WEIGHTS, WEIGHTS

VIF_NOISE = 2.0
"""Variance of the noise that VIF supposes in what an eye sees, for levels of 0 to 255."""
FLAT = 1e-8
"""A window with less variance than this has no information."""


def mae(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference over pixels and channels of values in [0, 1]."""
    return (unit_range(sr).double() - unit_range(hr).double()).abs().flatten(1).mean(1)


def ms_ssim(sr: torch.Tensor, hr: torch.Tensor, weights: Sequence[float] = WEIGHTS) -> torch.Tensor:
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


def ms_ssim_small(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """MS-SSIM without its coarsest scale; the other weights are divided by their sum."""
    return ms_ssim(sr, hr, [weight / sum(SMALL_WEIGHTS) for weight in SMALL_WEIGHTS])


def _ssim_factors(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Luminance and contrast of SSIM in each whole window, from the sum and the difference.

    Exactly 1 for identical images, and never above (`fidelity_kernels.ssim_map`).
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


def vif(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Pixel-domain VIF of SR against HR; the order matters.

    With c the covariance and vs and vr the variances of SR and HR in each window, SR is taken for
    g HR + noise, g = c / vr, of variance v = vs - g c. VIF is the information that SR has of the
    scene over the one that HR has, summed over windows and four scales,

        sum log(1 + g^2 vr / (v + 2)) / sum log(1 + vr / 2).
    """
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


def gmsd(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Deviation of the gradient similarity."""
    return _piq("gmsd", sr, hr)


def haarpsi(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """HaarPSI, 1 for identical images also where `piq` is undefined: two black ones."""
    return torch.where(_identical(sr, hr), 1.0, _piq("haarpsi", sr, hr).clamp(max=1.0))


def _identical(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    return (sr == hr).flatten(1).all(1)


def _piq(name: str, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    # Imported here: the others need no piq.
    measure = getattr(importlib.import_module("piq"), name)
    return cast(torch.Tensor, measure(unit_range(sr), unit_range(hr), reduction="none"))


MEASURES: Mapping[str, Measure] = {
    "mae": mae,
    "ms_ssim": ms_ssim,
    "ms_ssim_small": ms_ssim_small,
    "vif": vif,
    "gmsd": gmsd,
    "haarpsi": haarpsi,
}
"""By the names of the metrics."""
