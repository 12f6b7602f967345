"""PSNR and SSIM over the masks of regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from affectbench.faces.landmarks import Landmarker
from affectbench.faces.masks import region_masks
from affectbench.metrics.conventions import find_convention
from affectbench.metrics.fidelity_kernels import Measure, psnr_values, ssim_values
from affectbench.types import Columns

MEASURES: dict[str, Measure] = {"psnr": psnr_values, "ssim": ssim_values}


class RegionMetric:
    """A masked measure by one convention, as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(
        self,
        measure: str,
        region: str,
        convention: str,
        scale: int,
        landmarker: Landmarker,
    ) -> None:
        self._name, self._region = f"{measure}_{region}", region
        self._measure = MEASURES[measure]
        self._convention = find_convention(convention)
        self._border = self._convention.border_at(scale)
        self._landmarker = landmarker

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """The region's masks (N, H, W) on the HR images, empty for a face that is not found."""
        return reference_masks(self._landmarker, hr, [self._region])[self._region]

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:
        """One column, named like the metric."""
        values = self._measure(sr.cpu(), hr.cpu(), self._convention, self._border, reference)
        return {self._name: values.numpy()}


def reference_masks(
    landmarker: Landmarker, hr: torch.Tensor, regions: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Masks (N, H, W) of regions of the HR images, empty for a face that is not found."""
    landmarks = landmarker(hr)
    height, width = hr.shape[-2:]
    masks = region_masks(landmarks.points, height, width, regions)
    found = landmarks.found.view(-1, 1, 1)
    return {name: mask & found for name, mask in masks.items()}
