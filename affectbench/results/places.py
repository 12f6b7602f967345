"""The rank of each model by one metric, and whether a test tells it from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.frame import Row


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


def ranks(rows: Sequence[Row], column: Column) -> list[Rank | None]:
    """Return the rank of each row of one data set; None for a row that may not be ranked.

    A model comes after all with a better value, and equal values share a place.
    """
    return [_rank(row, rows, column) for row in rows]


def by_value(rows: Sequence[Row], column: Column) -> list[int]:
    """Return the positions of the rows, the best value first and rows without a value last."""

    def key(position: int) -> tuple[bool, float]:
        value = rows[position].known(column.name)
        number = rows[position].number(column.name) if value else 0.0
        return value is None, number if column.of_lower else -number

    return sorted(range(len(rows)), key=key)


def _rank(row: Row, rows: Sequence[Row], column: Column) -> Rank | None:
    value = row.known(column.name)
    if value is None or not row.is_ranked_by(column.scorer):
        return None
    own = row.number(column.name)
    others = [r for r in rows if r.is_ranked_by(column.scorer) and r.known(column.name)]
    numbers = [other.number(column.name) for other in others]
    better = sum(n < own if column.of_lower else n > own for n in numbers)
    return Rank(1 + better, value.is_tied)
