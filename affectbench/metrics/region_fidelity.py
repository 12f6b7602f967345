"""PSNR and SSIM where expressions live: `psnr_eyes`, `psnr_mouth`, `ssim_eyes`, `ssim_mouth`.

By the run's convention, with all that it says of whole images, over the region's mask
(`faces.masks`), drawn from the landmarks of the reference. A face whose landmarks are not found on
the reference, or whose mask is empty once the convention's border is cut off, has no value (NaN)
and is counted.

SSIM is local: its map holds a value for each window, and the value counts if the window's middle
pixel is in the mask. A window reaches half its size (5 pixels with 11) beyond the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affectbench.faces.landmark_points import landmarks_record
from affectbench.metrics.fidelity import PSNR, SSIM
from affectbench.metrics.fidelity import identify as identify_convention
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
)

if TYPE_CHECKING:
    import torch

MASKS_VERSION = "masks/1"
Region = Literal["eyes", "mouth"]


def identify(settings: MetricSettings) -> Mapping[str, Any]:
    """The convention, and how masks are made."""
    return {
        **identify_convention(settings),
        **landmarks_record(settings.framing),
        "masks": MASKS_VERSION,
    }


def _plugin(whole: MetricPlugin, region: Region, title: str) -> MetricPlugin:
    """PSNR or SSIM of a region, from the same metric of the whole image."""
    name = f"{whole.spec.name}_{region}"
    spec = replace(whole.spec, name=name, version="2", title=title)
    build = _builder(whole.spec.name, region)
    return MetricPlugin(spec, identify, build, _identical(name), min_side=whole.min_side)


def _builder(
    measure: str, region: Region
) -> Callable[[MetricSettings, Judge | None, torch.device], ImageMetric]:
    def build(
        settings: MetricSettings,
        judge: Judge | None,  # noqa: ARG001
        device: torch.device,
    ) -> ImageMetric:
        from affectbench.faces.landmarks import landmarker
        from affectbench.metrics.region_kernels import RegionMetric

        return RegionMetric(
            measure,
            region,
            settings.convention,
            settings.scale,
            landmarker(settings.framing, device),
        )

    return build


def _identical(name: str) -> Callable[[Columns], Mapping[str, float]]:
    def summarise(columns: Columns) -> Mapping[str, float]:
        """How many faces have infinite PSNR there, which makes the mean infinite too."""
        return {f"{name}_identical": float(np.isposinf(columns[name]).sum())}

    return summarise


PSNR_EYES = _plugin(PSNR, "eyes", "PSNR of the eyes with their lids")
PSNR_MOUTH = _plugin(PSNR, "mouth", "PSNR of the mouth")
SSIM_EYES = _plugin(SSIM, "eyes", "SSIM of the eyes with their lids")
SSIM_MOUTH = _plugin(SSIM, "mouth", "SSIM of the mouth")
