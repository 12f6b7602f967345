"""Conditions on a comparison that a release must meet: limits, and not being worse than a row."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from affectbench.errors import InputError, UnknownNameError
from affectbench.results.compare import compared
from affectbench.results.frame import Frame, Row
from affectbench.stats import MIN_N

LEVEL = 0.05
"""A model is worse if the corrected p of the paired test is below this."""

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_LIMIT = re.compile(r"\s*(?P<column>[^<>=\s]+)\s*(?P<sign>[<>]=?)\s*(?P<limit>[^<>=\s]+)\s*")


@dataclass(frozen=True)
class Limit:
    """A condition such as `ecm>0.3`, which no model may meet on any data set."""

    column: str
    sign: str
    limit: float

    def reasons(self, frame: Frame) -> Iterator[str]:
        """Yield a line for each model that meets the condition."""
        _require_column(frame, self.column, f"--fail-if {self.column}{self.sign}{self.limit:g}")
        for row in _models(frame):
            value = row.number(self.column)
            if row.known(self.column) is None:
                yield f"{row.model} on {row.dataset}: {self.column} has no value"
            elif _SIGNS[self.sign](value, self.limit):
                shown = f"{self.column} {value:.6g} {self.sign} {self.limit:g}"
                yield f"{row.model} on {row.dataset}: {shown}"


def parse_limit(text: str) -> Limit:
    """Return the condition of a text; InputError for anything else.

    >>> parse_limit("ecm > 0.3")
    Limit(column='ecm', sign='>', limit=0.3)
    """
    match = _LIMIT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        limit = float(match["limit"])
        if math.isnan(limit):
            raise ValueError
    except ValueError:
        raise InputError(f"--fail-if {text}: is no condition, such as 'ecm>0.3'") from None
    return Limit(match["column"], match["sign"], limit)


def worse_than(frame: Frame, text: str) -> Iterator[str]:
    """Yield a line for each model that the paired test finds worse than the row in `ROW[:METRIC]`.

    The metric is the table's first unless one is named. Raises UnknownNameError for a row or metric
    that the table does not have, and InputError if its faces are too few for a test.
    """
    option = f"--fail-if-worse-than {text}"
    base, column = _parts(frame, text)
    _require_column(frame, column, option)
    rows = list(dict.fromkeys(row.model for row in frame.rows))
    if base not in rows:
        raise UnknownNameError(
            f"{option}: there is no row '{base}'; the table has {', '.join(rows)}"
        )
    run = replace(frame.run, settings={**frame.run.settings, "versus": base})
    higher = not frame.columns[column].of_lower
    for row in _models(compared(run)):
        if row.model == base:
            continue
        if row.n - row.failed < MIN_N:
            raise InputError(
                f"{option}: {row.dataset} has fewer than {MIN_N} faces, too few for a test"
            )
        found = row.values[column].difference if column in row.values else {}
        where = f"{row.model} on {row.dataset}"
        if "p" not in found:
            yield f"{where}: {column} is not tested against {base}"
        elif found["p"] < LEVEL and (found["diff"] < 0) == higher:
            yield (
                f"{where}: {column} is worse than that of {base} by {abs(found['diff']):.4g} "
                f"(paired test, p = {found['p']:.2g})"
            )


def failures(frame: Frame, limits: Sequence[Limit], rows: Sequence[str]) -> list[str]:
    """Return why a comparison does not meet its conditions; empty if it does."""
    found = [reason for limit in limits for reason in limit.reasons(frame)]
    return found + [reason for text in rows for reason in worse_than(frame, text)]


def _parts(frame: Frame, text: str) -> tuple[str, str]:
    base, colon, column = text.rpartition(":")
    if colon and not any(row.model == text for row in frame.rows):
        return base, column
    return text, next(iter(frame.columns))


def _models(frame: Frame) -> Iterator[Row]:
    return (row for row in frame.rows if row.role == "model")


def _require_column(frame: Frame, column: str, option: str) -> None:
    if column not in frame.columns:
        raise UnknownNameError(
            f"{option}: there is no column '{column}'; the table has {', '.join(frame.columns)}"
        )
