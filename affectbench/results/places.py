"""The rank of each model by one metric, with ties where a test cannot tell models apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.frame import Row


@dataclass(frozen=True)
class Rank:
    """A place from 1, and whether several models share it."""

    place: int
    shared: bool

    @property
    def text(self) -> str:
        """The rank as readers know it: `1=` for a shared first place.

        >>> Rank(1, True).text, Rank(4, False).text
        ('1=', '4')
        """
        return f"{self.place}=" if self.shared else str(self.place)


def ranks(rows: Sequence[Row], column: Column) -> list[Rank | None]:
    """Return the rank of each row of one data set; None for a row that may not be ranked.

    All models that are indistinguishable from the best are first. Each other one comes after all
    with a better value, and equal values share a place.
    """
    places = [_place(row, rows, column) for row in rows]
    return [None if place is None else Rank(place, places.count(place) > 1) for place in places]


def by_value(rows: Sequence[Row], column: Column) -> list[int]:
    """Return the positions of the rows, the best value first and rows without a value last."""

    def key(position: int) -> tuple[bool, float]:
        value = rows[position].known(column.name)
        number = rows[position].number(column.name) if value else 0.0
        return value is None, number if column.of_lower else -number

    return sorted(range(len(rows)), key=key)


def _place(row: Row, rows: Sequence[Row], column: Column) -> int | None:
    value = row.known(column.name)
    if value is None or not row.is_ranked_by(column.scorer):
        return None
    if value.best or value.among_best:
        return 1
    own = row.number(column.name)
    others = [r for r in rows if r.is_ranked_by(column.scorer) and r.known(column.name)]
    numbers = [other.number(column.name) for other in others]
    return 1 + sum(n < own if column.of_lower else n > own for n in numbers)
