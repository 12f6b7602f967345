"""PSNR and SSIM of batches of 8-bit images, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional as F

from affectbench.errors import InputError
from affectbench.images.luma import Quantisation, luma
from affectbench.images.tensors import ImageLike, as_pair, quantise, require_same_shape
from affectbench.metrics.conventions import Convention, find_convention
from affectbench.types import Columns

CHUNK_VALUES = 1 << 18
"""Values worked on at once: the intermediate maps then stay in a processor's cache."""

Measure = Callable[[torch.Tensor, torch.Tensor, Convention, int], torch.Tensor]


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
        values = self._measure(sr, hr, self._convention, self._border)
        return {self._name: np.asarray(values.cpu())}


def measured(
    measure: Measure, sr: ImageLike, hr: ImageLike, convention: str, scale: int
) -> torch.Tensor:
    """A measure of images as users pass them, rounded to 8 bits by `quantise` first."""
    rules = find_convention(convention)
    border = rules.border_at(scale)
    x, y = as_pair(sr, hr)
    return measure(quantise(x), quantise(y), rules, border)


def psnr_values(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int
) -> torch.Tensor:
    """PSNR in dB (N,), float64, of uint8 images (N, 3, H, W): 10 log10(255^2 / MSE).

    The MSE is taken over all pixels and channels of one image. Identical images have infinity,
    unless the convention adds something to the MSE.
    """
    _require_room(sr, hr, convention, border, 1)
    planes = _chunks(sr, hr, convention, border, convention.luma_quantisation)
    mse = torch.cat([(x - y).flatten(1).square().mean(1) for x, y in planes])
    return 10.0 * torch.log10(
        convention.peak**2 / (mse + convention.mse_floor * convention.peak**2)
    )


def ssim_values(
    sr: torch.Tensor, hr: torch.Tensor, convention: Convention, border: int
) -> torch.Tensor:
    """SSIM (N,), float64, of uint8 images (N, 3, H, W): the mean of the SSIM map and channels."""
    _require_room(sr, hr, convention, border, convention.size)
    planes = _chunks(sr, hr, convention, border, convention.ssim_quantisation)
    maps = (ssim_map(_framed(x, convention), _framed(y, convention), convention) for x, y in planes)
    if convention.negative == "zero":
        maps = (values.clamp_(min=0.0) for values in maps)
    return torch.cat([values.flatten(1).mean(1) for values in maps])


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
    c1, c2 = (0.01 * convention.peak) ** 2, (0.03 * convention.peak) ** 2
    total, difference = x + y, x - y
    mean_s, mean_d = _filtered(total, taps).square_(), _filtered(difference, taps).square_()
    var_s = _filtered(total.square_(), taps).sub_(mean_s)
    var_d = _filtered(difference.square_(), taps).sub_(mean_d)
    samples = convention.size**2
    half = 0.5 * samples / (samples - 1) if convention.covariance == "n-1" else 0.5
    above = (mean_s - mean_d).mul_(0.5).add_(c1) * (var_s - var_d).mul_(half).add_(c2)
    below = mean_s.add_(mean_d).mul_(0.5).add_(c1) * var_s.add_(var_d).mul_(half).add_(c2)
    return above.div_(below)


def _framed(planes: torch.Tensor, convention: Convention) -> torch.Tensor:
    """Planes (N, C, H, W) as SSIM takes them: averaged down, or continued beyond their edges."""
    if convention.shrink == "to-256":
        planes = F.avg_pool2d(planes, max(1, round(min(planes.shape[-2:]) / 256)))
    if convention.edges == "reflected":
        planes = F.pad(planes, (convention.size // 2,) * 4, mode="reflect")
    return planes


def window_taps(convention: Convention) -> list[float]:
    """The weights of the separable window along one side: symmetric, their sum is 1."""
    if convention.window == "uniform":
        return [1.0 / convention.size] * convention.size
    offsets = np.arange(convention.size) - convention.size // 2
    weights = np.exp(-0.5 * (offsets / convention.sigma) ** 2)
    return [float(weight) for weight in weights / weights.sum()]


def _filtered(planes: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """Planes (N, C, H, W) weighted by the window in both directions, whole windows only."""
    for axis in (-1, -2):
        planes = _filtered_along(planes, taps, axis)
    return planes


def _filtered_along(planes: torch.Tensor, taps: list[float], axis: int) -> torch.Tensor:
    # Sums of shifted views: three to eight times faster than a convolution in float64.
    last = len(taps) - 1
    length = planes.shape[axis] - last
    out = planes.narrow(axis, last // 2, length) * taps[last // 2]
    for i in range(last // 2):
        pair = planes.narrow(axis, i, length) + planes.narrow(axis, last - i, length)
        out.add_(pair, alpha=taps[i])
    return out


def _chunks(
    sr: torch.Tensor,
    hr: torch.Tensor,
    convention: Convention,
    border: int,
    quantisation: Quantisation,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    images = max(1, CHUNK_VALUES // sr[0].numel())
    for pair in zip(torch.split(sr, images), torch.split(hr, images), strict=True):
        x, y = (_planes(pixels, convention, border, quantisation) for pixels in pair)
        yield x, y


def _planes(
    pixels: torch.Tensor, convention: Convention, border: int, quantisation: Quantisation
) -> torch.Tensor:
    """What is compared: float64 planes (N, C, H, W) in 0 to 255, without the border."""
    if pixels.device.type == "mps":  # has no float64
        pixels = pixels.cpu()
    height, width = pixels.shape[-2:]
    pixels = pixels[..., border : height - border, border : width - border]
    if convention.colour == "rgb":
        return pixels.double()
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
