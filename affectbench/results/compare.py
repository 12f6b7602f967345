"""Build the frame from records: values with intervals, paired tests, ranks, ties and flags."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from affectbench.aggregate import ComparedFaces, common_faces
from affectbench.metrics import metric_plugin
from affectbench.records import Record
from affectbench.results.columns import Column, column_of, columns_of, scorer_of
from affectbench.results.facts import facts_of
from affectbench.results.flags import (
    faces_of,
    is_contaminated,
    is_trained_against,
    without_information,
)
from affectbench.results.frame import Frame, Row, Value
from affectbench.results.runs import Run, is_of_set
from affectbench.stats import (
    MIN_N,
    Difference,
    best_set,
    holm,
    paired_differences,
    shared_rng,
)

ANCHOR_ORDER = ("reference", "bicubic", "one-face", "wrong-face")
Cells = dict[str, Record]
"""The records of one row of one data set, by column name."""
Key = tuple[str, str]
"""Role and label: the key of a row of one data set. A model may have the label of an anchor."""
Changes = dict[str, dict[str, Any]]
"""Fields of `Value` to set, by row."""


def compared(run: Run, tested: Collection[str] | None = None) -> Frame:
    """Return the frame of a run: the models of each data set in their order, then its anchors.

    Each judge after the first has its own column, `ecm[JUDGE]`. With `tested` only the columns of
    these metrics get comparisons, which take nearly all of the time.
    """
    columns = columns_of(run.records, run.settings)
    rows: list[Row] = []
    for dataset in dict.fromkeys(record.dataset["name"] for record in run.records):
        own = [record for record in run.records if record.dataset["name"] == dataset]
        rows += _dataset_rows(run, own, columns, tested)
    return Frame(run, columns, tuple(rows))


def _dataset_rows(
    run: Run,
    records: Sequence[Record],
    columns: Mapping[str, Column],
    tested: Collection[str] | None,
) -> Iterator[Row]:
    grouped: dict[Key, Cells] = {}
    for record in records:
        key = (record.role, record.row)
        grouped.setdefault(key, {})[column_of(record, run.settings)] = record
    models = {label: cells for (role, label), cells in grouped.items() if role == "model"}
    faces = _faces(run, grouped.values(), columns)
    rows = {label: _model(run, label, cells, faces) for label, cells in models.items()}
    ranked = {label: cells for label, cells in models.items() if not rows[label].contaminated}
    versus = _versus(run, grouped)
    for column in columns.values():
        scored = {label: _scored(cells, column.name) for label, cells in ranked.items()}
        base = _scored(grouped.get(versus, {}), column.name)
        changes: Changes = {}
        if tested is None or column.spec.name in tested:
            changes = _comparisons(run, scored, versus, base, faces.get(column.name))
        for place, labels in zip(("best", "second"), _leaders(rows.values(), column), strict=False):
            for label in labels:
                changes.setdefault(label, {})[place] = True
        for label, fields in changes.items():
            rows[label] = _changed(rows[label], column.name, fields)
    judge = next(iter(run.settings["judges"]), "")
    nothing = without_information(replace(run, records=tuple(records)), judge)
    for row in rows.values():
        yield replace(row, no_information=(row.dataset, row.model) in nothing)
    for label in ANCHOR_ORDER:
        if cells := grouped.get(("anchor", label)):
            yield _row(run, label, cells, faces)


def _faces(run: Run, rows: Iterable[Cells], columns: Iterable[str]) -> dict[str, ComparedFaces]:
    """Return the faces that rows are compared on, for each column of values of faces."""
    found = {}
    cells = list(rows)
    for name in columns:
        records = [record for row in cells if (record := _scored(row, name)) is not None]
        if records and not is_of_set(records[0]):
            found[name] = faces_of(run, records)
    return found


def _changed(row: Row, column: str, fields: Mapping[str, Any]) -> Row:
    return replace(row, values={**row.values, column: replace(row.values[column], **fields)})


def _versus(run: Run, rows: Collection[Key]) -> Key:
    """Return the row that the others are compared with: a model, except for `bicubic`.

    `bicubic` means the anchor of that name if there is one, never a model that shares the name.
    """
    label = str(run.settings["versus"])
    is_anchor = label == "bicubic" and ("anchor", label) in rows
    return ("anchor" if is_anchor else "model", label)


def _row(run: Run, label: str, cells: Cells, faces: Mapping[str, ComparedFaces]) -> Row:
    first = next(iter(cells.values()))
    return Row(
        dataset=str(first.dataset["name"]),
        role=first.role,
        model=label,
        n=first.n,
        failed=_failed_faces(cells),
        values={name: _value(run, record, faces.get(name)) for name, record in cells.items()},
    )


def _model(run: Run, label: str, cells: Cells, faces: Mapping[str, ComparedFaces]) -> Row:
    row = _row(run, label, cells, faces)
    daggers = {name: is_trained_against(record) for name, record in cells.items()}
    scorers = [scorer_of(record.metric) for name, record in cells.items() if daggers[name]]
    return replace(
        row,
        values={name: replace(v, trained_against=daggers[name]) for name, v in row.values.items()},
        errors=tuple(dict.fromkeys(r.error for r in cells.values() if r.error)),
        contaminated=_contaminated(run, cells),
        trained_against=tuple(dict.fromkeys(scorers)),
        too_few=row.n < MIN_N,
    )


def _value(run: Run, record: Record, faces: ComparedFaces | None) -> Value:
    if record.status != "ok":
        return Value(error=record.error)
    values = record.values
    lost = faces is not None and not faces.are_all_in(run.columns(record))
    macro = "macro_classes" in values
    return Value(
        value=values["value"],
        n=int(values.get("n", record.n - len(record.failed))),
        low=values["low"],
        high=values["high"],
        mean=values["mean"] if macro else None,
        macro_classes=values["macro_classes"] if macro else None,
        missing=record.n - len(record.failed) - int(values.get("n", record.n)),
        counted=faces.mean(run.columns(record)) if faces is not None and lost else None,
        summaries={n: values[n] for n in facts_of(record.metric).summaries if n in values},
    )


def _failed_faces(cells: Cells) -> int:
    """Return the number of faces without a result: all if no metric ran; ignores failed metrics."""
    sound = [len(record.failed) for record in cells.values() if record.status == "ok"]
    return max(sound) if sound else next(iter(cells.values())).n


def _leaders(rows: Collection[Row], column: Column) -> Iterator[list[str]]:
    """Yield the models that may be ranked with the best value, then with the second best, ..."""
    numbers = {
        row.model: row.rank_number(column.name)
        for row in rows
        if row.is_ranked_by(column.scorer) and row.known(column.name)
    }
    for value in sorted(set(numbers.values()), reverse=not column.of_lower):
        yield [label for label, number in numbers.items() if number == value]


def _comparisons(
    run: Run,
    scored: Mapping[str, Record | None],
    versus: Key,
    base: Record | None,
    faces: ComparedFaces | None,
) -> Changes:
    """Return the difference to `versus` and best-set membership of each rankable model.

    `base` is the record of `versus`, `scored` those of the models, all of one column.
    """
    models = {label: r for label, r in scored.items() if r and not is_trained_against(r)}
    tested = {label: r for label, r in models.items() if ("model", label) != versus}
    found: Changes = {}
    if base is not None:
        found = _differences(run, tested, base, faces) if faces else _on_sets(run, tested, base)
    corrected = holm([values["p"] for values in found.values()])
    changes: Changes = {
        label: {"difference": {**values, "p": p}}
        for (label, values), p in zip(found.items(), corrected, strict=True)
    }
    if not models or faces is None:
        return changes
    records = tuple(models.values())
    key = ("best", faces, *(record.id for record in records))
    if keep := run.once(key, partial(_best, run, records, faces)):
        for label, best in zip(models, keep, strict=True):
            changes.setdefault(label, {})["among_best"] = best
    return changes


def _best(run: Run, records: Sequence[Record], faces: ComparedFaces) -> list[bool]:
    """Return whether each model is indistinguishable from the best; empty with too few faces."""
    if len(faces.ids) < MIN_N:
        return []
    scores = np.stack([faces.values(run.columns(record)) for record in records])
    rng, direction = shared_rng(_seed(run), len(faces.ids)), records[0].metric["direction"]
    return [bool(best) for best in best_set(scores, direction, rng, faces.classes)]


def _differences(
    run: Run, tested: Mapping[str, Record], base: Record, faces: ComparedFaces
) -> Changes:
    """Return the paired differences of models to `base`; they share draws."""
    records = list(tested.values())
    key = ("difference", faces, base.id, *(record.id for record in records))
    differences = run.once(key, partial(_paired, run, records, base, faces)) if records else []
    return {
        label: {
            "diff": difference.estimate,
            "diff_low": difference.low,
            "diff_high": difference.high,
            "p": difference.p,
        }
        for label, difference in zip(tested, differences, strict=True)
    }


def _paired(
    run: Run, records: Sequence[Record], base: Record, faces: ComparedFaces
) -> list[Difference]:
    """Return the differences of records to `base`."""
    values = np.stack([faces.values(run.columns(record)) for record in (*records, base)])
    rng = shared_rng(_seed(run), len(faces.ids))
    return paired_differences(values[:-1], values[-1], rng, faces.classes)


def _on_sets(run: Run, tested: Mapping[str, Record], base: Record) -> Changes:
    """Return the differences to `base` of a set metric, on the faces that both have."""
    plugin = metric_plugin(str(base.metric["name"]))
    found: Changes = {}
    for label, record in tested.items():
        if plugin.difference is None:
            continue
        ours, theirs = common_faces(run.columns(record), run.columns(base))
        rng = shared_rng(_seed(run), len(ours["id"]))
        found[label] = dict(plugin.difference(ours, theirs, rng))
    return found


def _scored(cells: Mapping[str, Record], column: str) -> Record | None:
    record = cells.get(column)
    return record if record is not None and record.status == "ok" else None


def _contaminated(run: Run, cells: Cells) -> bool:
    scored = [record for record in cells.values() if record.status == "ok"]
    if not scored:
        return False
    return is_contaminated(scored[0], [str(i) for i in run.columns(scored[0])["id"]])


def _seed(run: Run) -> int:
    return int(run.settings["seed"])
