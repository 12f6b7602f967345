"""Flags as text: the columns `marks` and `mark`, signs after names, and footnotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from affectbench.results.frame import Row, Value
from affectbench.texts import printable


@dataclass(frozen=True)
class Sign:
    """A flag of a row or value: its sign in tables, and the meaning of the sign."""

    sign: str
    meaning: str

    @property
    def note(self) -> str:
        """The footnote."""
        return f"{self.sign} {self.meaning}"


DAGGER = Sign("†", "trained against what scores it here: not ranked under it")
CONTAMINATED = Sign("‡", "trained on faces of this set: not ranked")
NO_INFORMATION = Sign(
    "∅", "no expression information: not better than wrong-face and one-face (p < 0.05)"
)
FAILED = Sign("✗", "failed")
PLAIN_MEAN = Sign("~", "plain mean: no expression class has 10 faces")
BEST = "bold (**): best of the models; * not distinguishable from the best (max-T, 95 %)"
TIED = "not distinguishable from the best"
LOST = "missing faces count as the worst value of the table in ranks and tests"
TOO_FEW = "n too small: fewer than 6 faces give neither intervals nor tests"
FEW = "fewer than 30 faces: of skewed values an interval may hold the mean in less than 95 %"


def mark_of(row: Row) -> str:
    """Return the column `mark`: words joined by `; `, none of which contains a semicolon."""
    return "; ".join(_words(row))


def _words(row: Row) -> Iterator[str]:
    yield from (f"failed: {reason}" for reason in reasons(row))
    if row.contaminated:
        yield "contaminated"
    yield from (f"trained-against:{scorer}" for scorer in row.trained_against)
    if row.too_few:
        yield "n too small"
    if row.no_information:
        yield "no-expression-information"


def row_mark(row: Row, scorer: str) -> str:
    """Return the column `marks` of `table.csv`: as `mark_of`, of the scorer that ranks alone."""
    others = {f"trained-against:{name}" for name in row.trained_against if name != scorer}
    return "; ".join(word for word in _words(row) if word not in others)


def cell_mark(row: Row, value: Value, scorer: str) -> str:
    """Return the column `mark` of `long.csv`: what concerns one value of a row."""
    words = []
    if value.error:
        words.append(f"failed: {_reason(value.error)}")
    if row.contaminated:
        words.append("contaminated")
    if value.trained_against:
        words.append(f"trained-against:{scorer}")
    if row.too_few:
        words.append("n too small")
    if row.no_information:
        words.append("no-expression-information")
    return "; ".join(words)


def reasons(row: Row) -> list[str]:
    """Return why cells of a row failed, each on one line and without semicolons."""
    return [_reason(error) for error in row.errors]


def _reason(error: str) -> str:
    return printable(" ".join(error.replace(";", ",").split()))


def signs_of(row: Row) -> tuple[Sign, ...]:
    """Return the signs after the name of a row."""
    flags = (
        (row.contaminated, CONTAMINATED),
        (row.no_information, NO_INFORMATION),
        (bool(row.errors), FAILED),
    )
    return tuple(sign for flag, sign in flags if flag)
