"""(a) Is ECM larger for different expressions than for the same one? Pairs of faces, and the AUC.

AUC = P(score of a pair with different expressions > score of a pair with the same), ties count
half. Both kinds of pairs are weighted so that no person has more than 5 % of the weight of its
kind. Intervals are percentile bootstraps over persons: a resampled person brings all of its pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectbench.stats import Interval

CAP = 0.05
DRAWS = 2_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of faces: indices (P,) each, whether their expressions differ, and the persons."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    different: NDArray[np.bool_]
    person_first: NDArray[np.int64]
    person_second: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def same_person_pairs(persons: NDArray[np.int64], emotions: NDArray[np.str_]) -> Pairs:
    """Return all unordered pairs of faces of the same person."""
    i, j = np.triu_indices(len(persons), k=1)
    keep = persons[i] == persons[j]
    return _pairs(i[keep], j[keep], persons, emotions)


def cross_person_pairs(
    persons: NDArray[np.int64], emotions: NDArray[np.str_], rng: np.random.Generator, count: int
) -> Pairs:
    """Return about `count` random pairs across two persons, half with the same expression."""
    i, j = rng.integers(0, len(persons), (2, 8 * count))
    keep = (persons[i] != persons[j]) & (i != j)
    i, j = i[keep], j[keep]
    same = np.flatnonzero(emotions[i] == emotions[j])[: count // 2]
    other = np.flatnonzero(emotions[i] != emotions[j])[: count // 2]
    chosen = np.concatenate([same, other])
    return _pairs(i[chosen], j[chosen], persons, emotions)


def _pairs(
    i: NDArray[np.intp],
    j: NDArray[np.intp],
    persons: NDArray[np.int64],
    emotions: NDArray[np.str_],
) -> Pairs:
    return Pairs(i, j, emotions[i] != emotions[j], persons[i], persons[j])


def capped_weights(persons: NDArray[np.int64], cap: float = CAP) -> Floats:
    """Return pair weights with sum 1: equal, except for persons that would exceed `cap`.

    If there are too few persons for the cap, every person gets the same total weight.

    >>> capped_weights(np.array([0, 0, 0, 1]), cap=0.5)
    array([0.16666667, 0.16666667, 0.16666667, 0.5       ])
    """
    if not len(persons):
        return np.empty(0)
    _, index, counts = np.unique(persons, return_inverse=True, return_counts=True)
    shares = counts / counts.sum()
    if len(counts) * cap <= 1.0:
        shares = np.full(len(counts), 1.0 / len(counts))
    capped = np.zeros(len(counts), dtype=bool)
    while (shares > cap * (1 + 1e-9)).any() and len(counts) * cap > 1.0:
        capped |= shares > cap * (1 + 1e-9)
        shares[capped] = cap
        rest = 1.0 - cap * capped.sum()
        shares[~capped] = counts[~capped] * rest / counts[~capped].sum()
    weights: Floats = shares[index] / counts[index]
    return weights


def auc(scores: Floats, different: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the weighted AUC of scores (P,) for each row of `weights` (D, P); ties count half.

    NaN for a row without weight on one of the two kinds.
    """
    if not len(scores):
        return np.full(len(weights), np.nan)
    _, rank = np.unique(scores, return_inverse=True)
    levels = int(rank.max()) + 1
    order = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[order], np.arange(levels))
    above = np.add.reduceat((weights * different)[:, order], starts, axis=1)
    below = np.add.reduceat((weights * ~different)[:, order], starts, axis=1)
    lower = np.cumsum(below, axis=1) - below
    won = (above * (lower + 0.5 * below)).sum(1)
    total = above.sum(1) * below.sum(1)
    result: Floats = np.full(len(won), np.nan)
    np.divide(won, total, out=result, where=total > 0)
    return result


def percentile_interval(values: Floats) -> Interval:
    """Return the 95 % percentile interval of bootstrap values, ignoring NaN."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(low), float(high))


def pair_auc(
    scores: Floats, pairs: Pairs, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[float, Interval]:
    """Return the AUC of scores (P,) and its 95 % interval, bootstrapped by person."""
    found = [auc(scores, pairs.different, weights) for weights in _draws(pairs, rng, draws)]
    return weighted_auc(scores, pairs), percentile_interval(np.concatenate(found))


def pair_auc_difference(
    scores: Floats,
    others: Floats,
    pairs: Pairs,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[float, Interval]:
    """Return the AUC difference of two scores (P,), and its 95 % interval on shared resamples."""
    found = [
        auc(scores, pairs.different, weights) - auc(others, pairs.different, weights)
        for weights in _draws(pairs, rng, draws)
    ]
    value = weighted_auc(scores, pairs) - weighted_auc(others, pairs)
    return value, percentile_interval(np.concatenate(found))


def weighted_auc(scores: Floats, pairs: Pairs) -> float:
    """Return the AUC of scores (P,) with person weights capped."""
    return float(auc(scores, pairs.different, _weights(pairs)[np.newaxis])[0])


def _draws(pairs: Pairs, rng: np.random.Generator, draws: int) -> Iterator[Floats]:
    """Yield weights of the pairs (50, P) in resamples of the persons; nothing without pairs."""
    if not len(pairs):
        yield np.empty((1, 0))
        return
    weights = _weights(pairs)
    persons, first = np.unique(pairs.person_first, return_inverse=True)
    everyone = np.union1d(persons, pairs.person_second)
    first = np.searchsorted(everyone, pairs.person_first)
    second = np.searchsorted(everyone, pairs.person_second)
    one_person = bool((first == second).all())
    for _ in range(draws // 50):
        picks = rng.integers(0, len(everyone), (50, len(everyone)))
        counts = np.stack([np.bincount(p, minlength=len(everyone)) for p in picks])
        times = counts[:, first] if one_person else counts[:, first] * counts[:, second]
        yield weights * times


def gap(scores: Floats, pairs: Pairs) -> float:
    """Return the weighted mean score of different-expression pairs minus same-expression pairs.

    NaN unless there are pairs of both kinds.
    """
    weights = _weights(pairs)
    other, same = pairs.different, ~pairs.different
    if not (other.any() and same.any()):
        return float("nan")
    return float(
        np.average(scores[other], weights=weights[other])
        - np.average(scores[same], weights=weights[same])
    )


def _weights(pairs: Pairs) -> Floats:
    weights = np.empty(len(pairs))
    for kind in (pairs.different, ~pairs.different):
        weights[kind] = capped_weights(pairs.person_first[kind])
    return weights
