"""Which expressions a judge reads on SR where it reads a given one on HR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from affectbench.results.faces import Judged, Reading


def confusions(
    judged: Judged, readings: Mapping[str, Reading]
) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """Return the classes that a judge read on any face, and the confusion of each row in them."""
    seen = {*judged.label, *(label for r in readings.values() for label in r.label)} - {""}
    names = [name for name in judged.classes if name in seen] or sorted(map(str, seen))
    return names, {row: confusion(judged.label, r.label, names) for row, r in readings.items()}


def confusion(
    hr: NDArray[np.str_], sr: NDArray[np.str_], names: Sequence[str]
) -> NDArray[np.int64]:
    """Return counts (K, K): rows are the classes of HR, columns of SR; faces need both."""
    index = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for a, b in zip(hr, sr, strict=True):
        if str(a) in index and str(b) in index:
            counts[index[str(a)], index[str(b)]] += 1
    return counts
