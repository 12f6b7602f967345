"""PSNR and SSIM, one value per image, of whole images and of the regions where expressions live.

Both are computed on 8-bit images by a named convention of `affectbench.metrics.conventions`. A
region is a mask (N, H, W). The whole image is the mask that is true everywhere, written as None:
whole images and regions share the same error map and SSIM map under every convention.

`psnr_eyes`, `psnr_mouth`, `ssim_eyes` and `ssim_mouth` use the masks of `faces.masks`, drawn from
the landmarks of the reference. A face whose landmarks are not found on the reference, or whose mask
is empty after cropping the convention's border, has no value (NaN) and is counted. SSIM windows
reach half their size (5 pixels for size 11) beyond the mask.

PSNR is exact. SSIM is computed in float64 or, where that is faster, in float32 by `ssim_float32`,
within 1e-6: on the CPU, for whole images with at least `FLOAT32_WINDOWS` window positions. Rounding
errors average out over positions; small images and regions have too few of them, and are cheap in
float64 anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch.nn import functional as F

from affectbench.faces.landmarks import landmarker
from affectbench.images.luma import Quantisation, luma
from affectbench.images.tensors import (
    ImageLike,
    checked_pair,
    in_planes,
    levels,
    require_same_shape,
)
from affectbench.metrics.base import (
    gaussian_taps,
    reference_masks,
    require_side,
    window_means,
)
from affectbench.metrics.conventions import Convention, find_convention
from affectbench.metrics.ssim_float32 import EXACT_SIDE, LONGEST, ssim_of_planes
from affectbench.types import Columns, Judge, MetricSettings

CHUNK_VALUES = 1 << 18
"""Values per chunk: the intermediate maps then stay in the processor's cache."""
FLOAT32_WINDOWS = 1 << 13
"""Window positions per plane from which float32 is accurate enough: 96x96 pixels have fewer,
128x128 have more, even with a border of 8."""

FLOAT32_FORMS = (("valid", "none", "kept"), ("interior", "none", "kept"))
"""Edges, shrinking and negative values of the conventions that the float32 code supports."""

Mask = torch.Tensor | None
"""Booleans (N, H, W); None means true everywhere."""
ConventionFunction = Callable[[torch.Tensor, torch.Tensor, Convention, int, Mask], torch.Tensor]


def psnr(sr: ImageLike, hr: ImageLike, convention: str = "rgb", scale: int = 8) -> torch.Tensor:
    """Return the peak signal-to-noise ratio (PSNR) in dB, one value per image; higher is better.

    PSNR = 10 log10(255^2 / MSE), with the MSE over the pixels and channels of one image. It is
    infinite for identical images. `sr` and `hr` are images or batches of the same shape, in any
    form that `images.tensors.as_batch` accepts (tensors and arrays, uint8 or floats in [0, 1];
    Pillow images, paths). Floats are first rounded to 8 bits by the rule of
    `images.tensors.quantise`, so there is no gradient. `scale` determines the border of conventions
    such as `mmagic`. Returns float64 (N,).

    Raises InputError for images that do not match, are smaller than the convention needs, or a
    scale that it does not cover, and UnknownNameError for an unknown convention.

    >>> import torch
    >>> black = torch.zeros(1, 3, 16, 16)
    >>> [round(float(value), 3) for value in psnr(black, black + 10 / 255)]
    [28.131]
    """
    rules = find_convention(convention)
    return psnr_values(*checked_pair(sr, hr), rules, rules.border_at(scale))


def ssim(sr: ImageLike, hr: ImageLike, convention: str = "rgb", scale: int = 8) -> torch.Tensor:
    """Return the structural similarity (SSIM) in [-1, 1], one value per image; higher is better.

    The mean of the SSIM map (formula: `ssim_map`) over positions and channels; exactly 1 for
    identical images. Arguments, result and errors are those of `psnr`. Source: Wang, Bovik, Sheikh
    and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 13(4), 2004.

    >>> import torch
    >>> face = torch.rand(2, 3, 32, 32)
    >>> ssim(face, face)
    tensor([1., 1.], dtype=torch.float64)
    """
    rules = find_convention(convention)
    return ssim_values(*checked_pair(sr, hr), rules, rules.border_at(scale))


