"""Sign-flip tests: can the mean of paired differences be explained by chance?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from affectbench.stats.sets import DRAWS, MANY_DRAWS, MIN_N, TIE, Classes, Floats, counted

EXACT = 30
"""Up to this many nonzero differences, all sign patterns are enumerated and none is drawn."""
_OPEN = (0.0005, 0.1)
"""An estimated p in this range may fall on either side of 5 % after Holm's correction for 100
models."""
_FACES = 8
"""Faces per random byte: each bit is the sign of one."""
_ROWS = 1 << 13
"""Patterns per block: few enough for their sums to stay in the CPU cache."""


def sign_flip_p(
    differences: ArrayLike, rng: np.random.Generator, classes: Classes = None, *, draws: int = DRAWS
) -> float:
    """Return the two-sided sign-flip p of the set mean T of paired differences (N,).

    Null hypothesis: each difference is as likely as its negative, as it is for two exchangeable
    models. For skewed differences with mean 0 the test rejects too often: see `difference_p`.

    With at most `EXACT` nonzero differences, p is the share of all sign patterns with |T*| >= |T|
    (up to rounding), and `rng` is not used. With more, p = (b + 1) / (B + 1), where b of B random
    patterns are as extreme. B is `draws`, and at least `MANY_DRAWS` where the first p could fall on
    either side of 5 % after Holm's correction. NaN for fewer than `MIN_N` counted faces or infinite
    differences.

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.random.default_rng(0))
    0.03125
    """
    rows = np.asarray(differences, dtype=np.float64)[np.newaxis]
    return sign_flip_ps(rows, rng, classes, draws=draws)[0]


def sign_flip_ps(
    differences: ArrayLike, rng: np.random.Generator, classes: Classes = None, *, draws: int = DRAWS
) -> list[float]:
    """Return the `sign_flip_p` of each row of differences (M, N); all rows share the signs."""
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
    """Return p if it needs no random draws, else None."""
    if not np.isfinite(terms).all():
        return math.nan
    least = _least(terms)
    flipping = terms[terms != 0.0]
    if least <= 0.0 or not len(flipping):
        return 1.0
    return _exact(flipping, least) if len(flipping) <= EXACT else None


def _least(terms: Floats) -> float:
    """Return the smallest |sum| that counts as at least that of the terms, up to rounding."""
    return abs(float(terms.sum())) - TIE * float(np.abs(terms).sum())


def _exact(terms: Floats, least: float) -> float:
    """Return the share of all 2^n sign patterns with |sum| >= least > 0.

    Meet in the middle: a pattern's sum is a sum of the first half plus a sum of the second half.
    Both lists are sorted, so 2^(n / 2) searches replace 2^n sums.
    """
    first, second = (
        np.sort(_sums(half)) for half in (terms[: len(terms) // 2], terms[len(terms) // 2 :])
    )
    above = len(first) - np.searchsorted(first, least - second, "left")
    below = np.searchsorted(first, -least - second, "right")
    return float((above.sum() + below.sum()) / 2.0 ** len(terms))


def _sums(terms: Floats) -> Floats:
    """Return the sums of terms (n,) or (n, M) under all sign patterns: (2^n,) or (2^n, M)."""
    sums = np.zeros((1, *terms.shape[1:]))
    for term in terms:
        sums = np.concatenate([sums - term, sums + term])
    return sums


def _extreme(terms: Floats, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Return how many of `draws` random patterns are as extreme as the terms (N, M): (M,)."""
    least = np.array([_least(column) for column in terms.T])
    padded = np.zeros((math.ceil(len(terms) / _FACES) * _FACES, terms.shape[1]))
    padded[: len(terms)] = terms
    # Eight faces have 256 sign patterns, so a random byte indexes a table of their sums.
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
