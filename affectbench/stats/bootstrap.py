"""Bias-corrected and accelerated (BCa) bootstrap intervals.

B. Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987), 171-185.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectbench.stats.sets import (
    DRAWS,
    MIN_N,
    TIE,
    Classes,
    Floats,
    Groups,
    blocks,
    counted,
    scale_of,
)

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A confidence interval; (nan, nan) where there is none."""

    low: float
    high: float


UNKNOWN = Interval(math.nan, math.nan)


def bca_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    classes: Classes = None,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval:
    """The BCa interval of `set_mean(values, classes)`, faces resampled with replacement.

    Args:
        values: One number per face (N,); NaN is a ValueError.
        rng: Source of the draws.
        classes: Class index per face for a macro mean, -1 for faces that do not count. A class
            that a draw misses is left out of that draw's macro mean.
        draws: Bootstrap draws; with 10,000 an end wanders by 0.02 to 0.05 standard errors.
        level: Coverage that is aimed at. It falls short for few skewed values: of 95 %, 30
            exponential values get 92 %, 100 get 94 %, seven classes of ten 93 % (simulated).

    Returns (nan, nan) under `MIN_N` counted faces or with infinite values, and the mean twice if
    there is no spread (within the classes).

    >>> bca_interval([1.0] * 8, np.random.default_rng(0))
    Interval(low=1.0, high=1.0)
    """
    column = np.asarray(values, dtype=np.float64)[:, np.newaxis]
    return bca_intervals(column, rng, classes, draws=draws, level=level)[0]


def bca_intervals(
    values: ArrayLike,
    rng: np.random.Generator,
    classes: Classes = None,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
) -> list[Interval]:
    """`bca_interval` of each column of values (N, M); all columns share the draws."""
    kept, groups = counted(values, classes)
    if len(kept) < MIN_N:
        return [UNKNOWN] * kept.shape[1]
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(kept))
    means = _resampled_means(np.where(finite, kept, 0.0), groups, rng, draws)
    return [
        _bca(kept[:, i], groups, means[:, i], level) if finite[i] else UNKNOWN
        for i in range(len(finite))
    ]


def _resampled_means(
    values: Floats, groups: Groups, rng: np.random.Generator, draws: int
) -> Floats:
    """The macro mean of `draws` resamples of the rows of values (N, M): (draws, M)."""
    n = len(values)
    ones = np.ones((n, 1))
    means = np.empty((draws, values.shape[1]))
    for block in blocks(draws, n):
        counts = _resample_counts(rng, block.stop - block.start, n)
        sizes = groups.sums(counts, ones)
        sums = groups.sums(counts, values)
        class_means = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
        means[block] = class_means.sum(axis=1) / (sizes > 0).sum(axis=1)
    return means


def _resample_counts(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """How often each of n faces occurs in each resample of n faces: (draws, n)."""
    narrow = np.uint16 if n < 1 << 16 else np.int64  # 16-bit numbers are made faster
    picks = rng.integers(0, n, (draws, n), dtype=narrow).astype(np.intp)
    picks += n * np.arange(draws)[:, np.newaxis]
    return np.bincount(picks.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)


def _bca(values: Floats, groups: Groups, means: Floats, level: float) -> Interval:
    estimate = float(groups.means(values).mean())
    centred = groups.centred(values)
    rounding = TIE * scale_of(values)
    if scale_of(centred) <= rounding:
        return Interval(estimate, estimate)
    # Leaving face i of class k out moves the macro mean by -(v_i - m_k) / (K (n_k - 1)).
    influence = centred / groups.freedom[groups.index]
    influence /= scale_of(influence)
    acceleration = float((influence**3).sum() / (6.0 * (influence**2).sum() ** 1.5))
    below = (means < estimate - rounding).mean()
    below += 0.5 * (np.abs(means - estimate) <= rounding).mean()
    edge = 0.5 / len(means)
    bias = _NORMAL.inv_cdf(min(max(float(below), edge), 1.0 - edge))
    tails = [_adjusted(tail, bias, acceleration) for tail in ((1 - level) / 2, (1 + level) / 2)]
    low, high = np.quantile(means, tails)
    return Interval(float(low), float(high))


def _adjusted(tail: float, bias: float, acceleration: float) -> float:
    """The quantile of the draws that BCa takes in place of the quantile `tail`."""
    z = bias + _NORMAL.inv_cdf(tail)
    return _NORMAL.cdf(bias + z / (1.0 - acceleration * z))
