"""Resizing of 8-bit images, with an explicit rule for every kernel.

| kernel           | rule                                                                        |
|------------------|-----------------------------------------------------------------------------|
| `pil-bicubic`    | Pillow's `BICUBIC`: a = -0.5, widened when reducing, truncated at the edges |
| `matlab-bicubic` | MATLAB's `imresize(uint8, [h w])`: a = -0.5, widened when reducing, edges   |
|                  | mirrored, the axis that shrinks most first, uint8 after each axis (half up) |
| `opencv-area`    | OpenCV's `INTER_AREA`: means over pixel areas; only reduces                 |

MATLAB gives different numbers for images converted to double first, because it then does not round
between the two axes; BasicSR's `imresize` does the same. The variant here is the 8-bit one.
Enlarging, as the resampling models do, uses Pillow's `NEAREST`, `BICUBIC` or `LANCZOS`.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from affectbench.errors import InputError, UnknownNameError
from affectbench.images.reading import Pixels
from affectbench.types import Kernel

Method = Literal["nearest", "bicubic", "lanczos"]

_PILLOW: dict[str, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize(pixels: Pixels, height: int, width: int, kernel: Kernel) -> Pixels:
    """Resize an image (H, W, 3), uint8, by one of the kernels of this module.

    Raises InputError if it is not uint8 (H, W, 3), a side is not positive, or `opencv-area` is to
    enlarge; UnknownNameError for a kernel that does not exist.
    """
    _require_pixels(pixels, height, width)
    if kernel == "pil-bicubic":
        return _by_pillow(pixels, height, width, Image.Resampling.BICUBIC)
    if kernel == "matlab-bicubic":
        return _matlab_bicubic(pixels, height, width)
    if kernel == "opencv-area":
        return _area(pixels, height, width)
    raise UnknownNameError(f"unknown kernel '{kernel}'; known: {', '.join(get_args(Kernel))}")


def enlarge(pixels: Pixels, height: int, width: int, method: Method) -> Pixels:
    """Resize an image (H, W, 3), uint8, by Pillow; errors as in `resize`."""
    _require_pixels(pixels, height, width)
    if method not in _PILLOW:
        raise UnknownNameError(f"unknown method '{method}'; known: {', '.join(_PILLOW)}")
    return _by_pillow(pixels, height, width, _PILLOW[method])


def _require_pixels(pixels: Pixels, height: int, width: int) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InputError(
            f"cannot resize {pixels.dtype} {pixels.shape}; uint8 pixels (H, W, 3) are needed"
        )
    if height < 1 or width < 1:
        raise InputError(f"cannot resize to {width}x{height}; both sides must be at least 1 pixel")


def _by_pillow(pixels: Pixels, height: int, width: int, filter_: Image.Resampling) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), filter_)).copy()


# MATLAB


def _matlab_bicubic(pixels: Pixels, height: int, width: int) -> Pixels:
    sizes = (height, width)
    order = sorted((0, 1), key=lambda axis: sizes[axis] / pixels.shape[axis])
    for axis in order:
        if sizes[axis] != pixels.shape[axis]:
            weights = bicubic_weights(pixels.shape[axis], sizes[axis])
            exact = np.moveaxis(np.tensordot(weights, pixels, axes=(1, axis)), 0, axis)
            pixels = np.floor(exact.clip(0.0, 255.0) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)


@lru_cache(maxsize=64)
def bicubic_weights(old: int, new: int) -> NDArray[np.float64]:
    """Return the matrix (new, old) that resizes one axis: rows sum to 1, edges are mirrored."""
    scale = new / old
    stretch = min(scale, 1.0)  # a wider kernel prevents aliasing when reducing
    centres = (np.arange(new) + 0.5) / scale - 0.5
    reach = int(np.ceil(4.0 / stretch)) + 2
    taps = np.floor(centres - 2.0 / stretch)[:, None] + np.arange(reach)
    values = _cubic((centres[:, None] - taps) * stretch)
    values /= values.sum(axis=1, keepdims=True)
    around = taps.astype(np.int64) % (2 * old)
    mirrored = np.minimum(around, 2 * old - 1 - around)
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new)[:, None], mirrored), values)
    return weights


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -0.5 (IEEE TASSP 29, 1981)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


# OpenCV


def _area(pixels: Pixels, height: int, width: int) -> Pixels:
    old_height, old_width = pixels.shape[:2]
    if height > old_height or width > old_width:
        raise InputError(
            f"opencv-area only reduces, and {old_width}x{old_height} to {width}x{height} enlarges; "
            "choose a bicubic kernel or a smaller size"
        )
    if old_height % height == 0 and old_width % width == 0:
        return _block_means(pixels, height, width)
    return _area_means(pixels, height, width)


def _block_means(pixels: Pixels, height: int, width: int) -> Pixels:
    """Average whole blocks: integer sums, rounded half to even; 2x2 blocks half up, like OpenCV."""
    down, across = pixels.shape[0] // height, pixels.shape[1] // width
    blocks = pixels.reshape(height, down, width, across, 3)
    sums: NDArray[np.int32] = blocks.sum(axis=(1, 3), dtype=np.int32)
    if down == across == 2:
        return ((sums + 2) >> 2).astype(np.uint8)
    means: NDArray[np.float32] = sums.astype(np.float32) * np.float32(1.0 / (down * across))
    return np.rint(means).astype(np.uint8)


def _area_means(pixels: Pixels, height: int, width: int) -> Pixels:
    """Average blocks that split pixels: float32 sums, tap by tap, rounded half to even."""
    rows = _weighted(pixels.astype(np.float32), width, axis=1)
    return np.rint(_weighted(rows, height, axis=0)).clip(0, 255).astype(np.uint8)


def _weighted(values: NDArray[np.float32], new: int, axis: int) -> NDArray[np.float32]:
    old = values.shape[axis]
    first, shares = _area_shares(old, new)
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    parts = (
        values.take(np.minimum(first + tap, old - 1), axis=axis) * share.reshape(shape)
        for tap, share in enumerate(shares.T)
    )
    return reduce(np.add, parts)


@lru_cache(maxsize=64)
def _area_shares(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first source pixel of each target pixel (new,) and its weights (new, taps).

    A partly covered pixel counts if more than a thousandth of it is inside, as in OpenCV.
    """
    scale = old / new
    start = (np.arange(new) * scale)[:, None]
    end = np.minimum(start + scale, old)
    first = np.floor(start)
    taps = first + np.arange(int(np.ceil(scale)) + 1)
    inside = np.clip(np.minimum(taps + 1, end) - np.maximum(taps, start), 0.0, 1.0)
    inside[inside <= 1e-3] = 0.0
    shares = inside / np.minimum(scale, old - start)
    return first[:, 0].astype(np.int64), shares.astype(np.float32)
