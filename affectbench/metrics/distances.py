"""Distances between two sets of feature vectors: Frechet and kernel distance, in float64.

The Frechet distance equals that of `torch-fidelity`; the computation differs where that is faster
or more accurate. The kernel distance is for paired sets, whose i-th faces belong together;
`torch-fidelity`'s is not, and `KernelSums.unpaired` gives its number.

Feature vectors are per-image values of a cell: one bytes entry per image, little-endian float32
(`pack`, `unpack`). `finish_...` computes the value of a set from them, and `compare_...` the
difference between two models. Nothing here needs the network or torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectbench.errors import RecordError
from affectbench.stats import MIN_N, jackknife_interval, jackknife_p, sign_flip_p
from affectbench.types import Columns

Vectors = NDArray[np.float64]

_STORED = np.dtype("<f4")
_BLOCK = 1024
"""Rows of a kernel matrix per block, so that memory does not grow with the square of the set."""
GROUPS = 20
"""Number of groups of faces that the jackknife of `fed` leaves out in turn."""


def pack(vectors: ArrayLike) -> NDArray[np.object_]:
    """Return vectors (N, D) as a column (N,) of bytes, 4 D each.

    >>> pack([[1.0, 2.0]])[0].hex()
    '0000803f00000040'
    """
    array = np.ascontiguousarray(vectors, dtype=_STORED)
    column = np.empty(len(array), dtype=np.object_)
    for row, vector in enumerate(array):
        column[row] = vector.tobytes()
    return column


def unpack(column: NDArray[Any]) -> NDArray[np.float64]:
    """Return the vectors (N, D) of a packed column as float64; (0, 0) for an empty column.

    Raises RecordError for entries that are not vectors of one length.

    >>> unpack(pack([[1.0, 2.0]]))
    array([[1., 2.]])
    """
    entries = [entry for entry in column if isinstance(entry, bytes)]
    lengths = {len(entry) for entry in entries}
    if len(entries) != len(column) or len(lengths) > 1 or any(n % 4 for n in lengths):
        raise RecordError("the feature vectors of a cell are damaged: they are not of one length")
    if not entries:
        return np.zeros((0, 0))
    joined = np.frombuffer(b"".join(entries), dtype=_STORED)
    return joined.reshape(len(entries), -1).astype(np.float64)


def frechet_distance(x: Vectors, y: Vectors) -> float:
    """Return the squared Frechet distance of the Gaussians fitted to x (N, D) and y (M, D).

    |mean x - mean y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2)), with covariances over N - 1. At least 0;
    lower is better. Biased upwards by an amount that shrinks with N and grows with D. NaN for fewer
    than two vectors. Source: Dowson and Landau, 1982; Heusel et al., arXiv 1706.08500.

    >>> frechet_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    9.0
    """
    if len(x) < 2 or len(y) < 2:
        return math.nan
    root_x, root_y = _factor(x), _factor(y)
    # tr (Cx Cy)^(1/2) is the sum of the singular values of Rx Ry^T, where Cx = Rx^T Rx. This needs
    # no matrix square root, and rounding cannot make an eigenvalue negative or complex.
    shared = float(np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum())
    gap = x.mean(axis=0) - y.mean(axis=0)
    value = float(gap @ gap + (root_x**2).sum() + (root_y**2).sum() - 2.0 * shared)
    return max(value, 0.0)  # rounding can make it slightly negative


def _factor(x: Vectors) -> Vectors:
    """Return R (min(N, D), D) with R^T R the covariance of x (N, D)."""
    centred: Vectors = (x - x.mean(axis=0)) / math.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return centred
    return cast(Vectors, np.linalg.qr(centred, mode="r"))


@dataclass(frozen=True, eq=False)
class KernelSums:
    """Sums of the kernel k over pairs of x and y (N, D), from which all kernel distances follow.

    k(u, v) = (u.v / D + 1)^3, as for KID. `xx` and `yy` (N,) are the sums of k(x_i, x_j) and
    k(y_i, y_j) over j != i; `xy` (N,) those of k(x_i, y_j) and `yx` (N,) those of k(x_j, y_i) over
    all j; `same` (N,) is k(x_i, y_i).
    """

    xx: Vectors
    yy: Vectors
    xy: Vectors
    yx: Vectors
    same: Vectors

    @cached_property
    def distance(self) -> float:
        """Return the squared maximum mean discrepancy, unbiased for paired sets; NaN for N < 2.

        (sum_i xx_i + yy_i - 2 (xy_i - same_i)) / (N (N - 1)): the mean of k(x_i, x_j) + k(y_i, y_j)
        - 2 k(x_i, y_j) over all i != j. It can be negative. x_i and y_i are not independent draws:
        k(x_i, y_i) exceeds the k of two different faces, and including it would bias the distance
        downwards by about 2 / N of that excess.
        """
        n = len(self.xx)
        cross = self.xy.sum() - self.same.sum()
        return float(_mmd(n, self.xx.sum() + self.yy.sum(), cross)) if n > 1 else math.nan

    @cached_property
    def unpaired(self) -> float:
        """Return `distance` including k(x_i, y_i); unbiased for independent sets only."""
        n = len(self.xx)
        within = self.xx.sum() + self.yy.sum()
        return float(within / (n * (n - 1)) - 2.0 * self.xy.mean() / n) if n > 1 else math.nan

    def without_each(self) -> Vectors:
        """Return `distance` without the i-th x and y, for each i: (N,)."""
        n = len(self.xx) - 1
        if n < 2:
            return np.full(len(self.xx), math.nan)
        within = self.xx.sum() - 2.0 * self.xx + self.yy.sum() - 2.0 * self.yy
        to_others = self.xy - self.same
        cross = to_others.sum() - to_others - (self.yx - self.same)
        return np.asarray(_mmd(n, within, cross))


def kernel_sums(x: Vectors, y: Vectors) -> KernelSums:
    """Return the kernel sums of x and y (N, D). Time N^2 D, memory N D.

    `kernel_sums(x, y).distance` is KID of the whole set; `.unpaired` is what `torch-fidelity` gives
    for one subset of N. Source: Binkowski et al., arXiv 1801.01401.
    """
    xx, yy, xy, yx = (np.zeros(len(x)) for _ in range(4))
    for rows in _blocks(len(x)):
        xx[rows] = _kernel(x[rows], x).sum(axis=1)
        yy[rows] = _kernel(y[rows], y).sum(axis=1)
        cross = _kernel(x[rows], y)
        xy[rows] = cross.sum(axis=1)
        yx += cross.sum(axis=0)
    return KernelSums(xx - _diagonal(x, x), yy - _diagonal(y, y), xy, yx, _diagonal(x, y))


def kernel_difference(x: Vectors, a: Vectors, b: Vectors) -> tuple[Vectors, Vectors]:
    """Return the kernel distance of x to a minus that of x to b (N, D), as a mean over faces.

    Returns terms t (N,) whose mean is the difference, and the difference without each face (N,).
    Swapping the results a_i and b_i of a face flips the sign of t_i and changes nothing else: the
    cubic kernel's sums over two swapped sets differ by a term linear in the swap. A label swap is
    therefore a sign flip of t, and as cheap.
    """
    to_a, to_b, between = kernel_sums(x, a), kernel_sums(x, b), kernel_sums(a, b)
    n = len(x)
    within = to_a.yy - to_b.yy + between.xy - between.yx
    across = (to_a.yx - to_a.same) - (to_b.yx - to_b.same)
    terms = (within - 2.0 * across) / (n - 1)
    return terms, to_a.without_each() - to_b.without_each()


def _mmd(n: int, within: Vectors | float, cross: Vectors | float) -> Any:
    return (within - 2.0 * cross) / (n * (n - 1))


def _kernel(x: Vectors, y: Vectors) -> Vectors:
    return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3)


def _diagonal(x: Vectors, y: Vectors) -> Vectors:
    return np.asarray(((x * y).sum(axis=1) / x.shape[1] + 1.0) ** 3)


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))


def _sides(columns: Columns) -> tuple[Any, Any]:
    return unpack(columns["features_hr"]), unpack(columns["features_sr"])


def finish_fid(columns: Columns) -> Mapping[str, float]:
    """Return the Frechet distance, without an interval."""
    hr, sr = _sides(columns)
    return {"value": frechet_distance(hr, sr), "low": math.nan, "high": math.nan, "n": len(hr)}


def finish_kid(columns: Columns) -> Mapping[str, float]:
    """Return the kernel distance and its jackknife interval."""
    hr, sr = _sides(columns)
    sums = kernel_sums(hr, sr)
    interval = jackknife_interval(sums.distance, sums.without_each())
    return {"value": sums.distance, "low": interval.low, "high": interval.high, "n": len(hr)}


def finish_torch_fidelity(columns: Columns) -> Mapping[str, float]:
    """Return the kernel distance as `torch-fidelity` defines it."""
    hr, sr = _sides(columns)
    value = kernel_sums(hr, sr).unpaired
    return {"value": value, "low": math.nan, "high": math.nan, "n": len(hr)}


def finish_fed(columns: Columns) -> Mapping[str, float]:
    """Return the Frechet distance and its grouped-jackknife interval."""
    hr, sr = _sides(columns)
    value = frechet_distance(hr, sr)
    rest = [frechet_distance(hr[keep], sr[keep]) for keep in _left_in(len(hr))]
    interval = jackknife_interval(value, rest)
    return {"value": value, "low": interval.low, "high": interval.high, "n": len(hr)}


def _left_in(n: int) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return masks (n,) that each leave out one group of faces; none for too few faces."""
    groups = min(GROUPS, n)
    if n < MIN_N:
        return []
    return [np.arange(n) % groups != group for group in range(groups)]


