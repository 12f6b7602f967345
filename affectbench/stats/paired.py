"""Two models on the same faces: the paired difference, its interval and its p-value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from affectbench.stats.bootstrap import bca_intervals
from affectbench.stats.flips import sign_flip_ps
from affectbench.stats.moments import skewed_p
from affectbench.stats.sets import DRAWS, Classes, Floats, set_mean


@dataclass(frozen=True)
class Difference:
    """A paired difference with its interval and two-sided p; NaN where there is none."""

    estimate: float
    low: float
    high: float
    p: float


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    classes: Classes = None,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Difference:
    """Return the set mean of a - b, face by face (N,), with its interval and `difference_p`.

    Two infinite values of the same sign differ by 0. Any other infinite difference, or fewer than
    `MIN_N` counted faces, makes the interval and p NaN. Raises ValueError for NaN or mismatched
    shapes.
    """
    rows = np.asarray(a, dtype=np.float64)[np.newaxis]
    return paired_differences(rows, b, rng, classes, draws=draws, level=level)[0]


def paired_differences(
    values: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    classes: Classes = None,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
) -> list[Difference]:
    """Return the `paired_difference` of each of M models (M, N) to one (N,), with shared draws."""
    left, right = np.asarray(values, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape[1:] != right.shape:
        raise ValueError(f"a has the shape {left.shape} and b {right.shape}; they must be aligned")
    # Not a - b where both are equal: inf - inf is NaN.
    changes = np.subtract(left, right, out=np.zeros_like(left), where=left != right)
    intervals = bca_intervals(changes.T, rng, classes, draws=draws, level=level)
    ps = _difference_ps(changes, rng, classes, draws)
    return [
        Difference(set_mean(change, classes), interval.low, interval.high, p)
        for change, interval, p in zip(changes, intervals, ps, strict=True)
    ]


def difference_p(
    differences: ArrayLike, rng: np.random.Generator, classes: Classes = None, *, draws: int = DRAWS
) -> float:
    """Return the two-sided p of the set mean of paired differences (N,) against 0.

    It is the larger p of two tests. Sign flips are exact if the two models are exchangeable, but
    reject up to three times too often for few skewed differences, or where one small class has a
    large weight; the skewness-corrected t test (`skewed_p`) covers these cases.
    """
    rows = np.asarray(differences, dtype=np.float64)[np.newaxis]
    return _difference_ps(rows, rng, classes, draws)[0]


def _difference_ps(
    differences: Floats, rng: np.random.Generator, classes: Classes, draws: int
) -> list[float]:
    flipped = sign_flip_ps(differences, rng, classes, draws=draws)
    return [
        max(p, skewed_p(row, classes)) if not math.isnan(p) else p
        for p, row in zip(flipped, differences, strict=True)
    ]
