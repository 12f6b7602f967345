"""Feature vectors as per-image values: one entry of bytes, little-endian float32, per image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectbench.errors import RecordError

_STORED = np.dtype("<f4")


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
