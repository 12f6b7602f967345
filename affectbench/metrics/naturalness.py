"""Does an image look natural, whatever it shows? The metric `niqe`, which needs no reference.

It knows nothing of faces, and rewards texture that was made up: read it beside `lpips-alex` or
`psnr`. Below 192 pixels there are too few blocks for it to mean anything: there is no value.

Image by image, in float64. Of a luma image Y, local contrast is normalised: n = (Y - m) / (s + 1),
with m and s the mean and deviation in a Gaussian window of 7x7 pixels (sigma 7/6, edges repeated).
Each block of 96x96
pixels, and of 48x48 in the image at half the size, gives 18 numbers: the shape and mean scale of a
generalised Gaussian distribution fitted to n, and of asymmetric ones fitted to the products of n
with its neighbours in four directions (shape, mean, left and right scale). With mean and covariance
of the blocks' 36 numbers, m1 and C1, and those of natural photographs, m2 and C2,

    NIQE = sqrt((m1 - m2)^T pinv((C1 + C2) / 2) (m1 - m2)).

As in BasicSR 1.4.2, which agrees with the authors' release to 1e-5: luma is MATLAB's, rounded;
pixels right and below of whole blocks are left out; neighbours wrap around in each block; the half
size is MATLAB's bicubic. There, float32 in between moves the second decimal in bad cases.
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
from affectbench.images.tensors import ImageLike, as_batch, quantise
from affectbench.metrics import assets, catalogue
from affectbench.metrics.base import require_side
from affectbench.types import Columns, Judge, MetricSettings

BLOCK = 96
SIGMA = 7 / 6
ROUNDING = 1e-9
"""Where a window is flat, luma and its mean are equal but for rounding, whose sign would otherwise
decide on which side of the distribution these pixels are counted."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Natural:
    """Mean (36,) and covariance (36, 36) of the numbers of natural photographs."""

    mean: Array
    covariance: Array


def niqe(image: ImageLike) -> torch.Tensor:
    """Natural image quality evaluator, one value per image, at least 0, lower is better.

    How far the statistics of local contrast are from those of natural photographs; about 3 to 6
    for good ones. `image` is an image or a batch as in
    `affectbench.metrics.fidelity.psnr`, of 192 pixels or more a side; floats are rounded to 8 bits.
    Gives float64 (N,), NaN for an image that is flat but for one block of 96x96 pixels. Raises
    InputError for images that cannot be used. Source: Mittal, Soundararajan and Bovik, "Making a
    completely blind image quality analyzer", IEEE SPL 20(3), 2013.
    """
    return torch.from_numpy(niqe_values(quantise(as_batch(image))))


def niqe_values(pixels: torch.Tensor) -> Array:
    """NIQE (N,) of uint8 images (N, 3, H, W); InputError if they are too small.

    NaN for an image with fewer than two blocks that have any structure.
    """
    spec = catalogue.NIQE.spec
    require_side(spec.name, spec.min_size, pixels)
    planes = luma(pixels.cpu(), "y-matlab", "rounded").squeeze(1).numpy()
    return np.array([_niqe(plane, natural()) for plane in planes], dtype=np.float64)


@lru_cache(maxsize=1)
def natural() -> Natural:
    """The bundled numbers; WeightsError if they are missing or damaged."""
    tensors = load_safetensors(assets.NIQE.source.path(), assets.NIQE.source.sha256)
    return Natural(tensors["mean"].numpy(), tensors["covariance"].numpy())


def _niqe(plane: Array, expected: Natural) -> float:
    height, width = (side // BLOCK * BLOCK for side in plane.shape)
    plane = plane[:height, :width]
    half = bicubic_weights(height, height // 2) @ plane @ bicubic_weights(width, width // 2).T
    numbers = np.concatenate([_numbers(plane, BLOCK), _numbers(half, BLOCK // 2)], axis=1)
    # A flat block has no distribution to fit: its numbers are NaN.
    whole = numbers[~np.isnan(numbers).any(axis=1)]
    if len(whole) < 2:
        return float("nan")
    difference = expected.mean - np.nanmean(numbers, axis=0)
    covariance = np.cov(whole, rowvar=False)
    inverse = np.linalg.pinv((expected.covariance + covariance) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


def _numbers(plane: Array, side: int) -> Array:
    """The 18 numbers of each block of side x side pixels: (blocks, 18)."""
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
    """Shape, left and right scale of an asymmetric generalised Gaussian, by its moments."""
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
    """NaN where there is nothing to average."""
    return float(values.mean()) if values.size else float("nan")


@lru_cache(maxsize=1)
def _ratios() -> tuple[Array, Array]:
    """Shapes from 0.2 to 10 and the squared mean over the mean square of such a distribution."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


class NiqeMetric:
    """NIQE of SR and of HR, as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(self, settings: MetricSettings, judge: Judge | None, device: torch.device) -> None:
        """Nothing decides the numbers but the images; they are computed on the CPU."""

    def reference(self, hr: torch.Tensor) -> Array:
        """Return NIQE (N,) of the HR images, computed once for all models."""
        return niqe_values(hr)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Array) -> Columns:  # noqa: ARG002
        """Return `niqe` of SR, lower is better, and `niqe_hr`, what the originals have."""
        return {"niqe": niqe_values(sr), "niqe_hr": reference}


def of_originals(columns: Columns) -> Mapping[str, float]:
    """`niqe_hr`: the mean of the originals, which a model should come near to, not below."""
    values = np.asarray(columns["niqe_hr"], dtype=np.float64)
    values = values[~np.isnan(values)]
    return {"niqe_hr": float(values.mean()) if values.size else float("nan")}
