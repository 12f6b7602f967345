"""The rows of a data set in the order of their rank by one metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.frame import Frame, Row


@dataclass(frozen=True)
class Ranked:
    """A row and its rank; None for an anchor, and for a model that may not be ranked."""

    row: Row
    rank: int | None


def headline(frame: Frame) -> Column:
    """Return the column that ranks a table: ECM under the first judge, else the first column."""
    return frame.columns.get("ecm") or next(iter(frame.columns.values()))


def in_order(frame: Frame, dataset: str, column: Column) -> Iterator[Ranked]:
    """Yield the ranked models of a data set, then the other models, then the anchors.

    Rank 1 is the best, and equal numbers share a rank. Models without one are in the order of
    their numbers too, those without a number last.
    """
    rows = [row for row in frame.rows if row.dataset == dataset]
    models = sorted((row for row in rows if not row.is_anchor), key=lambda row: _key(row, column))
    numbers = [_key(row, column)[1] for row in models if _may_rank(row, column)]
    ranked = [row for row in models if _may_rank(row, column)]
    for row in ranked:
        yield Ranked(row, 1 + numbers.index(_key(row, column)[1]))
    yield from (Ranked(row, None) for row in models if not _may_rank(row, column))
    yield from (Ranked(row, None) for row in rows if row.is_anchor)


def _may_rank(row: Row, column: Column) -> bool:
    return row.known(column.name) is not None and row.is_ranked_by(column.scorer)


def _key(row: Row, column: Column) -> tuple[bool, float]:
    """Return a key that sorts the best first."""
    if row.known(column.name) is None:
        return True, 0.0
    number = row.rank_number(column.name)
    return False, number if column.of_lower else -number
