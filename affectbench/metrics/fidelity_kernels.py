"""PSNR and SSIM of batches of 8-bit images, whole or over masks.

A region is a mask (N, H, W), and the whole image is the mask that is true everywhere, which None
stands for: both take the same error map and the same SSIM map, whatever the convention.

PSNR is exact. SSIM is computed in float64, or in float32 by `ssim_float32`, within 1e-6, where
that is faster: on the CPU, for whole images with at least `FLOAT32_WINDOWS` positions of the
window. Rounding errors average out over positions; small images and regions have too few of them,
and cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from affectbench.errors import InputError
from affectbench.images.luma import Quantisation, luma
from affectbench.images.tensors import ImageLike, as_pair, require_same_shape
from affectbench.metrics.conventions import Convention, find_convention
from affectbench.metrics.ssim_float32 import EXACT_SIDE, LONGEST, ssim_of_planes
from affectbench.types import Columns

CHUNK_VALUES = 1 << 18
"""Values worked on at once: the intermediate maps then stay in a processor's cache."""
FLOAT32_WINDOWS = 1 << 13
"""Positions of the window in a plane from which on float32 is exact enough: 96x96 pixels have
fewer, 128x128 have more, also without a border of 8."""

FLOAT32_FORMS = (("valid", "none", "kept"), ("interior", "none", "kept"))
"""Edges, shrinking and negative values of the conventions that float32 serves."""

Mask = torch.Tensor | None
"""Booleans (N, H, W); None is true everywhere."""
Measure = Callable[[torch.Tensor, torch.Tensor, Convention, int, Mask], torch.Tensor]


class FidelityMetric:
    """PSNR or SSIM by one convention, as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(
        self, name: str, measure: Measure, convention: str, scale: int, device: torch.device
    ) -> None:
        self._name = name
        self._measure = measure
        self._convention = find_convention(convention)
        self._border = self._convention.border_at(scale)
        self._device = device

    def reference(self, hr: torch.Tensor) -> None:  # noqa: ARG002
        """Nothing: what depends on the HR images alone is as large as they are."""
        return

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: None) -> Columns:  # noqa: ARG002
        """One column, named like the metric."""
        sr, hr = sr.to(self._device), hr.to(self._device)
        values = self._measure(sr, hr, self._convention, self._border, None)
        return {self._name: np.asarray(values.cpu())}


def measured(
    measure: Measure, sr: ImageLike, hr: ImageLike, convention: str, scale: int
) -> torch.Tensor:
    """A measure of images as users pass them."""
    rules = find_convention(convention)
    border = rules.border_at(scale)
    x, y = as_pair(sr, hr)
    return measure(x, y, rules, border, None)


def psnr_values(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int, mask: Mask = None
) -> torch.Tensor:
    """PSNR in dB (N,), float64, of uint8 images (N, 3, H, W): 10 log10(255^2 / MSE).

    The MSE is taken over all channels and the pixels of one image that the mask holds. Without
    any error it is infinity, unless the convention adds something to the MSE; NaN for a mask that
    is empty once the border is cut off.
    """
    _require_room(sr, hr, convention, border, 1)
    chunks = _chunks(sr, hr, mask, convention, border, quantisation=convention.luma_quantisation)
    mse = torch.cat([mean_square(x, y, inside) for x, y, inside in chunks])
    return 10.0 * torch.log10(
        convention.peak**2 / (mse + convention.mse_floor * convention.peak**2)
    )


def mean_square(x: torch.Tensor, y: torch.Tensor, mask: Mask = None) -> torch.Tensor:
    """The mean squared difference (N,), float64, of planes (N, C, H, W), uint8 or float64.

    Exact for uint8: sums of squares over up to 256 pixels are whole numbers below 2^24.
    """
    if x.dtype != torch.uint8:
        return mean_over((x - y).square_(), mask)
    squares = (x.float() - y.float()).square_()
    if mask is not None:
        squares.mul_(mask.unsqueeze(1))
    rows = torch.split(squares, 256, dim=-1)
    totals = [row.sum(-1).double().flatten(1).sum(1) for row in rows]
    return torch.stack(totals).sum(0) / _counted(x, mask)


def mean_over(values: torch.Tensor, mask: Mask) -> torch.Tensor:
    """The mean (N,) of a map (N, C, H, W) over channels and a mask's pixels; NaN without any."""
    if mask is not None:
        values = torch.where(mask.unsqueeze(1), values, 0.0)
    return values.flatten(1).sum(1) / _counted(values, mask)


def _counted(values: torch.Tensor, mask: Mask) -> torch.Tensor | int:
    """How many values (N, C, H, W) of each image a mask holds."""
    if mask is None:
        return values[0].numel()
    return mask.flatten(1).sum(1) * values.shape[1]


def ssim_values(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int, mask: Mask = None
) -> torch.Tensor:
    """SSIM (N,), float64, of uint8 images (N, 3, H, W): the mean of the SSIM map and channels.

    The map holds a value for each window; it counts if the mask holds the window's middle pixel
    (i + size // 2, j + size // 2), so that a window reaches half its size beyond the mask. NaN if
    the mask holds the middle of none. Where a convention averages images down, a pixel of the
    small image is in the mask if at least half of it is.
    """
    _require_room(sr, hr, convention, border, convention.size)
    measure, values = mean_ssim, CHUNK_VALUES
    if mask is None and _float32_will_do(sr, convention, border):
        measure, values = mean_ssim_float32, 8 * CHUNK_VALUES  # it has chunks of its own
    quantisation = convention.ssim_quantisation
    chunks = _chunks(sr, hr, mask, convention, border, quantisation=quantisation, values=values)
    return torch.cat(
        [
            measure(_levels(x, convention), _levels(y, convention), convention, inside)
            for x, y, inside in chunks
        ]
    )


