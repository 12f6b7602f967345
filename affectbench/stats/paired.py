"""Two models on the same faces: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from affectbench.stats.bootstrap import bca_intervals
from affectbench.stats.sets import (
    DRAWS,
    MIN_N,
    TIE,
    Classes,
    Floats,
    blocks,
    counted,
    random_signs,
    set_mean,
)


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
    """The set mean of a - b, face by face (N,), with BCa interval and sign-flip p.

    Two infinite values of one sign differ by 0. Any other infinite difference, and fewer than
    `MIN_N` counted faces, leave interval and p NaN. Raises ValueError for NaN or unlike shapes.
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
    """`paired_difference` of each of M models (M, N) to one (N,); all share the bootstrap draws."""
    left, right = np.asarray(values, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape[1:] != right.shape:
        raise ValueError(f"a has the shape {left.shape} and b {right.shape}; they must be aligned")
    # Not a - b where both are equal: inf - inf is NaN.
    changes = np.subtract(left, right, out=np.zeros_like(left), where=left != right)
    intervals = bca_intervals(changes.T, rng, classes, draws=draws, level=level)
    return [
        Difference(
            set_mean(change, classes),
            interval.low,
            interval.high,
            sign_flip_p(change, rng, classes, draws=draws),
        )
        for change, interval in zip(changes, intervals, strict=True)
    ]


def sign_flip_p(
    differences: ArrayLike, rng: np.random.Generator, classes: Classes = None, *, draws: int = DRAWS
) -> float:
    """Two-sided p of the set mean T of paired differences (N,), their signs flipped at random.

    Null hypothesis: each difference is as likely as its negative. p = (b + 1) / (B + 1), where b
    of B random sign patterns have |T*| >= |T| (up to rounding). If all 2^N patterns are no more
    than `draws`, each is taken once: B = 2^N - 1 patterns beside the observed one, p is exact and
    `rng` is not used. NaN under `MIN_N` counted faces or with infinite differences.

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.random.default_rng(0))
    0.03125
    """
    kept, groups = counted(differences, classes)
    n = len(kept)
    if n < MIN_N or not np.isfinite(kept).all():
        return math.nan
    terms = groups.weights * kept
    least = abs(float(terms.sum())) - TIE * float(np.abs(terms).sum())
    if 2**n <= draws:
        return float((np.abs(_all_signs(n) @ terms) >= least).mean())
    extreme = 0
    for block in blocks(draws, n):
        flipped = random_signs(rng, block.stop - block.start, n) @ terms
        extreme += int((np.abs(flipped) >= least).sum())
    return (extreme + 1) / (draws + 1)


def _all_signs(n: int) -> Floats:
    bits = (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1
    return bits.astype(np.float64) * 2.0 - 1.0
