"""Format the values of the frame as text, shared by the terminal, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from affectbench.errors import UnknownNameError
from affectbench.report.marks import (
    BEST,
    CONTAMINATED,
    DAGGER,
    FAILED,
    FEW,
    LOST,
    NO_INFORMATION,
    PLAIN_MEAN,
    TOO_FEW,
    Sign,
    reasons,
    signs_of,
)
from affectbench.results.columns import Column
from affectbench.results.frame import Frame, Row, is_number
from affectbench.results.runs import Run
from affectbench.stats import MIN_N
from affectbench.texts import printable

FEW_FACES = 30
"""With fewer an interval's coverage depends on what is measured: see `docs/limitations.md`."""
ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Cell:
    """One value: its number and interval as text, and its flags.

    `best` marks the best model, `second` the best of the others, `tied` one that is
    indistinguishable from the best, `dagger` one that was trained against its scorer, and `plain` a
    macro mean in which no class has enough faces.
    """

    number: str = ""
    interval: str = ""
    best: bool = False
    second: bool = False
    tied: bool = False
    dagger: bool = False
    plain: bool = False

    @property
    def text(self) -> str:
        """The number with its signs."""
        return self.written(PLAIN_MEAN.sign, "*", DAGGER.sign)

    def written(self, plain: str, star: str, dagger: str) -> str:
        """Return the number with the given signs; empty without a number."""
        before = plain if self.plain else ""
        behind = (star if self.tied else "") + (dagger if self.dagger else "")
        return f"{before}{self.number}{behind}" if self.number else ""


@dataclass(frozen=True)
class Line:
    """One row of a data set: its name, its signs, and its cells by metric."""

    model: str
    signs: tuple[Sign, ...]
    anchor: bool
    faces: str
    cells: Mapping[str, Cell]

    @property
    def name(self) -> str:
        """The name with its signs."""
        signs = "".join(sign.sign for sign in self.signs)
        return printable(f"{self.model} {signs}".strip())