def psnr_values(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int, mask: Mask = None
) -> torch.Tensor:
    """Return PSNR in dB (N,), float64, of images (N, 3, H, W): 10 log10(255^2 / MSE).

    Images are uint8, or float32 in [0, 1], which are rounded to levels chunk by chunk. The MSE is
    taken over all channels and over the pixels of one image inside the mask. PSNR is infinite where
    the MSE is 0, unless the convention adds a floor to the MSE; NaN for a mask that is empty after
    cropping the border.
    """
    require_same_shape(sr, hr)
    require_side(f"psnr by convention '{convention.name}'", 1 + 2 * border, sr)
    chunks = _chunks(sr, hr, mask, convention, border, quantisation=convention.luma_quantisation)
    mse = torch.cat([mean_square(x, y, inside) for x, y, inside in chunks])
    return 10.0 * torch.log10(
        convention.peak**2 / (mse + convention.mse_floor * convention.peak**2)
    )


def mean_square(x: torch.Tensor, y: torch.Tensor, mask: Mask = None) -> torch.Tensor:
    """Return the mean squared difference (N,), float64, of planes (N, C, H, W) of 0 to 255.

    uint8 and float32 hold whole levels, and the result is exact: sums of squares over up to 256
    pixels are integers below 2^24.
    """
    if x.dtype == torch.float64:
        return mean_over((x - y).square_(), mask)
    squares = (x.float() - y.float()).square_()
    if mask is not None:
        squares.mul_(mask.unsqueeze(1))
    # In the order of memory, which is that of an array (N, H, W, C) or of planes.
    flat = squares if squares.is_contiguous() else squares.permute(0, 2, 3, 1)
    flat = flat.flatten(1)
    whole = flat.shape[1] - flat.shape[1] % 256
    total = flat[:, :whole].reshape(len(flat), -1, 256).sum(-1).double().sum(1)
    total += flat[:, whole:].sum(1).double()
    return total / _counted(x, mask)


def mean_over(values: torch.Tensor, mask: Mask) -> torch.Tensor:
    """Return the mean (N,) of a map (N, C, H, W) over channels and masked pixels; NaN if none."""
    if mask is not None:
        values = torch.where(mask.unsqueeze(1), values, 0.0)
    return values.flatten(1).sum(1) / _counted(values, mask)


def _counted(values: torch.Tensor, mask: Mask) -> torch.Tensor | int:
    """Return how many values (N, C, H, W) of each image lie inside a mask."""
    if mask is None:
        return values[0].numel()
    return mask.flatten(1).sum(1) * values.shape[1]


def ssim_values(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int, mask: Mask = None
) -> torch.Tensor:
    """Return SSIM (N,), float64, of images (N, 3, H, W): the mean of map and channels.

    Images are as in `psnr_values`. The map holds one value per window. A window counts if the mask
    contains its middle pixel (i + size // 2, j + size // 2), so windows reach half their size
    beyond the mask. NaN if the mask contains no middle pixel. Where a convention downsamples images
    by averaging, a pixel of the small image is in the mask if at least half of its area is.
    """
    require_same_shape(sr, hr)
    require_side(f"ssim by convention '{convention.name}'", convention.size + 2 * border, sr)
    measure, values = mean_ssim, CHUNK_VALUES
    if mask is None and _float32_will_do(sr, convention, border):
        # It splits chunks further itself.
        measure, values = mean_ssim_float32, 8 * CHUNK_VALUES
    quantisation = convention.ssim_quantisation
    chunks = _chunks(sr, hr, mask, convention, border, quantisation=quantisation, values=values)
    return torch.cat(
        [
            measure(_levels(x, convention), _levels(y, convention), convention, inside)
            for x, y, inside in chunks
        ]
    )


