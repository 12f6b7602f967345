"""The choice of faces that a report shows: the worst, the most disputed, and a random sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from affectbench.results.faces import FaceTable, Floats

WORST = 25
DISPUTED = 50
RANDOM = 50


def chosen_faces(table: FaceTable, seed: int) -> list[int]:
    """Return the positions of the faces to embed, the most informative first, without repeats.

    The union of the `WORST` faces of each model, the `DISPUTED` faces on which two models differ
    most, and a random sample of `RANDOM` faces drawn with `seed`. The groups are interleaved, so
    that the list can be cut anywhere and still holds some of each.
    """
    bad = table.badness()
    groups = [_largest(row, WORST) for row in bad]
    groups.append(_largest(_spread(bad), DISPUTED))
    draw = np.random.default_rng(seed).permutation(len(table.ids))[:RANDOM]
    groups.append([int(i) for i in draw])
    return list(dict.fromkeys(_in_turns(groups)))


def _largest(values: Floats, count: int) -> list[int]:
    """Return the positions of the largest values, ignoring NaN; ties keep the face order."""
    known = np.flatnonzero(~np.isnan(values))
    order = np.argsort(-values[known], kind="stable")
    return [int(i) for i in known[order][:count]]


def _spread(bad: Floats) -> Floats:
    """Return the largest difference between models on each face; NaN with fewer than two values."""
    known = ~np.isnan(bad)
    high = np.where(known, bad, -np.inf).max(axis=0)
    low = np.where(known, bad, np.inf).min(axis=0)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, as intended
        return np.where(known.sum(axis=0) > 1, high - low, np.nan)


def _in_turns(groups: list[list[int]]) -> Iterator[int]:
    for position in range(max(map(len, groups), default=0)):
        for group in groups:
            if position < len(group):
                yield group[position]
