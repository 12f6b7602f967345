"""(g) Does ECM under a judge rank pairs of faces as ECM of people's votes does?

Spearman's correlation, over random pairs of faces, between ECM of a judge's two predictions and ECM
of the two faces' vote shares. Intervals are percentile bootstraps over faces (over persons, if some
appear more than once): a resampled face brings all its pairs.

**The ceiling.** Votes are few and noisy, so no measure can agree with them perfectly. Each face's
votes are split into two random halves; the correlation r between the ECM of one half and that of
the other gives their reliability. That of all votes is 2 r / (1 + r) (Spearman and Brown, 1910);
its square root is the correlation that a measure knowing everybody's vote would reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affectbench.metrics.ecm import ecm_parts
from affectbench.study.judged import Judged
from affectbench.study.pairs import Floats, percentile_interval
from affectbench.study.votes import Voted, seven_logits, vote_logits

PAIRS = 50_000
DRAWS = 1_000
SPLITS = 4
CEILING = "two halves of the votes, corrected"
MIN_FACES = 10
"""With fewer than ten faces a correlation is not informative."""
_BLOCK = 25


@dataclass(frozen=True)
class FacePairs:
    """Pairs of two faces: indices (P,) each, and the person indices 0 ... K-1."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    person_first: NDArray[np.intp]
    person_second: NDArray[np.intp]
    persons: int

    def __len__(self) -> int:
        return len(self.first)

    def draws(self, rng: np.random.Generator, draws: int) -> Iterator[Floats]:
        """Yield weights (D, P) of the pairs: a row of ones, then resamples of the persons."""
        yield np.ones((1, len(self)))
        one_person = self.person_first == self.person_second
        for start in range(0, draws, _BLOCK):
            size = (min(_BLOCK, draws - start), self.persons)
            picks = rng.integers(0, self.persons, size)
            times = np.stack([np.bincount(row, minlength=self.persons) for row in picks])
            second = np.where(one_person, 1, times[:, self.person_second])
            yield (times[:, self.person_first] * second).astype(np.float64)


def random_pairs(
    persons: NDArray[np.int64], rng: np.random.Generator, count: int = PAIRS
) -> FacePairs:
    """Return `count` random pairs of two faces, or all pairs if there are no more than that."""
    n = len(persons)
    if n * (n - 1) // 2 <= count:
        first, second = np.triu_indices(n, k=1)
    else:
        first = rng.integers(0, n, count)
        second = (first + rng.integers(1, n, count)) % n
    people, index = np.unique(persons, return_inverse=True)
    return FacePairs(first, second, index[first], index[second], len(people))


class Ranked:
    """A column of P scores, for weighted mid-ranks."""

    def __init__(self, scores: Floats) -> None:
        _, self._level = np.unique(scores, return_inverse=True)
        self._order = np.argsort(self._level, kind="stable")
        levels = np.arange(int(self._level.max(initial=-1)) + 1)
        self._starts = np.searchsorted(self._level[self._order], levels)

    def ranks(self, weights: Floats) -> Floats:
        """Return the mid-rank of each score (D, P), with scores repeated as their weights say."""
        mass = np.add.reduceat(weights[:, self._order], self._starts, axis=1)
        middle = np.cumsum(mass, axis=1) - 0.5 * mass
        result: Floats = middle[:, self._level]
        return result


def weighted_correlation(a: Floats, b: Floats, weights: Floats) -> Floats:
    """Return Pearson's correlation (D,) of the rows of a and b (D, P); NaN without variance."""
    total = weights.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = a - (weights * a).sum(1, keepdims=True) / total
        right = b - (weights * b).sum(1, keepdims=True) / total
        spread = (weights * left**2).sum(1) * (weights * right**2).sum(1)
        result: Floats = (weights * left * right).sum(1) / np.sqrt(spread)
    return np.where(spread > 1e-9 * total[:, 0], result, np.nan)


def correlations(
    scores: Mapping[str, tuple[Floats, Floats]],
    pairs: FacePairs,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> dict[str, Floats]:
    """Return Spearman's correlation of every two columns (P,): over all pairs, then per resample.

    All share the same resamples, so that differences between two correlations are paired.
    """
    columns = {id(column): Ranked(column) for two in scores.values() for column in two}
    found: dict[str, list[Floats]] = {name: [] for name in scores}
    for weights in pairs.draws(rng, draws):
        ranks = {key: column.ranks(weights) for key, column in columns.items()}
        for name, (a, b) in scores.items():
            found[name].append(weighted_correlation(ranks[id(a)], ranks[id(b)], weights))
    return {name: np.concatenate(values) for name, values in found.items()}


def pair_ecm(logits: torch.Tensor, pairs: FacePairs) -> Floats:
    """Return `ecm/1` of the pairs (P,), the first face as reference, from logits (M, 7)."""
    ecm: Floats = ecm_parts(logits[pairs.first], logits[pairs.second]).ecm.numpy()
    return ecm


def halves(
    votes: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return two random halves of each face's votes (M, 7); an odd vote goes to the second."""
    first = np.stack([rng.multivariate_hypergeometric(row, row.sum() // 2) for row in votes])
    return first, votes - first


def ceiling_of(halves_agree: Floats) -> Floats:
    """Return the highest correlation a measure could reach, from that of two vote halves.

    >>> ceiling_of(np.array([1.0, 0.5, -0.1])).round(3).tolist()
    [1.0, 0.816, 0.0]
    """
    r = np.maximum(halves_agree, 0.0)  # below 0, the votes contain no signal
    result: Floats = np.sqrt(2 * r / (1 + r))
    return result


def agreement(
    judged: Sequence[Judged], voted: Voted, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Return a row for each judge and one for the ceiling.

    `of_ceiling` is the correlation divided by the ceiling. With fewer than `MIN_FACES` faces all
    values are NaN.
    """
    names = [one.name for one in judged]
    if len(voted) < MIN_FACES:
        return pd.DataFrame(
            [_row(name, voted, 0, np.full(1, np.nan)) for name in [*names, CEILING]]
        )
    rng = np.random.default_rng(seed)
    pairs = random_pairs(voted.persons, rng)
    people = pair_ecm(vote_logits(voted.votes), pairs)
    scores = {one.name: (pair_ecm(seven_logits(one, voted), pairs), people) for one in judged}
    splits = {f"split {i}": _half_scores(voted, pairs, rng) for i in range(SPLITS)}
    found = correlations({**scores, **splits}, pairs, rng, draws)
    ceiling = ceiling_of(np.mean([found[name] for name in splits], axis=0))
    rows = [_row(name, voted, len(pairs), found[name], ceiling) for name in names]
    return pd.DataFrame([*rows, _row(CEILING, voted, len(pairs), ceiling, ceiling)])


def _half_scores(voted: Voted, pairs: FacePairs, rng: np.random.Generator) -> tuple[Floats, Floats]:
    one, two = (pair_ecm(vote_logits(half), pairs) for half in halves(voted.votes, rng))
    return one, two


def _row(
    name: str, voted: Voted, pairs: int, values: Floats, ceiling: Floats | None = None
) -> dict[str, object]:
    interval = percentile_interval(values[1:])
    return {
        "judge": name,
        "faces": len(voted),
        "pairs": pairs,
        "spearman": float(values[0]),
        "spearman_low": interval.low,
        "spearman_high": interval.high,
        "of_ceiling": float("nan") if ceiling is None else float(values[0] / ceiling[0]),
    }
