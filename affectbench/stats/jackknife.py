"""Intervals of statistics of a whole set, such as a distance of distributions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from affectbench.stats.bootstrap import Interval
from affectbench.stats.sets import MIN_N


def jackknife_interval(value: float, left_out: ArrayLike, *, level: float = 0.95) -> Interval:
    """The interval of `value` from what it is without each of G equal groups of faces (G,).

    value -+ t * s with s^2 = (G - 1) / G * sum_g (v_g - mean v)^2 and t of Student's distribution
    with G - 1 degrees of freedom: how far the value would move with other faces. Its bias, which
    depends on the number of faces, is not corrected. Not the bootstrap: a face drawn twice makes a
    set look narrower than it is, and a distance of distributions grows by that alone. NaN for
    fewer than `MIN_N` groups, and if a value is not finite. Source: Efron and Stein, Annals of
    Statistics 9, 1981; in groups: Shao and Wu, Annals of Statistics 17, 1989.

    >>> jackknife_interval(1.0, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    Interval(low=1.0, high=1.0)
    """
    error = _standard_error(value, left_out)
    reach = float(student.ppf(0.5 + level / 2.0, len(np.asarray(left_out)) - 1)) * error
    return Interval(value - reach, value + reach)


def jackknife_p(value: float, left_out: ArrayLike) -> float:
    """Two-sided p of `value`, such as a difference, against 0: Student's t of value / s.

    s, the degrees of freedom and what gives NaN are those of `jackknife_interval`, so that p is
    under 0.05 where the 95 % interval leaves 0 out. An approximation for many faces. 1 for a value
    of 0 that no group moves.
    """
    error = _standard_error(value, left_out)
    if error == 0.0:
        return 1.0 if value == 0.0 else 0.0
    return float(2.0 * student.sf(abs(value) / error, len(np.asarray(left_out)) - 1))


def _standard_error(value: float, left_out: ArrayLike) -> float:
    values = np.asarray(left_out, dtype=np.float64)
    groups = len(values)
    if groups < MIN_N or not np.isfinite(values).all() or not math.isfinite(value):
        return math.nan
    return math.sqrt((groups - 1) / groups * float(((values - values.mean()) ** 2).sum()))
