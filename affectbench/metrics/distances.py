"""How far two sets of feature vectors lie apart: Frechet and kernel distance, in float64.

The Frechet distance is that of `torch-fidelity`; the way to it differs where that is faster or does
not lose digits. The kernel distance is for sets whose i-th faces belong together, which
`torch-fidelity`'s is not: `KernelSums.unpaired` is its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

_BLOCK = 1024
"""Rows of a kernel matrix at once, so that memory does not grow with the square of the set."""


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
