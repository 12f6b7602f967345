"""SSIM of planes in float32 on a CPU: several times faster than float64, and within 1e-6 of it.

float32 has a 24-bit significand, and a variance is the small difference of two large means. The
accuracy is kept as follows:

- The sum s = x + y and the difference d = x - y are centred, plane by plane, by integers: they and
  their squares remain integers below 2^24, which float32 represents exactly.
- Only the variances lose digits. The variance of d, and with it the dissimilarity, is small where
  the planes are alike.
- Products of integers and weights do not round at random: over a flat region all sums are biased in
  the same direction, by up to 0.2 ulp. A slight slope added to s and s^2 breaks that pattern; a
  symmetric window preserves the slope, so it is subtracted afterwards.
- The weights, rounded to float32, still sum to 1. Those of a uniform window are the integer 1, and
  so its sums are integers.

Filtering uses oneDNN's convolutions, on its two fastest paths. Along the columns, each of the W
columns is a channel of its own. Along the rows, a flattened plane is a signal with 8 channels, and
3 blocks of 8 pixels determine each block of the result; values that spill from one row into the
next lie outside the valid region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

BLOCK = 8
"""Pixels of a row filtered together: one register of eight float32."""
LONGEST = 2 * BLOCK + 1
"""Longest window, in weights, that three blocks cover."""
CHUNK_VALUES = 12 * 128 * 128
"""Values of a plane per block: the maps then stay in the processor's last-level cache."""
EXACT_SIDE = 8
"""Side of the largest uniform window whose sums of squares, up to 510^2 each, stay below 2^24."""
SLOPES = (159 / 2**14, 11 / 2**6)
"""Slopes of s and s^2 per row: float32 adds them to 9- and 18-bit integers without rounding."""


@dataclass(frozen=True)
class Filters:
    """The window as the weights of two convolutions, and the slopes before and after filtering.

    `total` is the sum of all weights: 1, or the number of pixels of a uniform window.
    """

    down: torch.Tensor
    along: torch.Tensor
    slopes: torch.Tensor
    slopes_after: torch.Tensor
    total: int