def _levels(planes: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Return the levels on which a convention computes SSIM: Y or 256 - Y, row by row in memory."""
    if planes.stride(-1) != 1:
        planes = in_planes(planes)
    return planes if convention.ssim_levels == "kept" else 256.0 - planes.double()


def mean_ssim(
    x: torch.Tensor, y: torch.Tensor, convention: Convention, mask: Mask = None
) -> torch.Tensor:
    """Return the mean of the SSIM map (N,), float64, of uint8 or float64 planes (N, C, H, W)."""
    x, y = (_framed(planes, convention) for planes in (x, y))
    values = ssim_map(x, y, convention)
    if convention.negative == "zero":
        values = values.clamp_(min=0.0)
    return mean_over(values, None if mask is None else _middles(mask, values, convention))


def mean_ssim_float32(
    x: torch.Tensor,
    y: torch.Tensor,
    convention: Convention,
    mask: Mask = None,  # noqa: ARG001
) -> torch.Tensor:
    """Return `mean_ssim` of whole images within 1e-6, in float32 on the CPU."""
    planes = ssim_of_planes(
        x.flatten(0, 1),
        y.flatten(0, 1),
        tuple(window_taps(convention)),
        _constants(convention),
        _normaliser(convention),
    )
    return planes.view(x.shape[:2]).mean(1)


def _float32_will_do(images: torch.Tensor, convention: Convention, border: int) -> bool:
    if images.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if (convention.edges, convention.shrink, convention.negative) not in FLOAT32_FORMS:
        return False
    longest = EXACT_SIDE if convention.window == "uniform" else LONGEST
    lost = 2 * border + convention.size - 1
    positions = (images.shape[-2] - lost) * (images.shape[-1] - lost)
    return positions >= FLOAT32_WINDOWS and convention.size <= longest


def ssim_map(x: torch.Tensor, y: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Return the SSIM map (N, C, H - size + 1, W - size + 1) of planes (N, C, H, W).

    With m for window means, v for variances and c for the covariance of x and y,

        SSIM = (2 mx my + C1) (2 c + C2) / ((mx^2 + my^2 + C1) (vx + vy + C2)),

    C1 = (0.01 * 255)^2 and C2 = (0.03 * 255)^2. It is computed from the sum s = x + y and the
    difference d = x - y, which takes four filters instead of five:
    2 mx my = (ms^2 - md^2) / 2, mx^2 + my^2 = (ms^2 + md^2) / 2, and likewise for variances.
    Since d is 0 for identical images, their SSIM is exactly 1.
    """
    taps = window_taps(convention)
    c1, c2 = _constants(convention)
    total, difference = x + y, x - y
    mean_s, mean_d = window_means(total, taps).square_(), window_means(difference, taps).square_()
    var_s = window_means(total.square_(), taps).sub_(mean_s)
    var_d = window_means(difference.square_(), taps).sub_(mean_d)
    half = 0.5 * _normaliser(convention)
    above = (mean_s - mean_d).mul_(0.5).add_(c1) * (var_s - var_d).mul_(half).add_(c2)
    below = mean_s.add_(mean_d).mul_(0.5).add_(c1) * var_s.add_(var_d).mul_(half).add_(c2)
    return above.div_(below)


def _framed(planes: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Return planes (N, C, H, W) downsampled or padded by reflection, as the convention asks."""
    planes = _shrunk(planes.double(), convention)
    if convention.edges == "reflected":
        planes = F.pad(planes, (convention.size // 2,) * 4, mode="reflect")
    return planes


def _shrunk(planes: torch.Tensor, convention: Convention) -> torch.Tensor:
    if convention.shrink == "none":
        return planes
    return F.avg_pool2d(planes, max(1, round(min(planes.shape[-2:]) / 256)))


def _middles(mask: torch.Tensor, values: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Return which windows of an SSIM map (N, C, h, w) have their middle in a mask (N, H, W)."""
    inside = _shrunk(mask.unsqueeze(1).double(), convention).squeeze(1) >= 0.5
    if convention.edges == "reflected":
        return inside
    height, width = values.shape[-2:]
    first = convention.size // 2
    return inside[:, first : first + height, first : first + width]


def _constants(convention: Convention) -> tuple[float, float]:
    """Return C1 and C2 of SSIM."""
    return (0.01 * convention.peak) ** 2, (0.03 * convention.peak) ** 2


def _normaliser(convention: Convention) -> float:
    """Return the factor from weighted (co)variances to the convention's: 1, or n / (n - 1)."""
    samples = convention.size**2
    return samples / (samples - 1) if convention.covariance == "n-1" else 1.0


def window_taps(convention: Convention) -> list[float]:
    """Return the weights of the separable window along one side: symmetric, with sum 1."""
    if convention.window == "uniform":
        return [1.0 / convention.size] * convention.size
    return gaussian_taps(convention.size, convention.sigma)


def _chunks(
    sr: torch.Tensor,
    hr: torch.Tensor,
    mask: Mask,
    convention: Convention,
    border: int,
    *,
    quantisation: Quantisation,
    values: int = CHUNK_VALUES,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Mask]]:
    """Yield planes of SR and HR and their mask, without the border, a few images at a time."""
    # A GPU takes the whole batch: nothing is copied back before the last image is done.
    images = max(1, values // sr[0].numel()) if sr.device.type == "cpu" else len(sr)
    for start in range(0, len(sr), images):
        some = slice(start, start + images)
        x, y = (_planes(pixels[some], convention, border, quantisation) for pixels in (sr, hr))
        yield x, y, None if mask is None else _within(mask[some], border).to(x.device)


def _within(images: torch.Tensor, border: int) -> torch.Tensor:
    """Return images (..., H, W) without their border."""
    height, width = images.shape[-2:]
    return images[..., border : height - border, border : width - border]


def _planes(
    pixels: torch.Tensor, convention: Convention, border: int, quantisation: Quantisation
) -> torch.Tensor:
    """Return the planes to compare: 0 to 255, without the border.

    uint8, float64 for fractions of luma, or float32 for levels rounded from floats in [0, 1].
    """
    if pixels.device.type == "mps":  # MPS has no float64
        pixels = pixels.cpu()
    pixels = _within(pixels, border)
    if pixels.is_floating_point():
        pixels = levels(pixels)
    if convention.colour == "rgb":
        return pixels
    return luma(pixels, convention.colour, quantisation)


MEASURES: Mapping[str, ConventionFunction] = {"psnr": psnr_values, "ssim": ssim_values}


class FidelityMetric:
    """PSNR or SSIM by the run's convention, for whole images or a region of the reference."""

    def __init__(
        self,
        measure: str,
        region: str | None,
        settings: MetricSettings,
        judge: Judge | None,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        self._name = f"{measure}_{region}" if region else measure
        self._measure, self._region, self._device = MEASURES[measure], region, device
        self._convention = find_convention(settings.convention)
        self._border = self._convention.border_at(settings.scale)
        self._landmarker = landmarker(settings.framing, device) if region else None

    def reference(self, hr: torch.Tensor) -> Mask:
        """Return the region masks (N, H, W) of the HR images; None for whole images."""
        if self._landmarker is None or self._region is None:
            return None
        return reference_masks(self._landmarker, hr, [self._region])[self._region]

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Mask) -> Columns:
        """Return one column, named after the metric."""
        sr, hr = sr.to(self._device), hr.to(self._device)
        values = self._measure(sr, hr, self._convention, self._border, reference)
        return {self._name: np.asarray(values.cpu())}


def identical(name: str, columns: Columns) -> Mapping[str, float]:
    """Return how many images have infinite PSNR, which makes the mean infinite too."""
    key = "identical" if name == "psnr" else f"{name}_identical"
    return {key: float(np.isposinf(columns[name]).sum())}
