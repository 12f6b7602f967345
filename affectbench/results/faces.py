"""The per-face scores of each model in a run, by image id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectbench.records import Record, distinct_slugs
from affectbench.results.columns import Column, columns_of
from affectbench.results.runs import Run
from affectbench.results.views import judges_of

Floats = NDArray[np.float64]
Names = dict[tuple[str, str], str]
"""The name of each row (role, label) in a face table."""
COMPARED_ANCHOR = "bicubic"
"""The one anchor that reconstructs the input face; the others show another face or HR itself."""


@dataclass(frozen=True)
class Reading:
    """A judge's predictions on the faces of one row, in the order of `FaceTable.ids`.

    `ecm` (N,) is NaN and `label` (N,) empty where a face has no result; `q` (N, K) are the class
    probabilities, with K = 0 for records that do not hold them.
    """

    ecm: Floats
    label: NDArray[np.str_]
    flipped: NDArray[np.bool_]
    q: Floats


@dataclass(frozen=True)
class Judged:
    """One judge's predictions on HR (`p` (N, K), `label` (N,)) and on every row."""

    name: str
    classes: tuple[str, ...]
    p: Floats
    label: NDArray[np.str_]
    rows: dict[str, Reading]


@dataclass(frozen=True)
class FaceRow:
    """A model (or bicubic): label and revision, which name its saved faces, and its failed faces.

    `name` is the display name: the label, unless bicubic shares it with a model. `folder` is where
    a report puts its faces.
    """

    name: str
    label: str
    anchor: bool
    revision: str
    folder: str
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A metric that needs no judge: values (N,) by row."""

    column: Column
    rows: dict[str, Floats]


@dataclass(frozen=True)
class FaceTable:
    """All faces of one data set."""

    dataset: str
    title: str
    revision: str
    ids: tuple[str, ...]
    rows: tuple[FaceRow, ...]
    judges: tuple[Judged, ...]
    metrics: tuple[Measured, ...]

    @cached_property
    def models(self) -> list[str]:
        """The models, or bicubic if there are none."""
        return [r.name for r in self.rows if not r.anchor] or [r.name for r in self.rows]

    def badness(self) -> Floats:
        """Return how bad each model is on each face, (models, N): larger is worse.

        This is ECM of the first judge, or else the first metric, negated if higher is better.
        """
        if self.judges:
            found = self.judges[0].rows
            return self._stacked({name: reading.ecm for name, reading in found.items()})
        if not self.metrics:
            return self._stacked({})
        metric = self.metrics[0]
        sign = 1.0 if metric.column.of_lower else -1.0
        return self._stacked({name: sign * values for name, values in metric.rows.items()})

    def _stacked(self, rows: dict[str, Floats]) -> Floats:
        empty = np.full(len(self.ids), np.nan)
        return np.stack([rows.get(name, empty) for name in self.models])


def face_tables(run: Run) -> list[FaceTable]:
    """Return a face table for every data set of a run."""
    names = dict.fromkeys(record.dataset["name"] for record in run.records)
    return [_table(run, [r for r in run.records if r.dataset["name"] == name]) for name in names]


def _table(run: Run, records: Sequence[Record]) -> FaceTable:
    shown = [r for r in records if r.role == "model" or r.row == COMPARED_ANCHOR]
    shown = [r for r in shown if r.metric.get("kind", "image") == "image"] or list(records)
    names = _names(shown)
    sound = [record for record in shown if record.status == "ok"]
    ids = tuple(dict.fromkeys(str(i) for r in sound for i in run.columns(r)["id"]))
    first = records[0].dataset
    judges = [
        _judged(run, [r for r in sound if _is_of(r, name)], ids, names) for name in judges_of(run)
    ]
    return FaceTable(
        dataset=str(first["name"]),
        title=str(first["title"]),
        revision=str(first["revision"]),
        ids=ids,
        rows=tuple(_rows(shown, names)),
        judges=tuple(judged for judged in judges if judged),
        metrics=tuple(_metrics(run, [r for r in sound if not r.metric["per_judge"]], ids, names)),
    )


def _is_of(record: Record, judge: str) -> bool:
    return bool(record.metric["name"] == "ecm") and record.metric["identity"].get("judge") == judge


def _names(records: Sequence[Record]) -> Names:
    """Return a unique name for each row: bicubic and a model may share a label."""
    models = {record.row for record in records if record.role == "model"}
    names: Names = {}
    for record in records:
        name = record.row
        while record.role == "anchor" and name in models:
            name += " (anchor)"
        names[record.role, record.row] = name
    return names


def _rows(records: Sequence[Record], names: Names) -> list[FaceRow]:
    rows: dict[str, FaceRow] = {}
    folders = distinct_slugs(names)
    for record in records:
        key = (record.role, record.row)
        anchor, revision = record.role == "anchor", str(record.cell.get("model", ""))
        new = FaceRow(names[key], record.row, anchor, revision, f"sr-{folders[key]}")
        row = rows.setdefault(new.name, new)
        row.failed.update(record.failed)
    return sorted(rows.values(), key=lambda row: row.anchor)


def _judged(run: Run, records: Sequence[Record], ids: Sequence[str], names: Names) -> Judged | None:
    if not records:
        return None
    classes = _classes(run.columns(records[0]))
    n = len(ids)
    p, label = np.full((n, len(classes)), np.nan), np.full(n, "", dtype=object)
    rows = {}
    for record in records:
        columns = run.columns(record)
        at = _positions(columns["id"], ids)
        ecm, said, q = np.full(n, np.nan), np.full(n, "", dtype=object), np.full_like(p, np.nan)
        flipped = np.zeros(n, dtype=bool)
        ecm[at] = columns["ecm"]
        label[at] = columns["label_hr"]
        flipped[at] = ~np.asarray(columns["agreement"], dtype=bool)
        said[at] = columns.get("label_sr", np.full(len(at), "", dtype=object))
        for index, name in enumerate(classes):
            p[at, index] = columns[f"p_{name}"]
            q[at, index] = columns[f"q_{name}"]
        rows[names[record.role, record.row]] = Reading(ecm, said.astype(str), flipped, q)
    judge = str(records[0].metric["identity"]["judge"])
    return Judged(judge, classes, p, label.astype(str), rows)


def _classes(columns: Any) -> tuple[str, ...]:
    names = [str(c).removeprefix("p_") for c in columns if str(c).startswith("p_") and c != "p_k"]
    return tuple(names) if all(f"q_{name}" in columns for name in names) else ()


def _metrics(
    run: Run, records: Sequence[Record], ids: Sequence[str], names: Names
) -> list[Measured]:
    found: dict[str, Measured] = {}
    for record in records:
        (column,) = columns_of([record], run.settings).values()
        values = np.full(len(ids), np.nan)
        columns = run.columns(record)
        values[_positions(columns["id"], ids)] = columns[column.spec.name]
        measured = found.setdefault(column.name, Measured(column, {}))
        measured.rows[names[record.role, record.row]] = values
    return list(found.values())


def _positions(found: Any, ids: Sequence[str]) -> NDArray[np.intp]:
    order = {name: index for index, name in enumerate(ids)}
    return np.array([order[str(name)] for name in found], dtype=np.intp)
