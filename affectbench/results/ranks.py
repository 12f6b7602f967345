"""The rank of each model by one metric, and whether a test tells it from the best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.frame import Frame, Row


@dataclass(frozen=True)
class Rank:
    """A place from 1 by the number alone, and whether no test tells the model from the best."""

    place: int
    tied: bool

    @property
    def is_first(self) -> bool:
        """Whether the model may be the best: it is, or no test tells it from the best."""
        return self.place == 1 or self.tied

    @property
    def text(self) -> str:
        """The rank with `=` for a tie with the best.

        >>> Rank(1, False).text, Rank(2, True).text, Rank(4, False).text
        ('1', '2=', '4')
        """
        return f"{self.place}=" if self.tied else str(self.place)


def headline(frame: Frame) -> Column:
    """Return the column that ranks: ECM, else a metric that leads, else the first."""
    columns = list(frame.columns.values())
    leading = [column for column in columns if column.spec.leads and not column.judge]
    return frame.columns.get("ecm") or (leading or columns)[0]


def ranks(rows: Sequence[Row], column: Column) -> list[Rank | None]:
    """Return the rank of each row of one data set; None for a row that may not be ranked.

    A model comes after all with a better number, and equal numbers share a place. A lost face
    counts as the worst (`Row.rank_number`).
    """
    numbers = [_key(row, column) for row in rows if _may_rank(row, column)]
    return [
        Rank(1 + sum(number < _key(row, column) for number in numbers), value.is_tied)
        if _may_rank(row, column) and (value := row.known(column.name))
        else None
        for row in rows
    ]


def by_value(rows: Sequence[Row], column: Column) -> list[int]:
    """Return the positions of the rows, the best number first and rows without one last."""
    return sorted(range(len(rows)), key=lambda position: _key(rows[position], column))


def in_order(frame: Frame, dataset: str, column: Column) -> Iterator[tuple[Row, Rank | None]]:
    """Yield the ranked models of a data set, then the other models, then the anchors.

    Each group is in the order of its numbers, but for the anchors, which are in their own.
    """
    rows = [row for row in frame.rows if row.dataset == dataset]
    models = [row for row in rows if not row.is_anchor]
    places = ranks(models, column)
    order = by_value(models, column)
    yield from ((models[i], places[i]) for i in order if places[i])
    yield from ((models[i], None) for i in order if not places[i])
    yield from ((row, None) for row in rows if row.is_anchor)


def _may_rank(row: Row, column: Column) -> bool:
    return row.known(column.name) is not None and row.is_ranked_by(column.scorer)


def _key(row: Row, column: Column) -> tuple[bool, float]:
    """Return a key that sorts the best first."""
    if row.known(column.name) is None:
        return True, 0.0
    number = row.rank_number(column.name)
    return False, number if column.of_lower else -number
