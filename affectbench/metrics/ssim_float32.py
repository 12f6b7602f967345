"""SSIM of planes in float32 on a CPU: several times faster than float64, and within 1e-6 of it.

A float32 has 24 bits, and a variance is the small difference of two large means. What keeps it
exact enough here:

- The sum s = x + y and the difference d = x - y are centred, plane by plane, by whole numbers:
  they and their squares stay whole numbers below 2^24, which float32 holds exactly.
- Only the variances lose digits. That of d, and with it the loss of similarity, is small where
  planes are alike.
- Products of whole numbers and weights are not rounded at random: over a flat region the sums
  all lean to one side, by up to 0.2 units in the last place. A slight slope laid over s and s^2
  breaks that pattern; a symmetric window leaves it as it is, so that it is taken off afterwards.
- The weights, rounded to float32, still sum to 1. Those of a uniform window are whole numbers,
  1, and so are then its sums.

Convolutions do the filtering (oneDNN's, on its two fastest paths). Down the columns: each of the
W columns is a channel of its own. Along the rows: a plane, flattened, is a signal of 8 channels,
of which 3 blocks of 8 pixels decide each block of the result; what spills over from one row to
the next lies outside of the valid region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

BLOCK = 8
"""Pixels of a row that are filtered together: what a register of eight float32 holds."""
LONGEST = 2 * BLOCK + 1
"""Weights of the longest window that three blocks reach."""
CHUNK_VALUES = 12 * 128 * 128
"""Values of a plane worked on at once: the maps then stay in a processor's last cache."""
EXACT_SIDE = 8
"""Side of the largest uniform window whose sums of squares, up to 510^2 each, stay below 2^24."""
SLOPES = (159 / 2**14, 11 / 2**6)
"""Of s and s^2 per row: what float32 adds to 9 and 18 bits of whole numbers without rounding."""


@dataclass(frozen=True)
class Filters:
    """The window as the weights of two convolutions, and the slopes before and after them.

    The sum of all weights is `total`: 1, or the pixels of a uniform window.
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
    """The mean SSIM (P,), float64, of planes x and y (P, H, W), uint8 or float, in 0 to 255.

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
    # A caller's mixed precision would change the score.
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
    """What rounding lifted over 1, or kept below it for identical planes, is 1."""
    for index in (means > 1.0 - 1e-6).nonzero().flatten().tolist():
        if means[index] > 1.0 or torch.equal(x[index], y[index]):
            means[index] = 1.0
    return means


def _fill(
    maps: torch.Tensor, x: torch.Tensor, y: torch.Tensor, slopes: torch.Tensor
) -> torch.Tensor:
    """Fill `maps` with s, -d, s^2 and d^2, centred; slopes are on s and s^2. Gives the centres."""
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
    """Window means of maps (M, P, H, W), W a multiple of 8: (M, P, H - size + 1, W).

    The mean of the window around column j is at j; columns nearer to an edge than half a window
    hold no means.
    """
    count, planes, height, width = maps.shape
    columns = maps.view(count * planes, 1, height, width).permute(0, 3, 1, 2)
    rows = F.conv2d(columns, filters.down, groups=width).permute(0, 2, 3, 1)
    height = rows.shape[2]
    blocks = rows.reshape(count * planes, 1, height * width // BLOCK, BLOCK).permute(0, 3, 1, 2)
    means = F.conv2d(blocks, filters.along, padding=(0, 1)).permute(0, 2, 3, 1)
    return means.reshape(count, planes, height, width)


def _variances(maps: torch.Tensor, filters: Filters) -> None:
    """From window sums of s, d and their squares to means and variances, in their place."""
    means, squares = maps[:2], maps[2:]
    if filters.total == 1:
        maps[0::2].sub_(filters.slopes_after)
        torch.addcmul(squares, means, means, value=-1, out=squares)
        return
    # About a whole number near the mean, all is exact but for the square of the small rest.
    whole = means.div(filters.total).round_()
    rest = torch.addcmul(means, whole, whole.new_tensor(filters.total), value=-1)
    for factor in (means, rest):
        torch.addcmul(squares, whole, factor, value=-1, out=squares)
    torch.addcmul(squares, rest, rest, value=-1.0 / filters.total, out=squares)
    maps.div_(filters.total)


def _map(
    maps: torch.Tensor, centre: torch.Tensor, constants: tuple[float, float], normaliser: float
) -> torch.Tensor:
    """Half of the SSIM map, (a - b) / 2(a + b) times (vs - vd + 2 C2) / (vs + vd + 2 C2).

    a = ms^2 + 2 C1 and b = md^2 are of the means of s and d, vs and vd their variances. The first
    factor is taken as a / (a + b) - 1/2, which saves a pass over memory, and C2 is divided apart:
    added to a difference of large variances it would always be rounded to the same side. Works in
    the memory of `maps`.
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
    """The weights as float32 whose sum is 1: the outer two make up for the others' rounding."""
    weights = np.array(taps, dtype=np.float32)
    missing = 1.0 - float(weights.sum(dtype=np.float64))
    weights[[0, -1]] += np.float32(missing / 2)
    return weights
