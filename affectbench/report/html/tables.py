"""The tables of a page: results with intervals and tests, and plain tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from affectbench.report.cells import Cell, Layout, Line
from affectbench.report.marks import Sign
from affectbench.results.columns import Column
from affectbench.results.frame import DIFFERENCES, Frame, Row, Value, is_number


@dataclass(frozen=True)
class ShownValue:
    """A cell, its unrounded number (None without one), its interval's whisker, and its test."""

    cell: Cell
    value: str | None = None
    whisker: str = ""
    test: str = ""


@dataclass(frozen=True)
class ShownRow:
    """A row and the number of faces with a result."""

    line: Line
    scored: int
    cells: tuple[ShownValue, ...]


@dataclass(frozen=True)
class Group:
    """A group of rows: the models, which are sortable, or the anchors, which are not."""

    kind: Literal["models", "anchors"]
    title: str
    rows: tuple[ShownRow, ...]


@dataclass(frozen=True)
class ResultsTable:
    """The table of one data set."""

    identifier: str
    caption: str
    versus: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Text:
    """A text with a format: code, a link, a badge, a score, or a link with signs.

    `source` is a link to another site.
    """

    kind: Literal["code", "link", "badge", "score", "signed", "source"]
    text: str
    address: str = ""
    badge: str = ""
    interval: str = ""
    signs: tuple[Sign, ...] = ()


@dataclass(frozen=True)
class PlainTable:
    """A table of text. `kinds` has a letter for each column: `n` for numbers, `t` for text."""

    caption: str
    identifier: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    kinds: str = ""
    sortable: bool = False

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers."""
        return self.kinds[column : column + 1] == "n"


def results_table(frame: Frame, layout: Layout, identifier: str) -> ResultsTable:
    """Return the table of one data set from its frame, as formatted by `lay_out`."""
    block = layout.blocks[0]
    return ResultsTable(
        identifier,
        block.title,
        str(frame.run.settings["versus"]),
        tuple(frame.columns.values()),
        tuple(_groups(frame, block.lines)),
    )


def _groups(frame: Frame, lines: Sequence[Line]) -> Iterator[Group]:
    whiskers = {name: Whiskers(frame, name) for name in frame.columns}
    rows = [_row(line, row, frame, whiskers) for line, row in zip(lines, frame.rows, strict=True)]
    models = tuple(row for row in rows if not row.line.anchor)
    anchors = tuple(row for row in rows if row.line.anchor)
    if models:
        yield Group("models", "", models)
    if anchors:
        yield Group("anchors", "Anchors: points of reference, never ranked", anchors)


def _row(line: Line, row: Row, frame: Frame, whiskers: dict[str, Whiskers]) -> ShownRow:
    cells = tuple(
        _value(cell, row.known(name), frame.columns[name], whiskers[name])
        for name, cell in line.cells.items()
    )
    return ShownRow(line, row.n - row.failed, cells)


def _value(cell: Cell, value: Value | None, column: Column, whiskers: Whiskers) -> ShownValue:
    if value is None or value.value is None:
        return ShownValue(cell)
    return ShownValue(
        cell, repr(float(value.value)), whiskers.of(value), _test(value, column.spec.digits)
    )


def _test(value: Value, places: int) -> str:
    """Format the paired difference to `versus` with its interval and corrected p."""
    parts: list[Any] = [value.difference.get(part) for part in DIFFERENCES]
    if not all(map(is_number, parts)):
        return ""
    difference, low, high = (f"{part:+.{places}f}" for part in parts[:3])
    p = parts[3]
    written = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"{difference} [{low}, {high}], {written}"


class Whiskers:
    """The intervals of a column as lines on one scale: the range of the models' intervals.

    Anchors may be far outside it. The numbers of an interval stand beside its line.
    """

    def __init__(self, frame: Frame, name: str) -> None:
        models = [row for row in frame.rows if not row.is_anchor]
        values = [value for row in models if (value := row.values.get(name))]
        ends = [end for v in values for end in (v.low, v.high) if end is not None and isfinite(end)]
        self._low, self._high = (min(ends), max(ends)) if ends else (0.0, 0.0)

    def of(self, value: Value) -> str:
        """Return the style of a value's line; empty without an interval within the scale."""
        width = self._high - self._low
        if value.value is None or value.interval is None or width <= 0:
            return ""
        low, high = value.interval
        at = [100 * (v - self._low) / width for v in (low, value.value, high)]
        if not all(-1 <= v <= 101 for v in at):
            return ""
        return f"--low:{at[0]:.1f}%;--at:{at[1]:.1f}%;--high:{100 - at[2]:.1f}%"