def ssim_of_planes(
    x: torch.Tensor,
    y: torch.Tensor,
    taps: tuple[float, ...],
    constants: tuple[float, float],
    normaliser: float,
) -> torch.Tensor:
    """Return the mean SSIM (P,), float64, of planes x and y (P, H, W), uint8 or float, 0 to 255.

    `taps` are the weights of the separable window along one side, symmetric, at most `LONGEST`;
    `constants` are C1 and C2; `normaliser` multiplies (co)variances: 1, or n / (n - 1). Formula:
    `fidelity.ssim_map`.
    """
    height, width = x.shape[-2:]
    filters = _filters(taps, height, width)
    inside = slice(len(taps) // 2, len(taps) // 2 + width - len(taps) + 1)
    planes = max(1, CHUNK_VALUES // (height * width))
    padded = -(-width // BLOCK) * BLOCK
    memory = torch.zeros(4 * min(planes, len(x)) * height * padded)
    means = []
    # Autocast is disabled: it would change the score.
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        for some_x, some_y in zip(torch.split(x, planes), torch.split(y, planes), strict=True):
            shape = (4, len(some_x), height, padded)
            maps = memory[: math.prod(shape)].view(shape)
            centre = _fill(maps, some_x, some_y, filters.slopes)
            maps = _filtered(maps, filters)
            _variances(maps, filters)
            halves = _map(maps, centre, constants, normaliser)[..., inside]
            means.append(halves.sum(-1).double().mean(-1))
    return _at_most_1(torch.cat(means) * (2.0 / (width - len(taps) + 1)), x, y)


def _at_most_1(means: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Clamp values that rounding raised above 1, and set identical planes to exactly 1."""
    for index in (means > 1.0 - 1e-6).nonzero().flatten().tolist():
        if means[index] > 1.0 or torch.equal(x[index], y[index]):
            means[index] = 1.0
    return means


def _fill(
    maps: torch.Tensor, x: torch.Tensor, y: torch.Tensor, slopes: torch.Tensor
) -> torch.Tensor:
    """Fill `maps` with centred s, -d, s^2 and d^2, slopes on s and s^2; return the centres."""
    width = x.shape[-1]
    total, difference = maps[0], maps[1]
    total[..., :width].copy_(x)
    difference[..., :width].copy_(y)
    difference.sub_(total)
    torch.add(difference, total, alpha=2, out=total)
    centre = maps[:2, ..., :width].mean((2, 3), keepdim=True).round_()
    maps[:2].sub_(centre)
    torch.addcmul(slopes[1], total, total, out=maps[2])
    torch.mul(difference, difference, out=maps[3])
    total.add_(slopes[0])
    return centre


def _filtered(maps: torch.Tensor, filters: Filters) -> torch.Tensor:
    """Return window means (M, P, H - size + 1, W) of maps (M, P, H, W), W a multiple of 8.

    The mean of the window around column j is at j; columns closer to an edge than half a window are
    not valid.
    """
    count, planes, height, width = maps.shape
    columns = maps.view(count * planes, 1, height, width).permute(0, 3, 1, 2)
    rows = F.conv2d(columns, filters.down, groups=width).permute(0, 2, 3, 1)
    height = rows.shape[2]
    blocks = rows.reshape(count * planes, 1, height * width // BLOCK, BLOCK).permute(0, 3, 1, 2)
    means = F.conv2d(blocks, filters.along, padding=(0, 1)).permute(0, 2, 3, 1)
    return means.reshape(count, planes, height, width)


def _variances(maps: torch.Tensor, filters: Filters) -> None:
    """Convert window sums of s, d and their squares to means and variances, in place."""
    means, squares = maps[:2], maps[2:]
    if filters.total == 1:
        maps[0::2].sub_(filters.slopes_after)
        torch.addcmul(squares, means, means, value=-1, out=squares)
        return
    # Around an integer near the mean, everything but the square of the small remainder is exact.
    whole = means.div(filters.total).round_()
    rest = torch.addcmul(means, whole, whole.new_tensor(filters.total), value=-1)
    for factor in (means, rest):
        torch.addcmul(squares, whole, factor, value=-1, out=squares)
    torch.addcmul(squares, rest, rest, value=-1.0 / filters.total, out=squares)
    maps.div_(filters.total)


def _map(
    maps: torch.Tensor, centre: torch.Tensor, constants: tuple[float, float], normaliser: float
) -> torch.Tensor:
    """Return half of the SSIM map, (a - b) / 2(a + b) times (vs - vd + 2 C2) / (vs + vd + 2 C2).

    a = ms^2 + 2 C1 and b = md^2 use the means of s and d; vs and vd are their variances. The first
    factor is computed as a / (a + b) - 1/2, which saves one pass over memory. C2 is divided
    separately: added to a difference of large variances it would always round in the same
    direction. Reuses the memory of `maps`.
    """
    means, squares = maps[:2], maps[2:]
    if normaliser != 1.0:
        squares.mul_(normaliser)
    means.add_(centre)
    (mean_s, mean_d), (above, below) = means, squares
    c1, c2 = (mean_s.new_tensor(2.0 * constant) for constant in constants)
    above.sub_(below)
    torch.add(above, below, alpha=2, out=below).add_(c2)
    torch.addcdiv(above.div_(below), c2, below, out=above)
    a = torch.addcmul(c1, mean_s, mean_s, out=mean_s)
    a.div_(torch.addcmul(a, mean_d, mean_d, out=mean_d))
    return a.sub_(0.5).mul_(above)


@lru_cache(maxsize=16)
def _filters(taps: tuple[float, ...], height: int, width: int) -> Filters:
    size = len(taps)
    exact = size <= EXACT_SIDE and len(set(taps)) == 1
    weights = np.ones(size, np.float32) if exact else _rounded(taps)
    padded = -(-width // BLOCK) * BLOCK
    along = np.zeros((BLOCK, BLOCK, 1, 3), np.float32)
    for pixel in range(BLOCK):
        for tap, weight in enumerate(weights):
            block, within = divmod(pixel - size // 2 + tap + BLOCK, BLOCK)
            along[pixel, within, 0, block] = weight
    rows = torch.arange(height, dtype=torch.float64).view(1, 1, height, 1)
    slopes = rows.new_tensor((0.0, 0.0) if exact else SLOPES).view(2, 1, 1, 1)
    after = rows[:, :, : height - size + 1] + (size - 1) / 2
    return Filters(
        down=torch.from_numpy(weights).expand(padded, 1, 1, size).contiguous(),
        along=torch.from_numpy(along),
        slopes=(slopes * rows).float(),
        slopes_after=(slopes * after).float(),
        total=size**2 if exact else 1,
    )


def _rounded(taps: tuple[float, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the weights as float32 with sum 1: the outer two absorb the rounding of the others."""
    weights = np.array(taps, dtype=np.float32)
    missing = 1.0 - float(weights.sum(dtype=np.float64))
    weights[[0, -1]] += np.float32(missing / 2)
    return weights
