"""Confidence intervals of whole-set statistics, such as a distance between distributions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from affectbench.stats.bootstrap import Interval
from affectbench.stats.moments import student_quantile
from affectbench.stats.sets import MIN_N


def jackknife_interval(value: float, left_out: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the delete-a-group jackknife interval of `value`.

    `left_out` (G,) holds the value without each of G equal groups of faces.

    value -+ t * s with s^2 = (G - 1) / G * sum_g (v_g - mean v)^2 and t of Student's distribution
    with G - 1 degrees of freedom: the sampling error over faces. The bias, which depends on the
    number of faces, is not corrected. The bootstrap does not work here: duplicate faces make a set
    look narrower than it is, which alone increases a distance between distributions. NaN for fewer
    than `MIN_N` groups, or if a value is not finite. Source: Efron and Stein, Annals of
    Statistics 9, 1981; with groups: Shao and Wu, Annals of Statistics 17, 1989.

    >>> jackknife_interval(1.0, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    Interval(low=1.0, high=1.0)
    """
    error = _standard_error(value, left_out)
    reach = student_quantile(0.5 + level / 2.0, len(np.asarray(left_out)) - 1) * error
    return Interval(value - reach, value + reach)


def jackknife_p(value: float, left_out: ArrayLike) -> float:
    """Return the two-sided p of `value`, such as a difference, against 0: Student's t of value / s.

    s, the degrees of freedom and the NaN cases are those of `jackknife_interval`, so that p is
    under 0.05 where the 95 % interval excludes 0. It is a large-sample approximation. A value of 0
    without spread over the groups has p = 1.
    """
    error = _standard_error(value, left_out)
    if error == 0.0:
        return 1.0 if value == 0.0 else 0.0
    return float(2.0 * stdtr(len(np.asarray(left_out)) - 1, -abs(value) / error))


def _standard_error(value: float, left_out: ArrayLike) -> float:
    values = np.asarray(left_out, dtype=np.float64)
    groups = len(values)
    if groups < MIN_N or not np.isfinite(values).all() or not math.isfinite(value):
        return math.nan
    return math.sqrt((groups - 1) / groups * float(((values - values.mean()) ** 2).sum()))
