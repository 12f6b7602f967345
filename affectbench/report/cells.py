"""How a value of the table is written, the same for people, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from affectbench.report.marks import (
    CONTAMINATED,
    NO_INFORMATION,
    SMALL,
    TRAINED_AGAINST,
    against,
    barred,
    failures_of,
    words_of,
)
from affectbench.report.results import Run
from affectbench.report.table import is_number
from affectbench.results.columns import Column, columns_of
from affectbench.stats import MIN_N
from affectbench.texts import printable

FEW_FACES = 30
"""With fewer an interval's coverage depends on what is measured: see `docs/limitations.md`."""
ARROWS = {"lower": "↓", "higher": "↑"}
FOOTNOTES = {
    TRAINED_AGAINST: "† trained against what scores it here: not ranked under it",
    CONTAMINATED: "‡ trained on faces of this set: not ranked",
    NO_INFORMATION: (
        "∅ no expression information: not better than wrong-face and one-face (p < 0.05)"
    ),
    SMALL: "n too small: fewer than 6 faces give neither intervals nor tests",
    "few": "fewer than 30 faces: of skewed values an interval may hold the mean in less than 95 %",
    "failed": "✗ failed",
    "best": "bold (**): best of the models; * not distinguishable from the best (max-T, 95 %)",
    "plain": "~ plain mean: no expression class has 10 faces",
}


@dataclass(frozen=True)
class Cell:
    """One value: its text, its interval's text, and whether it is the best of the models."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One row of a data set: its name with signs, and the cells by metric."""

    name: str
    anchor: bool
    faces: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Block:
    """The rows of one data set."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Layout:
    """A whole table: heads by metric, a block per data set, and the notes it needs."""

    heads: Mapping[str, str]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]


def lay_out(run: Run, table: pd.DataFrame) -> Layout:
    """The table of a run (`build_table`), ready to be written for people."""
    columns = columns_of(run.records, run.settings)
    heads = {
        name: f"{printable(name)} {ARROWS[column.spec.direction]}"
        for name, column in columns.items()
    }
    titles = {record.dataset["name"]: record.dataset["title"] for record in run.records}
    blocks = []
    for dataset in dict.fromkeys(table["dataset"]):
        rows = table[table["dataset"] == dataset]
        best = {name: _best(rows, column) for name, column in columns.items()}
        lines = tuple(_line(row, columns, best) for row in rows.to_dict("records"))
        blocks.append(Block(printable(f"{dataset}: {titles[dataset]}"), lines))
    return Layout(heads, tuple(blocks), tuple(map(printable, _notes(run, table))))


def _best(rows: pd.DataFrame, column: Column) -> Any:
    """The best value among ranked models."""
    if column.name not in rows:
        return None
    may_rank = (rows["role"] == "model") & ~barred(rows, column.scorer)
    values = rows.loc[may_rank, column.name].dropna()
    if values.empty:
        return None
    return values.min() if column.of_lower else values.max()


def _line(row: Mapping[Any, Any], columns: Mapping[str, Column], best: Mapping[str, Any]) -> Line:
    words = words_of(str(row["mark"]))
    signs = "".join(
        sign for sign, word in (("‡", CONTAMINATED), ("∅", NO_INFORMATION)) if word in words
    )
    signs += "✗" if failures_of(str(row["mark"])) else ""
    faces = str(row["n"]) if not row["failed"] else f"{row['n'] - row['failed']} of {row['n']}"
    anchor = row["role"] == "anchor"
    cells = {}
    for name, column in columns.items():
        # A dagger belongs to a cell: other judges rank the same model.
        dagger = against(column.scorer) in words
        ranked = not (anchor or dagger or CONTAMINATED in words)
        cells[name] = _cell(row, column, best[name] if ranked else None, dagger)
    return Line(printable(f"{row['model']} {signs}".strip()), anchor, faces, cells)


def _cell(row: Mapping[Any, Any], column: Column, best: Any, dagger: bool) -> Cell:
    name, places = column.name, column.spec.digits
    value: Any = row.get(name)
    if not is_number(value):
        return Cell("")
    text = f"{value:.{places}f}"
    if math.isinf(value) and is_number(row.get("identical")):
        text = f"{text} ({row['identical']:.0f} identical)"
    if is_number(row.get(f"{name}_missing")):
        text = f"{text} ({row[f'{name}_missing']:.0f} missing)"
    if row.get(f"{name}_macro_classes") == 0:
        text = f"~{text}"
    if best is not None and value != best and row.get(f"{name}_best") is True:
        text += "*"
    text += "†" if dagger else ""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    interval = ""
    if is_number(low) and is_number(high):
        interval = f"[{low:.{places}f}, {high:.{places}f}]"
    return Cell(text, interval, best is not None and value == best)


def _notes(run: Run, table: pd.DataFrame) -> tuple[str, ...]:
    settings = run.settings
    judges = ", ".join(settings["judges"])
    facts = [f"protocol {settings['protocol']}", f"convention {settings['convention']}"]
    if "ecm" in settings["metrics"]:
        facts.append(f"judge {settings['judges'][0]}" + (f" of {judges}" if "," in judges else ""))
        crop = settings.get("crop", "crop/1")
        facts.append(f"ECM: 0 = same expression, macro mean, ecm/1, {crop}")
    facts += [
        f"{name}: fewer than {few} faces, its value depends on their number"
        for name, few in _few_faces(run).items()
    ]
    marks = {word.partition(":")[0] for mark in table["mark"] for word in words_of(str(mark))}
    words = (TRAINED_AGAINST, CONTAMINATED, NO_INFORMATION, SMALL)
    used = [FOOTNOTES[word] for word in words if word in marks]
    with_tests = table["n"] - table["failed"] >= MIN_N
    if (with_tests & (table["n"] - table["failed"] < FEW_FACES)).any():
        used.append(FOOTNOTES["few"])
    plain = [c for c in table.columns if c.endswith("_macro_classes")]
    if any((table[c] == 0).any() for c in plain):
        used.append(FOOTNOTES["plain"])
    if any(c.endswith("_best") for c in table.columns):
        used.insert(0, FOOTNOTES["best"])
    failures = [
        f"✗ {row['model']} on {row['dataset']}: {failures_of(str(row['mark']))}"
        for row in table.to_dict("records")
        if failures_of(str(row["mark"]))
    ]
    unsure = {
        record.row: record.model["revision_lacks"]
        for record in run.records
        if record.model.get("revision_lacks")
    }
    again = [
        f"{row} is computed again in every run, as its revision does not cover all that decides "
        f"its results: {lacks}; @revision=TEXT vouches for it"
        for row, lacks in unsure.items()
    ]
    gaps = [f"left out: {gap}" for gap in settings.get("gaps", ())]
    remarks = [f"note: {remark}" for remark in settings.get("remarks", ())]
    return ("; ".join(facts), *used, *failures, *again, *gaps, *remarks)


def _few_faces(run: Run) -> dict[str, int]:
    """The metrics with a value over too few faces, and how many faces they want."""
    return {
        str(record.metric["name"]): few
        for record in run.records
        if record.status == "ok" and record.n < (few := int(record.metric.get("few_faces", 0)))
    }
