"""Mean absolute error, and the measures of `piq` with the settings that affectbench gives them.

All take SR and HR (N, 3, H, W), float32 in [0, 1], and give one value per image. What `piq` does
in float32 is within 3e-6 of the same in float64, which would take ten times as long.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

import torch

from affectbench.metrics.pairs import Measure
from affectbench.metrics.similarity import SMALL_WEIGHTS


def mae(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference over pixels and channels, float64."""
    return (sr.double() - hr.double()).abs().flatten(1).mean(1)


def ms_ssim(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Five scales with the weights of the paper."""
    return _piq("multi_scale_ssim", sr, hr)


def ms_ssim_small(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Four scales; `piq` divides the weights by their sum."""
    return _piq("multi_scale_ssim", sr, hr, scale_weights=sr.new_tensor(SMALL_WEIGHTS))


def vif(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Pixel-domain VIF of SR against HR; the order matters."""
    return _piq("vif_p", sr, hr)


def gmsd(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Deviation of the gradient similarity."""
    return _piq("gmsd", sr, hr)


def haarpsi(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """HaarPSI, 1 for identical images also where `piq` is undefined: two black ones."""
    identical = (sr == hr).flatten(1).all(1)
    return torch.where(identical, 1.0, _piq("haarpsi", sr, hr))


def _piq(name: str, sr: torch.Tensor, hr: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
    # Imported here: `mae` needs no piq.
    measure = getattr(importlib.import_module("piq"), name)
    return cast(torch.Tensor, measure(sr, hr, reduction="none", **options))


MEASURES: Mapping[str, Measure] = {
    "mae": mae,
    "ms_ssim": ms_ssim,
    "ms_ssim_small": ms_ssim_small,
    "vif": vif,
    "gmsd": gmsd,
    "haarpsi": haarpsi,
}
"""By the names of the metrics."""