@dataclass(frozen=True)
class Block:
    """The rows of one data set."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Choice:
    """What of a table is shown: `columns` in this order (none: all), and `digits` behind the point.

    Without `digits` each metric has its own number of them.
    """

    columns: tuple[str, ...] = ()
    intervals: bool = True
    anchors: bool = True
    digits: int | None = None


EVERYTHING = Choice()


@dataclass(frozen=True)
class Layout:
    """A whole table: column heads by metric, a block per data set, and its footnotes.

    `labels` are the heads as papers write them (`PSNR ↑`). Of the `notes`, `facts` say how the
    numbers were made, and `marks` what the signs mean.
    """

    heads: Mapping[str, str]
    labels: Mapping[str, str]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    facts: str
    marks: tuple[str, ...]


def lay_out(frame: Frame, choice: Choice = EVERYTHING) -> Layout:
    """Return the table of a frame, laid out for display.

    Raises UnknownNameError for a chosen column that the frame does not have.
    """
    frame = _chosen(frame, choice)
    heads, labels = {}, {}
    for name, column in frame.columns.items():
        arrow = ARROWS[column.spec.direction]
        heads[name] = f"{printable(name)} {arrow}"
        labels[name] = f"{printable(column.label)} {arrow}"
    titles = {record.dataset["name"]: record.dataset["title"] for record in frame.run.records}
    blocks = tuple(
        Block(
            printable(f"{dataset}: {titles[dataset]}"),
            tuple(_line(frame, row, choice) for row in frame.rows if row.dataset == dataset),
        )
        for dataset in frame.datasets
    )
    notes = tuple(map(printable, _notes(frame)))
    marks = tuple(map(printable, _footnotes(frame)))
    return Layout(heads, labels, blocks, notes, notes[0], marks)


def _chosen(frame: Frame, choice: Choice) -> Frame:
    names = choice.columns or tuple(frame.columns)
    for name in names:
        if name not in frame.columns:
            raise UnknownNameError(
                f"--columns {name}: is no column of this table; it has {', '.join(frame.columns)}"
            )
    rows = tuple(
        replace(row, values={name: row.values[name] for name in names if name in row.values})
        for row in frame.rows
        if choice.anchors or not row.is_anchor
    )
    return replace(frame, columns={name: frame.columns[name] for name in names}, rows=rows)


def _line(frame: Frame, row: Row, choice: Choice) -> Line:
    faces = str(row.n) if not row.failed else f"{row.n - row.failed} of {row.n}"
    cells = {name: _cell(row, column, choice) for name, column in frame.columns.items()}
    return Line(row.model, signs_of(row), row.is_anchor, faces, cells)


def _cell(row: Row, column: Column, choice: Choice) -> Cell:
    value = row.known(column.name)
    if value is None:
        return Cell()
    places = column.spec.digits if choice.digits is None else choice.digits
    number = row.number(column.name)
    text = f"{number:.{places}f}"
    if math.isinf(number) and (identical := _identical(row)) is not None:
        text = f"{text} ({identical:.0f} identical)"
    if value.missing:
        text = f"{text} ({value.missing:.0f} missing)"
    interval = ""
    if choice.intervals and value.interval is not None:
        low, high = value.interval
        interval = f"[{low:.{places}f}, {high:.{places}f}]"
    # A dagger belongs to a cell: other judges rank the same model.
    dagger = column.scorer in row.trained_against
    return Cell(
        text, interval, value.best, value.second, value.is_tied, dagger, value.is_plain_mean
    )


def _identical(row: Row) -> float | None:
    """Return how many results are identical to the originals, if a metric of the row reports it."""
    found = (value.summaries.get("identical") for value in row.values.values())
    return next((number for number in found if is_number(number)), None)


def _notes(frame: Frame) -> Iterator[str]:
    run, rows = frame.run, frame.rows
    yield "; ".join(_facts(run))
    yield from _footnotes(frame)
    for row in rows:
        if row.errors:
            yield f"{FAILED.sign} {row.model} on {row.dataset}: {', '.join(reasons(row))}"
    unsure = {
        record.row: record.model["revision_lacks"]
        for record in run.records
        if record.model.get("revision_lacks")
    }
    for name, lacks in unsure.items():
        yield (
            f"{name} is computed again in every run, as its revision does not cover all that "
            f"decides its results: {lacks}; @revision=TEXT vouches for it"
        )
    yield from (f"left out: {gap}" for gap in run.settings.get("gaps", ()))
    yield from (f"note: {remark}" for remark in run.settings.get("remarks", ()))


def _facts(run: Run) -> Iterator[str]:
    settings = run.settings
    yield f"protocol {settings['protocol']}"
    yield f"convention {settings['convention']}"
    if "ecm" in settings["metrics"]:
        judges = ", ".join(settings["judges"])
        yield f"judge {settings['judges'][0]}" + (f" of {judges}" if "," in judges else "")
        crop = settings.get("crop", "crop/1")
        yield f"ECM: 0 = same expression, macro mean, ecm/1, {crop}"
    for name, few in _few_faces(run).items():
        yield f"{name}: fewer than {few} faces, its value depends on their number"


def _footnotes(frame: Frame) -> Iterator[str]:
    rows = frame.rows
    values = [value for row in rows for value in row.values.values()]
    scored = [row.n - row.failed for row in rows]
    used = (
        (any(value.among_best is not None for value in values), BEST),
        (any(row.trained_against for row in rows), DAGGER.note),
        (any(row.contaminated for row in rows), CONTAMINATED.note),
        (any(row.no_information for row in rows), NO_INFORMATION.note),
        (any(value.counted is not None for value in values), LOST),
        (any(row.too_few for row in rows), TOO_FEW),
        (any(MIN_N <= n < FEW_FACES for n in scored), FEW),
        (any(value.is_plain_mean for value in values), PLAIN_MEAN.note),
    )
    yield from (note for flag, note in used if flag)


def _few_faces(run: Run) -> dict[str, int]:
    """Return the metrics whose value is from too few faces, with the number that they need."""
    return {
        str(record.metric["name"]): few
        for record in run.records
        if record.status == "ok" and record.n < (few := int(record.metric.get("few_faces", 0)))
    }
