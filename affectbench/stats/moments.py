"""Standard error, degrees of freedom and skewness of a macro mean, and the test based on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from affectbench.stats.sets import MIN_N, TIE, Classes, Floats, Groups, counted, scale_of


@dataclass(frozen=True)
class Moments:
    """A macro mean and the moments of its sampling distribution.

    `error` is its standard error; `freedom` is the Welch-Satterthwaite degrees of freedom, n - 1
    for a plain mean; `skew` is the skewness of the mean, g / sqrt(n) for a plain one.
    """

    mean: float
    error: float
    freedom: float
    skew: float


def moments(values: Floats, groups: Groups) -> Moments:
    """Return the moments of the macro mean of values (N,); `error` is 0 without any spread."""
    mean, centred = float(groups.means(values).mean()), groups.centred(values)
    scale = scale_of(centred)
    if scale <= TIE * scale_of(values):
        return Moments(mean, 0.0, math.inf, 0.0)
    centred = centred / scale  # so that powers of tiny or huge values neither under- nor overflow
    sizes, classes = groups.sizes, len(groups.sizes)
    squares = np.bincount(groups.index, weights=centred**2)
    cubes = np.bincount(groups.index, weights=centred**3)
    variances = squares / groups.freedom / sizes / classes**2
    # The third cumulant of a class mean, unbiased: n / ((n - 1) (n - 2)) sum d^3 / n^2.
    thirds = cubes / groups.freedom / (sizes - 2.0).clip(1.0) / sizes / classes**3
    variance = float(variances.sum())
    freedom = variance**2 / float((variances**2 / groups.freedom).sum())
    skew = float(thirds.sum()) / variance**1.5
    return Moments(mean, scale * math.sqrt(variance), freedom, skew)


def student_quantile(level: float, freedom: float) -> float:
    """Return the quantile `level` of Student's distribution."""
    return float(stdtrit(freedom, level))


def skewed_p(differences: ArrayLike, classes: Classes = None) -> float:
    """Return the two-sided p of the set mean (N,) against 0, by a skewness-corrected t test.

    t + r t^2 / 3 + r^2 t^3 / 27 + r / 6 for t = mean / error, r the skewness of the mean, against
    Student's distribution with the `freedom` of `moments`. Source: P. Hall, "On the removal of
    skewness by transformation", J. R. Statist. Soc. B 54 (1992), 221-228. NaN for fewer than
    `MIN_N` counted faces or infinite differences.
    """
    kept, groups = counted(differences, classes)
    if len(kept) < MIN_N or not np.isfinite(kept).all():
        return math.nan
    found = moments(kept, groups)
    if found.error == 0.0:
        return 1.0 if found.mean == 0.0 else 0.0
    t, r = found.mean / found.error, found.skew
    corrected = t + r * t**2 / 3.0 + r**2 * t**3 / 27.0 + r / 6.0
    return float(2.0 * stdtr(found.freedom, -abs(corrected)))
