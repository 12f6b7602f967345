"""Sign-flip tests: does chance explain the mean of paired differences?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from affectbench.stats.sets import DRAWS, MANY_DRAWS, MIN_N, TIE, Classes, Floats, counted

EXACT = 30
"""Up to so many differences other than 0 all patterns of signs are counted, and none is drawn."""
_OPEN = (0.0005, 0.1)
"""A drawn p between these may be on either side of 5 % after Holm's correction for 100 models."""
_FACES = 8
"""Faces whose signs are the bits of one random byte."""
_ROWS = 1 << 13
"""Patterns at once: few enough for their sums to stay in the processor's cache."""


def sign_flip_p(
    differences: ArrayLike, rng: np.random.Generator, classes: Classes = None, *, draws: int = DRAWS
) -> float:
    """Two-sided p of the set mean T of paired differences (N,), their signs flipped at random.

    Null hypothesis: each difference is as likely as its negative, as it is for two models that are
    exchangeable. Of skewed differences with mean 0 it rejects more: see `difference_p`.

    With at most `EXACT` differences that are not 0, p is the share of all sign patterns with
    |T*| >= |T| (up to rounding), and `rng` is not used. With more, p = (b + 1) / (B + 1), where b
    of B random patterns are as extreme. B is `draws`, and at least `MANY_DRAWS` where p of these
    could fall on either side of 5 % when Holm corrects it. NaN under `MIN_N` counted faces or with
    infinite differences.

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.random.default_rng(0))
    0.03125
    """
    rows = np.asarray(differences, dtype=np.float64)[np.newaxis]
    return sign_flip_ps(rows, rng, classes, draws=draws)[0]


def sign_flip_ps(
    differences: ArrayLike, rng: np.random.Generator, classes: Classes = None, *, draws: int = DRAWS
) -> list[float]:
    """`sign_flip_p` of each row of differences (M, N); all rows share the random signs."""
    kept, groups = counted(np.transpose(np.asarray(differences, dtype=np.float64)), classes)
    if len(kept) < MIN_N:
        return [math.nan] * kept.shape[1]
    terms = groups.weights[:, np.newaxis] * kept
    found = [_without_draws(column) for column in terms.T]
    drawn = np.array([i for i, p in enumerate(found) if p is None], dtype=np.intp)
    extreme, total = np.zeros(kept.shape[1], dtype=np.intp), np.zeros(kept.shape[1], dtype=np.intp)
    for count in (draws, MANY_DRAWS - draws):
        if len(drawn) and count > 0:
            extreme[drawn] += _extreme(terms[:, drawn], rng, count)
            total[drawn] += count
        p = (extreme[drawn] + 1) / (total[drawn] + 1)
        drawn = drawn[(p > _OPEN[0]) & (p < _OPEN[1])]
    return [
        float((extreme[i] + 1) / (total[i] + 1)) if p is None else p for i, p in enumerate(found)
    ]


def _without_draws(terms: Floats) -> float | None:
    """p where no draw is needed."""
    if not np.isfinite(terms).all():
        return math.nan
    least = _least(terms)
    flipping = terms[terms != 0.0]
    if least <= 0.0 or not len(flipping):
        return 1.0
    return _exact(flipping, least) if len(flipping) <= EXACT else None


def _least(terms: Floats) -> float:
    """The smallest |sum| that counts as no less than that of the terms."""
    return abs(float(terms.sum())) - TIE * float(np.abs(terms).sum())


def _exact(terms: Floats, least: float) -> float:
    """The share of all 2^n sign patterns with |sum| >= least > 0.

    A pattern's sum is one of the sums of the first half and one of the second, which are sorted:
    2^(n / 2) searches in place of 2^n sums.
    """
    first, second = (
        np.sort(_sums(half)) for half in (terms[: len(terms) // 2], terms[len(terms) // 2 :])
    )
    above = len(first) - np.searchsorted(first, least - second, "left")
    below = np.searchsorted(first, -least - second, "right")
    return float((above.sum() + below.sum()) / 2.0 ** len(terms))


def _sums(terms: Floats) -> Floats:
    """The sums of terms (n,) or (n, M) under all 2^n patterns of signs: (2^n,) or (2^n, M)."""
    sums = np.zeros((1, *terms.shape[1:]))
    for term in terms:
        sums = np.concatenate([sums - term, sums + term])
    return sums


def _extreme(terms: Floats, rng: np.random.Generator, draws: int) -> np.ndarray:
    """How many of `draws` random patterns are as extreme as the terms (N, M): (M,)."""
    least = np.array([_least(column) for column in terms.T])
    padded = np.zeros((math.ceil(len(terms) / _FACES) * _FACES, terms.shape[1]))
    padded[: len(terms)] = terms
    # Every eight faces have 256 patterns: their sums are looked up by a random byte.
    tables = [_sums(eight) for eight in np.split(padded, len(padded) // _FACES)]
    extreme = np.zeros(terms.shape[1], dtype=np.intp)
    for rows in _pieces(draws):
        picks = np.frombuffer(rng.bytes(rows * len(tables)), dtype=np.uint8)
        flipped = np.zeros((rows, terms.shape[1]))
        for table, pick in zip(tables, picks.reshape(len(tables), rows), strict=True):
            flipped += table[pick]
        extreme += (np.abs(flipped) >= least).sum(axis=0)
    return extreme


def _pieces(draws: int) -> Iterator[int]:
    for start in range(0, draws, _ROWS):
        yield min(_ROWS, draws - start)
