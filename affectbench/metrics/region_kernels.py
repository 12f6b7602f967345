"""PSNR and SSIM over masks, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from affectbench.errors import InputError
from affectbench.faces.landmarks import Landmarker
from affectbench.faces.masks import region_masks
from affectbench.images.luma import luma
from affectbench.metrics.conventions import Convention, find_convention
from affectbench.metrics.fidelity_kernels import ssim_map
from affectbench.types import Columns

MaskedMeasure = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Convention, int], torch.Tensor]
"""Values (N,) of uint8 images (N, 3, H, W) twice and a mask (N, H, W)."""


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
        values = self._measure(sr.cpu(), hr.cpu(), reference, self._convention, self._border)
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


def masked_psnr(
    sr: torch.Tensor, hr: torch.Tensor, mask: torch.Tensor, convention: Convention, border: int
) -> torch.Tensor:
    """PSNR in dB (N,): 10 log10(255^2 / MSE), the MSE over a mask's pixels and all channels.

    Infinity where there is no error, NaN for an empty mask.
    """
    x, y = _planes(sr, convention, border), _planes(hr, convention, border)
    mse = _masked_mean((x - y).square_(), _within(mask, border))
    return 10.0 * torch.log10(convention.peak**2 / mse)


def masked_ssim(
    sr: torch.Tensor, hr: torch.Tensor, mask: torch.Tensor, convention: Convention, border: int
) -> torch.Tensor:
    """SSIM (N,): the mean of the map and the channels, where a mask holds the window's middle.

    The map's place (i, j) is the window with its middle at
    (i + size // 2, j + size // 2) of the image without its border: whole windows only, so that
    pixels of the mask nearer than that to the border do not count. NaN if none does.
    """
    needed = convention.size + 2 * border
    if min(hr.shape[-2:]) < needed:
        raise InputError(
            f"the images are {hr.shape[-1]}x{hr.shape[-2]}, and SSIM by convention "
            f"'{convention.name}' needs at least {needed}x{needed}"
        )
    x, y = _planes(sr, convention, border), _planes(hr, convention, border)
    values = ssim_map(x, y, convention)
    return _masked_mean(values, _within(mask, border + convention.size // 2))


MEASURES: dict[str, MaskedMeasure] = {"psnr": masked_psnr, "ssim": masked_ssim}


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean (N,) over a mask (N, H, W) and the channels of values (N, C, H, W)."""
    over_channels = values.mean(1)
    inside = torch.where(mask, over_channels, over_channels.new_zeros(())).sum((1, 2))
    return inside / mask.sum((1, 2))


def _within(mask: torch.Tensor, border: int) -> torch.Tensor:
    height, width = mask.shape[-2:]
    return mask[:, border : height - border, border : width - border]


def _planes(pixels: torch.Tensor, convention: Convention, border: int) -> torch.Tensor:
    """What is compared: float64 planes (N, C, H, W) in 0 to 255, without the border."""
    height, width = pixels.shape[-2:]
    inner = pixels[..., border : height - border, border : width - border]
    if convention.colour == "rgb":
        return inner.double()
    return luma(inner, convention.colour, convention.luma_quantisation)
