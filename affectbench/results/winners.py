"""The best models by each metric, and the models that cannot be distinguished from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.frame import Frame


@dataclass(frozen=True)
class Winner:
    """The best models by one metric, by their positions in the frame's rows.

    `tied` are the models that are indistinguishable from them. Without enough faces to test
    it, `tested` is false and `tied` is empty.
    """

    column: Column
    best: tuple[int, ...]
    tied: tuple[str, ...]
    tested: bool


def winners(frame: Frame) -> Iterator[Winner]:
    """Yield the winners of one data set, for each column that ranks a model."""
    for name, column in frame.columns.items():
        known = [(place, row.known(name)) for place, row in enumerate(frame.rows)]
        values = [(place, value) for place, value in known if value is not None]
        best = tuple(place for place, value in values if value.best)
        if best:
            tied = tuple(frame.rows[place].model for place, value in values if value.is_tied)
            tested = any(value.among_best is not None for _, value in values)
            yield Winner(column, best, tied, tested)