def compare_fid(a: Columns, b: Columns, _rng: np.random.Generator) -> Mapping[str, float]:
    """Return the difference, without interval or test."""
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    return _difference(frechet_distance(hr, ours) - frechet_distance(hr, theirs))


def compare_kid(a: Columns, b: Columns, rng: np.random.Generator) -> Mapping[str, float]:
    """Return the difference, its jackknife interval, and the p-value of the label-swap test."""
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    if len(hr) < 2:
        return _difference(math.nan)
    terms, rest = kernel_difference(hr, ours, theirs)
    value = float(terms.mean())
    interval = jackknife_interval(value, rest)
    return _difference(value, interval.low, interval.high, sign_flip_p(terms, rng))


def compare_torch_fidelity(
    a: Columns, b: Columns, _rng: np.random.Generator
) -> Mapping[str, float]:
    """Return the difference, without interval or test."""
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    return _difference(kernel_sums(hr, ours).unpaired - kernel_sums(hr, theirs).unpaired)


def compare_fed(a: Columns, b: Columns, _rng: np.random.Generator) -> Mapping[str, float]:
    """Return the difference with the interval and p-value of the grouped jackknife."""
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    value = frechet_distance(hr, ours) - frechet_distance(hr, theirs)
    if len(hr) < MIN_N:
        return _difference(value)
    rest = [
        frechet_distance(hr[keep], ours[keep]) - frechet_distance(hr[keep], theirs[keep])
        for keep in _left_in(len(hr))
    ]
    interval = jackknife_interval(value, rest)
    return _difference(value, interval.low, interval.high, jackknife_p(value, rest))


def _difference(
    value: float, low: float = math.nan, high: float = math.nan, p: float = math.nan
) -> Mapping[str, float]:
    return {"diff": value, "diff_low": low, "diff_high": high, "p": p}
