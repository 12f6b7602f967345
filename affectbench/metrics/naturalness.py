"""Does an image look natural, whatever its content? The metric `niqe`, which needs no reference.

It knows nothing about faces and rewards hallucinated texture: read it together with `lpips-alex` or
`psnr`. Images below 192 pixels have too few blocks for a meaningful value and get none.

Computed per image in float64. The local contrast of a luma image Y is normalised:
n = (Y - m) / (s + 1), with m and s the mean and deviation in a 7x7 Gaussian window (sigma 7/6,
edges replicated). Each block of 96x96 pixels, and of 48x48 in the image at half size, yields 18
numbers: the shape and mean scale of a generalised Gaussian distribution fitted to n, and four
parameters (shape, mean, left and right scale) of asymmetric ones fitted to the products of n with
its neighbours in four directions. With m1 and C1 the mean and covariance of the blocks' 36 numbers,
and m2 and C2 those of natural photographs,

    NIQE = sqrt((m1 - m2)^T pinv((C1 + C2) / 2) (m1 - m2)).

As in BasicSR 1.4.2, which agrees with the authors' release to 1e-5: luma is MATLAB's, rounded;
incomplete blocks at the right and bottom are dropped; neighbours wrap around within each block; the
half-size image uses MATLAB's bicubic. BasicSR's float32 intermediates can change the second
decimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import gamma

from affectbench.assets.weights import load_safetensors
from affectbench.images.luma import luma
from affectbench.images.resizing import bicubic_weights
from affectbench.images.tensors import ImageLike, as_levels
from affectbench.metrics import assets, catalogue
from affectbench.metrics.base import require_side
from affectbench.types import Columns, Judge, MetricSettings

BLOCK = 96
SIGMA = 7 / 6
ROUNDING = 1e-9
"""In a flat window, luma and its mean differ by rounding only, and the sign of that rounding error
would decide on which side of the distribution these pixels are counted."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Natural:
    """Mean (36,) and covariance (36, 36) of the features of natural photographs."""

    mean: Array
    covariance: Array


def niqe(image: ImageLike) -> torch.Tensor:
    """Return the natural image quality evaluator (NIQE), one value per image; lower is better.

    The distance between the local contrast statistics of the image and those of natural
    photographs: at least 0, about 3 to 6 for good images. `image` is an image or a batch as in
    `affectbench.metrics.fidelity.psnr`, with sides of 192 pixels or more; floats are rounded to 8
    bits. Returns float64 (N,), NaN for an image that is flat in all but one block of 96x96 pixels.
    Raises InputError for images that cannot be used. Source: Mittal, Soundararajan and Bovik,
    "Making a completely blind image quality analyzer", IEEE SPL 20(3), 2013.
    """
    return torch.from_numpy(niqe_values(as_levels(image)))


def niqe_values(pixels: torch.Tensor) -> Array:
    """Return NIQE (N,) of uint8 images (N, 3, H, W); InputError if they are too small.

    NaN for an image with fewer than two textured blocks.
    """
    spec = catalogue.NIQE.spec
    require_side(spec.name, spec.min_size, pixels)
    planes = luma(pixels.cpu(), "y-matlab", "rounded").squeeze(1).numpy()
    return np.array([_niqe(plane, natural()) for plane in planes], dtype=np.float64)


@lru_cache(maxsize=1)
def natural() -> Natural:
    """Return the bundled statistics; WeightsError if they are missing or damaged."""
    tensors = load_safetensors(assets.NIQE.source.path(), assets.NIQE.source.sha256)
    return Natural(tensors["mean"].numpy(), tensors["covariance"].numpy())


def _niqe(plane: Array, expected: Natural) -> float:
    height, width = (side // BLOCK * BLOCK for side in plane.shape)
    plane = plane[:height, :width]
    half = bicubic_weights(height, height // 2) @ plane @ bicubic_weights(width, width // 2).T
    numbers = np.concatenate([_numbers(plane, BLOCK), _numbers(half, BLOCK // 2)], axis=1)
    # No distribution can be fitted to a flat block: its numbers are NaN.
    whole = numbers[~np.isnan(numbers).any(axis=1)]
    if len(whole) < 2:
        return float("nan")
    difference = expected.mean - np.nanmean(numbers, axis=0)
    covariance = np.cov(whole, rowvar=False)
    inverse = np.linalg.pinv((expected.covariance + covariance) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


def _numbers(plane: Array, side: int) -> Array:
    """Return the 18 numbers of each block of side x side pixels: (blocks, 18)."""
    mean = _smoothed(plane)
    deviation = np.sqrt(np.abs(_smoothed(plane**2) - mean**2))
    difference = plane - mean
    difference[np.abs(difference) < ROUNDING] = 0.0
    contrast = difference / (deviation + 1.0)
    down, across = (length // side for length in plane.shape)
    blocks = contrast.reshape(down, side, across, side).swapaxes(1, 2).reshape(-1, side, side)
    return np.array([_block_numbers(block) for block in blocks])


def _smoothed(plane: Array) -> Array:
    offsets = np.arange(-3, 4)
    taps = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    taps /= taps.sum()
    rows: Array = correlate1d(plane, taps, axis=0, mode="nearest")
    smoothed: Array = correlate1d(rows, taps, axis=1, mode="nearest")
    return smoothed


def _block_numbers(block: Array) -> list[float]:
    shape, left, right = _fitted(block)
    numbers = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = _fitted(block * np.roll(block, shift, axis=(0, 1)))
        numbers += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return numbers


def _fitted(values: Array) -> tuple[float, float, float]:
    """Fit an asymmetric generalised Gaussian by moments: shape, left and right scale."""
    shapes, ratios = _ratios()
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(_mean(values[values < 0] ** 2))
        right = np.sqrt(_mean(values[values > 0] ** 2))
        g = left / right
        ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
        ratio *= (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    shape = shapes[np.argmin((ratios - ratio) ** 2)]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return float(shape), float(left * scale), float(right * scale)


def _mean(values: Array) -> float:
    """Return the mean, or NaN for an empty array."""
    return float(values.mean()) if values.size else float("nan")


@lru_cache(maxsize=1)
def _ratios() -> tuple[Array, Array]:
    """Return shapes from 0.2 to 10, and squared mean over mean square for each."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


class NiqeMetric:
    """NIQE of SR and HR, behind the runner's interface: uint8 images (N, 3, H, W)."""

    def __init__(self, settings: MetricSettings, judge: Judge | None, device: torch.device) -> None:
        """Take no settings: the numbers depend on the images only, and are computed on the CPU."""

    def reference(self, hr: torch.Tensor) -> Array:
        """Return NIQE (N,) of the HR images, computed once for all models."""
        return niqe_values(hr)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Array) -> Columns:  # noqa: ARG002
        """Return `niqe` of SR (lower is better), and `niqe_hr`, that of the originals."""
        return {"niqe": niqe_values(sr), "niqe_hr": reference}


def of_originals(columns: Columns) -> Mapping[str, float]:
    """Return `niqe_hr`, the mean of the originals: a model should approach it, not go below."""
    values = np.asarray(columns["niqe_hr"], dtype=np.float64)
    values = values[~np.isnan(values)]
    return {"niqe_hr": float(values.mean()) if values.size else float("nan")}
