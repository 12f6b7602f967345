"""The statistic of a set of faces, and the random draws that all tests share.

A plain mean is the macro mean of one class that holds every face, so that each formula is written
once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Classes: TypeAlias = "NDArray[np.integer[Any]] | None"
"""The class index of each face, -1 for a face that does not count; None for a plain mean."""

DRAWS = 10_000
MANY_DRAWS = 100_000
"""Sign flips where the first `DRAWS` leave open on which side of 5 % a corrected p lies."""
MIN_N = 6
"""Under six faces nothing can be tested at 5 %: the smallest two-sided p is 2 / 2^5."""
TIE = 1e-12
"""Two numbers that differ by less than this share of their scale differ by rounding only."""
BLOCK = 1 << 16
"""Random numbers made at once: few enough to stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The faces that count (indices), sorted by class, and the class of each in 0 ... K-1."""

    faces: NDArray[np.intp]
    index: NDArray[np.intp]

    @cached_property
    def sizes(self) -> Floats:
        """Faces per class (K,)."""
        return np.bincount(self.index).astype(np.float64)

    @cached_property
    def weights(self) -> Floats:
        """The weight 1 / (K n_k) of each counted face in the macro mean."""
        return 1.0 / (len(self.sizes) * self.sizes[self.index])

    @cached_property
    def freedom(self) -> Floats:
        """n_k - 1 of each class, at least 1: a class of one face has no spread to divide."""
        return np.maximum(self.sizes - 1.0, 1.0)

    @cached_property
    def segments(self) -> list[slice]:
        """Where the faces of each class lie."""
        ends = np.cumsum(self.sizes).astype(int).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def means(self, values: Floats) -> Floats:
        """Class means (K,) of the counted faces' values (N,)."""
        return np.array([values[segment].mean() for segment in self.segments])

    def sums(self, multiples: Floats, values: Floats) -> Floats:
        """Class sums (draws, K, M) of values (N, M), each face taken `multiples` (draws, N) times.

        Class by class: a single product with one column per class would be K times the work.
        """
        parts = [multiples[:, segment] @ values[segment] for segment in self.segments]
        return np.stack(parts, axis=1)

    def centred(self, values: Floats) -> Floats:
        """The counted faces' values less the mean of their class."""
        return values - self.means(values)[self.index]


def set_mean(values: ArrayLike, classes: Classes = None) -> float:
    """The mean of the values (N,), or with `classes` the mean of their class means.

    The plain mean if no face has a class. Infinite values give an infinite mean (NaN if both
    signs occur); no values give NaN.

    >>> set_mean([1.0, 3.0, 8.0, 99.0], np.array([0, 0, 1, -1]))
    5.0
    """
    kept, groups = counted(values, classes)
    if not kept.size:
        return float("nan")
    with np.errstate(invalid="ignore"):
        return float(groups.means(kept).mean())


def counted(values: ArrayLike, classes: Classes) -> tuple[Floats, Groups]:
    """The values (N, ...) of the faces that count, as float64, and their classes.

    Raises ValueError for NaN, and if there is not one class index per face.
    """
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("values hold NaN; drop the faces without a value first")
    groups = _groups(classes, len(array))
    return array[groups.faces], groups


def _groups(classes: Classes, n: int) -> Groups:
    if classes is None:
        return Groups(np.arange(n), np.zeros(n, dtype=np.intp))
    labels = np.asarray(classes)
    if labels.shape != (n,):
        raise ValueError(f"classes have the shape {labels.shape}, {(n,)} is needed")
    order = np.argsort(labels, kind="stable")
    faces = order[labels[order] >= 0]
    if not faces.size:
        return _groups(None, n)
    return Groups(faces, np.unique(labels[faces], return_inverse=True)[1])


def scale_of(values: Floats) -> float:
    """The largest magnitude, by which rounding errors are measured."""
    return float(np.abs(values).max(initial=0.0))


def blocks(draws: int, width: int) -> Iterator[slice]:
    """`draws` cut into pieces of about BLOCK numbers, for draws of `width` numbers each."""
    step = max(1, BLOCK // max(width, 1))
    for start in range(0, draws, step):
        yield slice(start, min(start + step, draws))


def shared_rng(seed: int, n: int) -> np.random.Generator:
    """The source of the draws for any statistic of n faces.

    Every row, metric and pair of models with n faces gets the same draws: nothing depends on the
    order, number or names of models, equal values have equal intervals, and what two rows differ by
    is never the luck of the draw.
    """
    return np.random.default_rng([seed, n])


def random_signs(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """Independent signs, -1.0 or 1.0 with equal chance, of shape (draws, n)."""
    raw = np.frombuffer(rng.bytes((draws * n + 7) // 8), dtype=np.uint8)
    bits = np.unpackbits(raw, count=draws * n).reshape(draws, n)
    return bits.astype(np.float64) * 2.0 - 1.0
