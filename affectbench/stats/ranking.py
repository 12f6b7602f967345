"""Several models at once: adjusted p-values, and the models that may be the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectbench.stats.sets import (
    DRAWS,
    MANY_DRAWS,
    MIN_N,
    TIE,
    Classes,
    Floats,
    Groups,
    blocks,
    counted,
    random_signs,
    scale_of,
)
from affectbench.types import Direction

_ROUNDING = 1e-9
"""A sign pattern can tie with the observed data: a statistic within this tolerance is no larger."""


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the order given.

    The i-th smallest of m becomes the largest min(1, (m - j + 1) p_(j)) over j <= i. NaN stays NaN
    and is not counted in m. S. Holm, Scand. J. Statist. 6 (1979), 65-70.

    >>> holm([0.01, float("nan"), 0.5, 0.02])
    [0.03, nan, 0.5, 0.04]
    """
    adjusted = [math.nan] * len(p)
    order = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=lambda i: p[i])
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def best_set(
    values: ArrayLike,
    direction: Direction,
    rng: np.random.Generator,
    classes: Classes = None,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
) -> NDArray[np.bool_]:
    """Return a mask (M,) of the models not significantly worse than the best; at least one is True.

    A model is excluded if any other is significantly better in a max-T test over all pairs. T of a
    pair is its mean difference over that mean's standard error; the critical value is the `level`
    quantile of the largest |T| over all pairs when the centred differences get random signs, one
    sign per face shared by all models (a wild bootstrap), and T is re-studentised. The truly best
    models are kept with probability `level`, whatever the observed order is.

    Args:
        values: One row per model, one column per face (M, N), the same faces for all; no NaN.
        direction: Whether `higher` or `lower` is better.
        rng: Source of the signs.
        classes: Class index per face for macro means, -1 for faces that do not count.
        draws: Random sign patterns; `MANY_DRAWS` if these leave a pair undecided.
        level: Family-wise confidence: the probability that no model is excluded by chance.

    For fewer than `MIN_N` counted faces no test is possible and all are True. A model with an
    infinite value has no standard error: it is not tested and is kept. Models that differ by the
    same amount on every face (of a class) differ significantly by any amount beyond rounding.
    """
    kept, groups = counted(np.transpose(np.asarray(values, dtype=np.float64)), classes)
    keep = np.ones(kept.shape[1], dtype=np.bool_)
    tested = np.flatnonzero(np.isfinite(kept).all(axis=0))
    if len(kept) < MIN_N or len(tested) < 2:
        return keep
    # Each distinct model once, in sorted order: the result is bitwise independent of model order.
    columns, place = np.unique(kept[:, tested], axis=1, return_inverse=True)
    if columns.shape[1] > 1:
        keep[tested] = _kept(columns, direction, groups, rng=rng, draws=draws, level=level)[
            place.ravel()
        ]
    return keep


def _kept(
    columns: Floats,
    direction: Direction,
    groups: Groups,
    *,
    rng: np.random.Generator,
    draws: int,
    level: float,
) -> NDArray[np.bool_]:
    """Return the `best_set` of the finite models in the columns of (N, M >= 2)."""
    gains = columns if direction == "higher" else -columns
    pairs = np.array(list(combinations(range(gains.shape[1]), 2)))
    means, errors = studentised(gains, groups, pairs)
    random = errors > 0
    statistic = np.abs(means[random]) / errors[random]
    flip = partial(_largest, gains, groups, pairs[random], errors[random], rng=rng)
    largest = flip(draws=draws)
    doubt = 4.0 * math.sqrt(level * (1.0 - level) / draws)
    low, high = _quantile(largest, level - doubt), _quantile(largest, level + doubt)
    in_doubt = bool(((statistic >= low) & (statistic <= high)).any())
    if in_doubt and math.isfinite(_quantile(largest, level)) and draws < MANY_DRAWS:
        largest = np.concatenate([largest, flip(draws=MANY_DRAWS - draws)])
    different = means != 0
    different[random] = statistic > _quantile(largest, level) * (1.0 + _ROUNDING)
    keep = np.ones(gains.shape[1], dtype=np.bool_)
    keep[np.where(means > 0, pairs[:, 1], pairs[:, 0])[different]] = False
    return keep


def studentised(gains: Floats, groups: Groups, pairs: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the mean difference of each pair and its standard error; rounding noise becomes 0."""
    means, errors = np.zeros(len(pairs)), np.zeros(len(pairs))
    for row, (i, j) in enumerate(pairs):
        change = gains[:, i] - gains[:, j]
        rounding = TIE * scale_of(gains[:, [i, j]])
        residual = groups.centred(change)
        mean = float(groups.means(change).mean())
        means[row] = mean if abs(mean) > rounding else 0.0
        if scale_of(residual) > rounding:
            squares = (
                groups.weights**2 * residual**2 * (groups.sizes / groups.freedom)[groups.index]
            )
            errors[row] = math.sqrt(float(squares.sum()))
    return means, errors


def _quantile(largest: Floats, level: float) -> float:
    """Return the critical value, infinite if there are too few draws for one."""
    rank = math.ceil(level * (len(largest) + 1))
    if rank > len(largest):
        return math.inf
    return float(np.partition(largest, rank - 1)[rank - 1])


def _largest(
    gains: Floats,
    groups: Groups,
    pairs: NDArray[np.intp],
    errors: Floats,
    *,
    rng: np.random.Generator,
    draws: int,
) -> Floats:
    """Return the largest studentised |T*| over the pairs for each draw; empty without pairs."""
    if not len(pairs):
        return np.zeros(0)
    residuals = np.stack([groups.centred(column) for column in gains.T], axis=1)
    k = len(groups.sizes)
    squares = errors[:, np.newaxis] ** 2
    largest = np.empty(draws)
    for block in blocks(draws, max(len(gains), len(pairs) * k)):
        signs = random_signs(rng, block.stop - block.start, len(gains))
        flipped = groups.sums(signs, residuals) / groups.sizes[:, np.newaxis]
        mean, lost = np.zeros((2, len(pairs), len(signs)))
        for sums, free in zip(flipped.transpose(1, 2, 0), groups.freedom, strict=True):
            means = np.ascontiguousarray(sums)
            change = means[pairs[:, 0]]
            change -= means[pairs[:, 1]]
            mean += change
            change /= k
            change *= change
            change /= free
            lost += change
        # Sign flips do not change squares: only the flipped class means change the variance.
        np.subtract(squares, lost, out=lost)
        np.maximum(lost, 0.0, out=lost)
        np.abs(mean, out=mean)
        mean /= k
        with np.errstate(divide="ignore"):
            mean /= np.sqrt(lost, out=lost)
        largest[block] = mean.max(axis=0)
    return largest
