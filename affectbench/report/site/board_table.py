"""The table of a board: every number of a row, its marks beside it, sorted by the headline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from affectbench.report.html.tables import Whiskers
from affectbench.report.marks import CONTAMINATED, DAGGER, PLAIN_MEAN, Sign, signs_of
from affectbench.report.site.columns import COST, COST_HEADS, Group, groups, members_of
from affectbench.results.columns import Column
from affectbench.results.cost import cost_table
from affectbench.results.frame import Frame, Row, Value
from affectbench.results.ranks import Rank, by_value, headline, ranks

MISSING = "△"
TIED = "no test at the 95 % level tells it from the best"


@dataclass(frozen=True)
class Head:
    """The head of a column; `direction` is empty for one that nothing is better in."""

    name: str
    label: str
    title: str
    unit: str = ""
    direction: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class BoardCell:
    """A number as text with what stands beside it, and its sort key; all empty without a value."""

    text: str = ""
    value: str = ""
    interval: str = ""
    whisker: str = ""
    best: bool = False
    missing: str = ""
    signs: tuple[Sign, ...] = ()


@dataclass(frozen=True)
class BoardRow:
    """A model or an anchor; `place` is its rank as text, `why` explains it."""

    model: str
    signs: tuple[Sign, ...]
    place: str
    why: str
    key: str
    cells: tuple[BoardCell, ...]


@dataclass(frozen=True)
class BoardTable:
    """The table of one data set: heads, groups of columns, rows sorted by the headline."""

    identifier: str
    caption: str
    heads: tuple[Head, ...]
    groups: tuple[Group, ...]
    menu: Mapping[str, tuple[Head, ...]]
    headline: str
    models: tuple[BoardRow, ...]
    anchors: tuple[BoardRow, ...]
    notes: tuple[str, ...]


def board_table(frame: Frame, identifier: str, caption: str) -> BoardTable:
    """Return the table of the frame of one data set."""
    first = headline(frame)
    rows = [row for row in frame.rows if not row.is_anchor]
    places = ranks(rows, first)
    costs = _costs(frame)
    whiskers = {name: Whiskers(frame, name) for name in frame.columns}
    models = tuple(
        _row(frame, rows[i], places[i], costs.get(rows[i].model, {}), whiskers)
        for i in by_value(rows, first)
    )
    anchors = tuple(_row(frame, r, None, {}, whiskers) for r in frame.rows if r.is_anchor)
    members = members_of(frame)
    ordered = [column for group in members.values() for column in group]
    heads = {column.name: _head(column) for column in ordered}
    cost = {n: Head(n, text, text, numeric=n != "licence") for n, text in COST_HEADS.items()}
    menu = {title: tuple(heads[c.name] for c in group) for title, group in members.items()}
    return BoardTable(
        identifier,
        caption,
        (*heads.values(), *cost.values()),
        tuple(groups(frame)),
        {**menu, COST: tuple(cost.values())},
        first.name,
        models,
        anchors,
        tuple(_notes(frame, (*models, *anchors))),
    )


def _head(column: Column) -> Head:
    spec = column.spec
    return Head(column.name, column.label, spec.title, spec.unit, spec.direction)


def _row(
    frame: Frame,
    row: Row,
    place: Rank | None,
    costs: Mapping[str, BoardCell],
    whiskers: Mapping[str, Whiskers],
) -> BoardRow:
    first = headline(frame)
    ordered = [column for group in members_of(frame).values() for column in group]
    cells = [_cell(row, column, whiskers[column.name]) for column in ordered]
    cells += [costs.get(name, BoardCell()) for name in COST_HEADS]
    text = place.text if place else "–"
    why = _why(row, first, place)
    key = str(place.place) if place else ""
    return BoardRow(row.model, signs_of(row), text, why, key, tuple(cells))


def _why(row: Row, column: Column, place: Rank | None) -> str:
    if place is not None:
        return TIED if place.tied else ""
    if row.is_anchor:
        return "a point of reference"
    if row.contaminated:
        return CONTAMINATED.meaning
    return DAGGER.meaning if column.scorer in row.trained_against else "has no value"


def _cell(row: Row, column: Column, whiskers: Whiskers) -> BoardCell:
    value = row.known(column.name)
    if value is None or value.value is None:
        return BoardCell()
    places = column.spec.digits
    interval = ""
    if value.interval is not None:
        interval = "[{:.{p}f}, {:.{p}f}]".format(*value.interval, p=places)
    number = float(value.value)
    return BoardCell(
        f"{number:.{places}f}" if math.isfinite(number) else "∞",
        repr(number),
        interval,
        whiskers.of(value),
        value.best,
        _missing(row, value),
        tuple(_signs(row, column, value)),
    )


def _missing(row: Row, value: Value) -> str:
    if not value.missing:
        return ""
    return f"{value.missing:,} of {row.n:,} faces have no value here"


def _signs(row: Row, column: Column, value: Value) -> Iterator[Sign]:
    if column.scorer in row.trained_against:
        yield DAGGER
    if value.is_plain_mean:
        yield PLAIN_MEAN


def _notes(frame: Frame, rows: Sequence[BoardRow]) -> Iterator[str]:
    """Yield the meaning of each mark that the table has."""
    yield (
        f"Rank by {headline(frame).label}; = behind a rank: {TIED} (paired max-T test). Bold: the "
        "best value of a column among the models that may be ranked by it."
    )
    cells = [cell for row in rows for cell in row.cells]
    signs = [sign for row in rows for sign in row.signs]
    signs += [sign for cell in cells for sign in cell.signs]
    yield from (sign.note for sign in dict.fromkeys(signs))
    if any(cell.missing for cell in cells):
        yield (
            f"{MISSING} some faces have no value here: the metric found nothing to measure on "
            "them, and the mean is over the others. Point at the mark for their number."
        )


def _costs(frame: Frame) -> dict[str, dict[str, BoardCell]]:
    """Return the cells about cost of each model."""
    table = cost_table(frame.run)
    licences = {r.row: str(r.model.get("licence", "")) for r in frame.run.records if r.model}
    found: dict[str, dict[str, BoardCell]] = {}
    for row in table.to_dict("records"):
        cells = {name: _cost(name, row.get(name)) for name in COST_HEADS if name != "licence"}
        licence = licences.get(str(row["model"]), "")
        found[str(row["model"])] = {**cells, "licence": BoardCell(licence, licence)}
    return found


def _cost(name: str, number: Any) -> BoardCell:
    if number is None or pd.isna(number):
        return BoardCell()
    amount = float(number)
    text = f"{amount / 1e6:,.1f}" if name == "peak_memory" else short(amount)
    return BoardCell(text, repr(amount))


def short(amount: float) -> str:
    """Return a number with a unit prefix in three digits.

    >>> short(1_490_545.0), short(0.0), short(44.46), short(12e9)
    ('1.49 M', '0', '44.5', '12 G')
    """
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(amount) >= size:
            return f"{amount / size:.3g}{prefix}"
    return f"{amount:.3g}"