def _levels(planes: torch.Tensor, convention: Convention) -> torch.Tensor:
    """The levels whose SSIM a convention takes."""
    return planes if convention.ssim_levels == "kept" else 256.0 - planes.double()


def mean_ssim(
    x: torch.Tensor, y: torch.Tensor, convention: Convention, mask: Mask = None
) -> torch.Tensor:
    """The mean of the SSIM map (N,), float64, of planes (N, C, H, W), uint8 or float64."""
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
    """`mean_ssim` of whole images within 1e-6, in float32 on the CPU."""
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
    """The SSIM map (N, C, H - size + 1, W - size + 1) of planes (N, C, H, W).

    With m for window means, v for variances and c for the covariance,

        SSIM = (2 mx my + C1) (2 c + C2) / ((mx^2 + my^2 + C1) (vx + vy + C2)),

    C1 = (0.01 * 255)^2 and C2 = (0.03 * 255)^2. It is computed from the sum s = x + y and the
    difference d = x - y, for which four filters do the work of five:
    2 mx my = (ms^2 - md^2) / 2, mx^2 + my^2 = (ms^2 + md^2) / 2, and likewise for variances.
    As d is 0 for identical images, their SSIM is exactly 1.
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
    """Planes (N, C, H, W) as SSIM takes them: averaged down, or continued beyond their edges."""
    planes = _shrunk(planes.double(), convention)
    if convention.edges == "reflected":
        planes = F.pad(planes, (convention.size // 2,) * 4, mode="reflect")
    return planes


def _shrunk(planes: torch.Tensor, convention: Convention) -> torch.Tensor:
    if convention.shrink == "none":
        return planes
    return F.avg_pool2d(planes, max(1, round(min(planes.shape[-2:]) / 256)))


def _middles(mask: torch.Tensor, values: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Which windows of an SSIM map (N, C, h, w) have their middle in a mask (N, H, W)."""
    inside = _shrunk(mask.unsqueeze(1).double(), convention).squeeze(1) >= 0.5
    if convention.edges == "reflected":
        return inside
    height, width = values.shape[-2:]
    first = convention.size // 2
    return inside[:, first : first + height, first : first + width]


def _constants(convention: Convention) -> tuple[float, float]:
    """C1 and C2 of SSIM."""
    return (0.01 * convention.peak) ** 2, (0.03 * convention.peak) ** 2


def _normaliser(convention: Convention) -> float:
    """What makes (co)variances of weighted means those of the convention: 1, or n / (n - 1)."""
    samples = convention.size**2
    return samples / (samples - 1) if convention.covariance == "n-1" else 1.0


def window_taps(convention: Convention) -> list[float]:
    """The weights of the separable window along one side: symmetric, their sum is 1."""
    if convention.window == "uniform":
        return [1.0 / convention.size] * convention.size
    return gaussian_taps(convention.size, convention.sigma)


def gaussian_taps(size: int, sigma: float) -> list[float]:
    """The weights of a Gaussian window along one side; their sum is 1."""
    offsets = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return [float(weight) for weight in weights / weights.sum()]


def window_means(planes: torch.Tensor, taps: Sequence[float]) -> torch.Tensor:
    """Planes (N, C, H, W) weighted by the window in both directions, whole windows only."""
    for axis in (-1, -2):
        planes = _filtered_along(planes, taps, axis)
    return planes


def _filtered_along(planes: torch.Tensor, taps: Sequence[float], axis: int) -> torch.Tensor:
    # Sums of shifted views: three to eight times faster than a convolution in float64.
    last = len(taps) - 1
    length = planes.shape[axis] - last
    out = planes.narrow(axis, last // 2, length) * taps[last // 2]
    for i in range(last // 2):
        pair = planes.narrow(axis, i, length) + planes.narrow(axis, last - i, length)
        out.add_(pair, alpha=taps[i])
    if last % 2:  # an even window has two taps in the middle
        out.add_(planes.narrow(axis, last // 2 + 1, length), alpha=taps[last // 2 + 1])
    return out


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
    """Planes of SR and HR and their mask, without the border, a few images at once."""
    # A GPU takes all at once: nothing is read back before the last image is done.
    images = max(1, values // sr[0].numel()) if sr.device.type == "cpu" else len(sr)
    for start in range(0, len(sr), images):
        some = slice(start, start + images)
        x, y = (_planes(pixels[some], convention, border, quantisation) for pixels in (sr, hr))
        yield x, y, None if mask is None else _within(mask[some], border).to(x.device)


def _within(images: torch.Tensor, border: int) -> torch.Tensor:
    """Images (..., H, W) without their border."""
    height, width = images.shape[-2:]
    return images[..., border : height - border, border : width - border]


def _planes(
    pixels: torch.Tensor, convention: Convention, border: int, quantisation: Quantisation
) -> torch.Tensor:
    """What is compared: planes (N, C, H, W) in 0 to 255, uint8 or float64, without the border."""
    if pixels.device.type == "mps":  # has no float64
        pixels = pixels.cpu()
    pixels = _within(pixels, border)
    if convention.colour == "rgb":
        return pixels
    return luma(pixels, convention.colour, quantisation)


def _require_room(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int, window: int
) -> None:
    require_same_shape(sr, hr)
    height, width = sr.shape[-2:]
    needed = window + 2 * border
    if min(height, width) < needed:
        raise InputError(
            f"the images are {width}x{height}, and convention '{convention.name}' needs at least "
            f"{needed}x{needed}: {window} pixels, and a border of {border} on each side"
        )
