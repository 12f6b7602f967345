"""Confidence intervals of means: the BCa bootstrap, adjusted for small samples.

BCa is the bias-corrected and accelerated bootstrap.

B. Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987), 171-185. T. Hesterberg, "What
Teachers Should Know About the Bootstrap", The American Statistician 69 (2015), 371-386.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectbench.stats.moments import moments, student_quantile
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
    """Return the interval of `set_mean(values, classes)`, faces resampled with replacement.

    Each endpoint is the outer one of two:

    - BCa's, at quantiles of Student's t instead of the normal distribution, widened by the ratio of
      standard error to bootstrap error ("expanded percentiles"): plain BCa is too narrow for small
      samples.
    - Student's, mean -+ t * error, clipped to the possible range (the mean of the classes' smallest
      values, and of their largest): with heavy tails, BCa overfits the skewness of a small sample.

    Both corrections vanish as n grows. `docs/limitations.md` reports the coverage.

    Args:
        values: One number per face (N,); NaN is a ValueError.
        rng: Source of the draws.
        classes: Class index per face for a macro mean, -1 for faces that do not count. A class
            absent from a draw is excluded from that draw's macro mean.
        draws: Bootstrap draws; with 10,000 an endpoint varies by 0.02 to 0.05 standard errors.
        level: Nominal coverage.

    Returns (nan, nan) for fewer than `MIN_N` counted faces or infinite values, and the mean twice
    if there is no spread (within the classes).

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
    """Return the `bca_interval` of each column of values (N, M); all columns share the draws.

    Equal columns have equal intervals, and the result is bitwise independent of column order.
    """
    kept, groups = counted(values, classes)
    if len(kept) < MIN_N:
        return [UNKNOWN] * kept.shape[1]
    # The rounding of a matrix product depends on a column's position, so each distinct column is
    # computed once, in sorted order.
    columns, place = np.unique(kept, axis=1, return_inverse=True)
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(columns))
    means = resampled_means(np.where(finite, columns, 0.0), groups, rng, draws)
    intervals = [
        _interval(columns[:, i], groups, means[:, i], level) if finite[i] else UNKNOWN
        for i in range(len(finite))
    ]
    return [intervals[i] for i in place.ravel()]


def resampled_means(values: Floats, groups: Groups, rng: np.random.Generator, draws: int) -> Floats:
    """Return the macro mean of `draws` resamples of the rows of values (N, M): (draws, M)."""
    n = len(values)
    ones = np.ones((n, 1))
    means = np.empty((draws, values.shape[1]))
    for block, counts in zip(blocks(draws, n), _resamples(rng, draws, n), strict=True):
        sizes = groups.sums(counts, ones)
        sums = groups.sums(counts, values)
        class_means = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
        means[block] = class_means.sum(axis=1) / (sizes > 0).sum(axis=1)
    return means


def _resamples(rng: np.random.Generator, draws: int, n: int) -> Iterator[Floats]:
    """Yield how often each of n faces occurs in each of all resamples, block by block.

    All statistics of n faces start from the same state of the generator (`shared_rng`), and drawing
    takes longer than summing. So the last counts are kept, as bytes.
    """
    source = rng.bit_generator
    key = (repr(source.state), draws, n)
    if key in _KEPT:
        counts, source.state = _KEPT[key]
        yield from (block.astype(np.float64) for block in counts)
        return
    # The states of other generators may have the same `repr`.
    fits = isinstance(source, np.random.PCG64) and draws * n <= _KEPT_BYTES
    kept: list[NDArray[np.uint8]] = []
    for block in blocks(draws, n):
        drawn = _resample_counts(rng, block.stop - block.start, n)
        fits = fits and drawn.max() <= np.iinfo(np.uint8).max
        if fits:
            kept.append(drawn.astype(np.uint8))
        yield drawn
    if fits:
        while len(_KEPT) >= _KEPT_STATES:
            _KEPT.pop(next(iter(_KEPT)), None)
        _KEPT[key] = (kept, source.state)


_KEPT: dict[tuple[str, int, int], tuple[list[NDArray[np.uint8]], Any]] = {}
_KEPT_STATES = 2
_KEPT_BYTES = 1 << 25


def _resample_counts(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """Return how often each of n faces occurs in each resample of n faces: (draws, n)."""
    narrow = np.uint16 if n < 1 << 16 else np.int64  # 16-bit integers are drawn faster
    picks = rng.integers(0, n, (draws, n), dtype=narrow).astype(np.intp)
    picks += n * np.arange(draws)[:, np.newaxis]
    return np.bincount(picks.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)


def _interval(values: Floats, groups: Groups, means: Floats, level: float) -> Interval:
    found = moments(values, groups)
    if found.error == 0.0:
        return Interval(found.mean, found.mean)
    reach = student_quantile((1.0 + level) / 2.0, found.freedom)
    deviations = reach * found.error / _bootstrap_error(values, groups)
    low, high = bca_ends(values, groups, means, deviations)
    least, most = (
        float(np.mean([edge(values[segment]) for segment in groups.segments]))
        for edge in (np.min, np.max)
    )
    student = reach * found.error
    return Interval(
        min(low, max(least, found.mean - student)), max(high, min(most, found.mean + student))
    )


def _bootstrap_error(values: Floats, groups: Groups) -> float:
    """Return the standard deviation of the resampled means, each class resampled separately."""
    return math.sqrt(float(((groups.weights * groups.centred(values)) ** 2).sum()))


def bca_ends(values: Floats, groups: Groups, means: Floats, reach: float) -> tuple[float, float]:
    """Return the BCa endpoints of the resampled means, at -+`reach` normal deviates."""
    estimate = float(groups.means(values).mean())
    rounding = TIE * scale_of(values)
    # Leaving face i of class k out moves the macro mean by -(v_i - m_k) / (K (n_k - 1)).
    influence = groups.centred(values) / groups.freedom[groups.index]
    influence /= scale_of(influence)
    acceleration = float((influence**3).sum() / (6.0 * (influence**2).sum() ** 1.5))
    below = (means < estimate - rounding).mean()
    below += 0.5 * (np.abs(means - estimate) <= rounding).mean()
    edge = 0.5 / len(means)
    bias = _NORMAL.inv_cdf(min(max(float(below), edge), 1.0 - edge))
    low, high = np.quantile(means, [_adjusted(z, bias, acceleration) for z in (-reach, reach)])
    return float(low), float(high)


def _adjusted(z: float, bias: float, acceleration: float) -> float:
    """Return the quantile level of the draws that BCa uses for the normal deviate z.

    Past the pole at z = 1 / acceleration, which few skewed values can reach, it is the last draw.
    """
    z += bias
    stretch = 1.0 - acceleration * z
    return _NORMAL.cdf(bias + z / stretch) if stretch > 0.0 else float(z > 0.0)
