"""PSNR and SSIM, one value per image, and the plug-ins `psnr` and `ssim`.

Both are measured on 8-bit images by a named convention of `affectbench.metrics.conventions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectbench.metrics.conventions import find_convention
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch

    from affectbench.images.tensors import ImageLike


def psnr(sr: ImageLike, hr: ImageLike, convention: str = "rgb", scale: int = 8) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB, one value per image, higher is better.

    PSNR = 10 log10(255^2 / MSE), the MSE over the pixels and channels of one image; identical
    images have infinity. `sr` and `hr` are images or batches as `images.tensors.as_batch` takes
    them (floats in [0, 1], uint8 arrays, Pillow images, paths), of the same shape. Floats are
    rounded to 8 bits first, by `images.tensors.quantise`; there is no gradient. `scale` decides
    the border of conventions such as `mmagic`. Gives float64 (N,).

    Raises InputError for images that do not fit each other, are smaller than the convention
    needs, or a scale that it does not cover, and UnknownNameError for a convention.

    >>> import torch
    >>> black = torch.zeros(1, 3, 16, 16)
    >>> [round(float(value), 3) for value in psnr(black, black + 10 / 255)]
    [28.131]
    """
    from affectbench.metrics.fidelity_kernels import measured, psnr_values

    return measured(psnr_values, sr, hr, convention, scale)


def ssim(sr: ImageLike, hr: ImageLike, convention: str = "rgb", scale: int = 8) -> torch.Tensor:
    """Structural similarity in [-1, 1], one value per image, higher is better.

    The mean of the SSIM map (formula: `fidelity_kernels.ssim_map`) and of the channels; exactly 1
    for identical images. Arguments, result and errors as in `psnr`. Source: Wang, Bovik, Sheikh
    and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 13(4), 2004.

    >>> import torch
    >>> face = torch.rand(2, 3, 32, 32)
    >>> ssim(face, face)
    tensor([1., 1.], dtype=torch.float64)
    """
    from affectbench.metrics.fidelity_kernels import measured, ssim_values

    return measured(ssim_values, sr, hr, convention, scale)


def identify(settings: MetricSettings) -> Mapping[str, Any]:
    """The full record of the convention, and its border in pixels at the run's scale."""
    convention = find_convention(settings.convention)
    border = convention.border_at(settings.scale)
    return {"convention": convention.as_record(), "border_pixels": border}


def ssim_side(settings: MetricSettings) -> int:
    """The shorter side that SSIM needs by a convention: its window between its borders."""
    convention = find_convention(settings.convention)
    return convention.size + 2 * convention.border_at(settings.scale)


def _psnr_side(settings: MetricSettings) -> int:
    return 1 + 2 * find_convention(settings.convention).border_at(settings.scale)


def _build_psnr(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.metrics.fidelity_kernels import FidelityMetric, psnr_values

    return FidelityMetric("psnr", psnr_values, settings.convention, settings.scale, device)


def _build_ssim(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.metrics.fidelity_kernels import FidelityMetric, ssim_values

    return FidelityMetric("ssim", ssim_values, settings.convention, settings.scale, device)


def _identical(columns: Columns) -> Mapping[str, float]:
    """`identical`: how many images have infinite PSNR, which makes the mean infinite too."""
    return {"identical": float(np.isposinf(columns["psnr"]).sum())}


PSNR = MetricPlugin(
    spec=MetricSpec(
        name="psnr",
        version="1",
        title="Peak signal-to-noise ratio",
        group="fidelity",
        direction="higher",
        unit="dB",
        range=(0.0, float("inf")),
        source="10 log10(255^2 / MSE)",
    ),
    identify=identify,
    build=_build_psnr,
    summarise=_identical,
    min_side=_psnr_side,
)

SSIM = MetricPlugin(
    spec=MetricSpec(
        name="ssim",
        version="2",
        title="Structural similarity",
        group="fidelity",
        direction="higher",
        range=(-1.0, 1.0),
        source="Wang et al., IEEE TIP 13(4), 2004",
    ),
    identify=identify,
    build=_build_ssim,
    min_side=ssim_side,
)
