"""How far two sets of feature vectors lie apart: Frechet and kernel distance, in float64.

The Frechet distance is that of `torch-fidelity`; the way to it differs where that is faster or does
not lose digits. The kernel distance is for sets whose i-th faces belong together, which
`torch-fidelity`'s is not: `KernelSums.unpaired` is its number.

Feature vectors are per-image values of a cell: one entry of bytes, little-endian float32, per image
(`pack`, `unpack`). `finish_...` makes a set's value of them, and `compare_...` the difference of
two models. Nothing here needs the network, or torch.
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
"""Rows of a kernel matrix at once, so that memory does not grow with the square of the set."""
GROUPS = 20
"""Groups of faces that the jackknife of `fed` leaves out, one after the other."""


def pack(vectors: ArrayLike) -> NDArray[np.object_]:
    """Vectors (N, D) as a column (N,) of bytes, 4 D each.

    >>> pack([[1.0, 2.0]])[0].hex()
    '0000803f00000040'
    """
    array = np.ascontiguousarray(vectors, dtype=_STORED)
    column = np.empty(len(array), dtype=np.object_)
    for row, vector in enumerate(array):
        column[row] = vector.tobytes()
    return column


def unpack(column: NDArray[Any]) -> NDArray[np.float64]:
    """The vectors (N, D) of a column of `pack`, as float64; (0, 0) for an empty column.

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
    """Squared Frechet distance of the Gaussians that fit x (N, D) and y (M, D); 0 is best.

    |mean x - mean y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2)), covariances over N - 1. Biased
    upwards by an amount that shrinks with N and grows with D. NaN for fewer than two vectors.
    Source: Dowson and Landau, 1982; Heusel et al., arXiv 1706.08500.

    >>> frechet_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    9.0
    """
    if len(x) < 2 or len(y) < 2:
        return math.nan
    root_x, root_y = _factor(x), _factor(y)
    # tr (Cx Cy)^(1/2) is the sum of the singular values of Rx Ry^T, for Cx = Rx^T Rx: no square
    # root of a matrix, and no eigenvalue that rounding makes negative or complex.
    shared = float(np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum())
    gap = x.mean(axis=0) - y.mean(axis=0)
    value = float(gap @ gap + (root_x**2).sum() + (root_y**2).sum() - 2.0 * shared)
    return max(value, 0.0)  # rounding


def _factor(x: Vectors) -> Vectors:
    """R (min(N, D), D) with R^T R the covariance of x (N, D)."""
    centred: Vectors = (x - x.mean(axis=0)) / math.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return centred
    return cast(Vectors, np.linalg.qr(centred, mode="r"))


@dataclass(frozen=True, eq=False)
class KernelSums:
    """Sums of the kernel k over pairs of x and y (N, D), of which every kernel distance is made.

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
        """Squared maximum mean discrepancy, unbiased for paired sets; can be negative. NaN: N < 2.

        (sum_i xx_i + yy_i - 2 (xy_i - same_i)) / (N (N - 1)): the mean of k(x_i, x_j) + k(y_i, y_j)
        - 2 k(x_i, y_j) over all i != j. x_i and y_i are no two draws: k(x_i, y_i), which is larger
        than k of two faces, would make the distance too small by about 2 / N of what it is larger.
        """
        n = len(self.xx)
        cross = self.xy.sum() - self.same.sum()
        return float(_mmd(n, self.xx.sum() + self.yy.sum(), cross)) if n > 1 else math.nan

    @cached_property
    def unpaired(self) -> float:
        """`distance` with k(x_i, y_i) in the cross term: unbiased for independent sets alone."""
        n = len(self.xx)
        within = self.xx.sum() + self.yy.sum()
        return float(within / (n * (n - 1)) - 2.0 * self.xy.mean() / n) if n > 1 else math.nan

    def without_each(self) -> Vectors:
        """The `distance` without the i-th x and y, (N,)."""
        n = len(self.xx) - 1
        if n < 2:
            return np.full(len(self.xx), math.nan)
        within = self.xx.sum() - 2.0 * self.xx + self.yy.sum() - 2.0 * self.yy
        to_others = self.xy - self.same
        cross = to_others.sum() - to_others - (self.yx - self.same)
        return np.asarray(_mmd(n, within, cross))


def kernel_sums(x: Vectors, y: Vectors) -> KernelSums:
    """The sums of x and y (N, D). Time N^2 D, memory N D.

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
    """Kernel distance of x to a less that to b (N, D), as a mean over faces.

    Gives terms t (N,) whose mean is the difference, and the difference without each face (N,).
    Exchanging the results a_i and b_i of a face turns the sign of t_i and changes nothing else: the
    cubic kernel's sums over two exchanged sets differ by what is linear in the exchange. A label
    swap is a sign flip of t, and as cheap.
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
    """The Frechet distance, without an interval."""
    hr, sr = _sides(columns)
    return {"value": frechet_distance(hr, sr), "low": math.nan, "high": math.nan, "n": len(hr)}


def finish_kid(columns: Columns) -> Mapping[str, float]:
    """The kernel distance and its jackknife interval."""
    hr, sr = _sides(columns)
    sums = kernel_sums(hr, sr)
    interval = jackknife_interval(sums.distance, sums.without_each())
    return {"value": sums.distance, "low": interval.low, "high": interval.high, "n": len(hr)}


def finish_torch_fidelity(columns: Columns) -> Mapping[str, float]:
    """The kernel distance as `torch-fidelity` has it."""
    hr, sr = _sides(columns)
    value = kernel_sums(hr, sr).unpaired
    return {"value": value, "low": math.nan, "high": math.nan, "n": len(hr)}


def finish_fed(columns: Columns) -> Mapping[str, float]:
    """The Frechet distance and the interval of the jackknife in groups."""
    hr, sr = _sides(columns)
    value = frechet_distance(hr, sr)
    rest = [frechet_distance(hr[keep], sr[keep]) for keep in _left_in(len(hr))]
    interval = jackknife_interval(value, rest)
    return {"value": value, "low": interval.low, "high": interval.high, "n": len(hr)}


def _left_in(n: int) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Masks (n,) that leave out one of the groups of faces each; none for too few faces."""
    groups = min(GROUPS, n)
    if n < MIN_N:
        return []
    return [np.arange(n) % groups != group for group in range(groups)]


def compare_fid(a: Columns, b: Columns, _rng: np.random.Generator) -> Mapping[str, float]:
    """The difference, without interval and test."""
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    return _difference(frechet_distance(hr, ours) - frechet_distance(hr, theirs))


def compare_kid(a: Columns, b: Columns, rng: np.random.Generator) -> Mapping[str, float]:
    """The difference, its jackknife interval, and the p of label swaps."""
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
    """The difference, without interval and test."""
    (hr, ours), (_, theirs) = _sides(a), _sides(b)
    return _difference(kernel_sums(hr, ours).unpaired - kernel_sums(hr, theirs).unpaired)


def compare_fed(a: Columns, b: Columns, _rng: np.random.Generator) -> Mapping[str, float]:
    """The difference with interval and p of the jackknife in groups."""
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
