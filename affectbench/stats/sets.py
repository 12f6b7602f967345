"""The statistic of a set of faces, and the random draws that all tests share.

A plain mean is the macro mean of a single class of all faces, so each formula is written once.
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
"""Sign flips used if `DRAWS` cannot decide on which side of 5 % a corrected p lies."""
MIN_N = 6
"""With fewer than six faces no test can reach 5 %: the smallest two-sided p is 2 / 2^5."""
TIE = 1e-12
"""Two numbers that differ by less than this fraction of their scale are equal up to rounding."""
BLOCK = 1 << 16
"""Random numbers per block: few enough to stay in the CPU cache."""


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
        """The slice of each class in `faces`."""
        ends = np.cumsum(self.sizes).astype(int).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def means(self, values: Floats) -> Floats:
        """Return the class means (K,) of the counted faces' values (N,)."""
        return np.array([values[segment].mean() for segment in self.segments])

    def sums(self, multiples: Floats, values: Floats) -> Floats:
        """Return class sums (draws, K, M) of values (N, M) with weights `multiples` (draws, N).

        One product per class: a single product with one column per class is K times the work.
        """
        parts = [multiples[:, segment] @ values[segment] for segment in self.segments]
        return np.stack(parts, axis=1)

    def centred(self, values: Floats) -> Floats:
        """Return the counted faces' values minus the mean of their class."""
        return values - self.means(values)[self.index]


def set_mean(values: ArrayLike, classes: Classes = None) -> float:
    """Return the mean of the values (N,), or with `classes` the mean of their class means.

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
    """Return the values (N, ...) of the faces that count, as float64, and their classes.

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
    """Return the largest magnitude, the scale of rounding errors."""
    return float(np.abs(values).max(initial=0.0))


def blocks(draws: int, width: int) -> Iterator[slice]:
    """Split `draws` into slices of about `BLOCK` numbers, for draws of `width` numbers each."""
    step = max(1, BLOCK // max(width, 1))
    for start in range(0, draws, step):
        yield slice(start, min(start + step, draws))


def shared_rng(seed: int, n: int) -> np.random.Generator:
    """Return the random generator for any statistic of n faces.

    Every row, metric and pair of models with n faces gets the same draws: nothing depends on the
    order, number or names of models, equal values have equal intervals, and two rows never differ
    by Monte Carlo noise.
    """
    return np.random.default_rng([seed, n])


def random_signs(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """Return independent signs (draws, n), -1.0 or 1.0 with equal probability."""
    raw = np.frombuffer(rng.bytes((draws * n + 7) // 8), dtype=np.uint8)
    bits = np.unpackbits(raw, count=draws * n).reshape(draws, n)
    return bits.astype(np.float64) * 2.0 - 1.0
