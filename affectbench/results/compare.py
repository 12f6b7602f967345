"""Build the frame from records: values with intervals, paired tests, ranks, ties and flags."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from affectbench.aggregate import align_all, common_faces
from affectbench.metrics import metric_plugin
from affectbench.records import Record
from affectbench.results.columns import Column, column_of, columns_of, scorer_of
from affectbench.results.facts import facts_of
from affectbench.results.flags import is_contaminated, is_trained_against, without_information
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
    rows = {label: _model(run, label, cells) for label, cells in models.items()}
    ranked = {label: cells for label, cells in models.items() if not rows[label].contaminated}
    versus = _versus(run, grouped)
    for column in columns.values():
        changes: Changes = {}
        if tested is None or column.spec.name in tested:
            changes = _comparisons(run, column.name, ranked, versus, grouped)
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
            yield _row(label, cells)


def _changed(row: Row, column: str, fields: Mapping[str, Any]) -> Row:
    return replace(row, values={**row.values, column: replace(row.values[column], **fields)})


def _versus(run: Run, rows: Collection[Key]) -> Key:
    """Return the row that the others are compared with: a model, except for `bicubic`.

    `bicubic` means the anchor of that name if there is one, never a model that shares the name.
    """
    label = str(run.settings["versus"])
    is_anchor = label == "bicubic" and ("anchor", label) in rows
    return ("anchor" if is_anchor else "model", label)


def _row(label: str, cells: Cells) -> Row:
    first = next(iter(cells.values()))
    return Row(
        dataset=str(first.dataset["name"]),
        role=first.role,
        model=label,
        n=first.n,
        failed=_failed_faces(cells),
        values={column: _value(record) for column, record in cells.items()},
    )


def _model(run: Run, label: str, cells: Cells) -> Row:
    row = _row(label, cells)
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


def _value(record: Record) -> Value:
    if record.status != "ok":
        return Value()
    values = record.values
    macro = "macro_classes" in values
    return Value(
        value=values["value"],
        low=values["low"],
        high=values["high"],
        mean=values["mean"] if macro else None,
        macro_classes=values["macro_classes"] if macro else None,
        missing=record.n - len(record.failed) - int(values.get("n", record.n)),
        summaries={n: values[n] for n in facts_of(record.metric).summaries if n in values},
    )


def _failed_faces(cells: Cells) -> int:
    """Return the number of faces without a result: all if no metric ran; ignores failed metrics."""
    sound = [len(record.failed) for record in cells.values() if record.status == "ok"]
    return max(sound) if sound else next(iter(cells.values())).n


def _leaders(rows: Collection[Row], column: Column) -> Iterator[list[str]]:
    """Yield the models that may be ranked with the best value, then with the second best, ..."""
    numbers = {
        row.model: row.number(column.name)
        for row in rows
        if row.is_ranked_by(column.scorer) and row.known(column.name)
    }
    for value in sorted(set(numbers.values()), reverse=not column.of_lower):
        yield [label for label, number in numbers.items() if number == value]


def _comparisons(
    run: Run, column: str, ranked: Mapping[str, Cells], versus: Key, everyone: Mapping[Key, Cells]
) -> Changes:
    """Return the difference to `versus` and best-set membership of each rankable model."""
    cells = {label: _scored(row, column) for label, row in ranked.items()}
    models = {label: r for label, r in cells.items() if r is not None and not is_trained_against(r)}
    base = _scored(everyone.get(versus, {}), column)
    tested = {label: r for label, r in models.items() if ("model", label) != versus}
    of_set = base is not None and is_of_set(base)
    found = (_set_differences if of_set else _differences)(run, tested, base) if base else {}
    corrected = holm([values["p"] for values in found.values()])
    changes: Changes = {
        label: {"difference": {**values, "p": p}}
        for (label, values), p in zip(found.items(), corrected, strict=True)
    }
    if not models or is_of_set(next(iter(models.values()))):
        return changes
    records = tuple(models.values())
    key = ("best", *(record.id for record in records))
    if keep := run.once(key, partial(_best, run, records)):
        for label, best in zip(models, keep, strict=True):
            changes.setdefault(label, {})["among_best"] = best
    return changes


def _best(run: Run, records: Sequence[Record]) -> list[bool]:
    """Return whether each model is indistinguishable from the best; empty with too few faces."""
    first = records[0]
    scores, classes = align_all([run.columns(record) for record in records], first.metric)
    if scores.shape[1] < MIN_N:
        return []
    rng = shared_rng(_seed(run), scores.shape[1])
    return [bool(best) for best in best_set(scores, first.metric["direction"], rng, classes)]


def _differences(run: Run, tested: Mapping[str, Record], base: Record) -> Changes:
    """Return paired differences to `base`; models with results for the same faces share draws."""
    by_faces: dict[tuple[str, ...], list[str]] = {}
    for label, record in tested.items():
        columns = run.columns(record)
        known = ~np.isnan(columns[record.metric["name"]])  # a NaN drops its own pair only
        by_faces.setdefault(tuple(columns["id"][known]), []).append(label)
    found = {}
    for labels in by_faces.values():
        sharing = [tested[label] for label in labels]
        key = ("difference", base.id, *(record.id for record in sharing))
        differences = run.once(key, partial(_paired, run, sharing, base))
        for label, difference in zip(labels, differences, strict=True):
            found[label] = {
                "diff": difference.estimate,
                "diff_low": difference.low,
                "diff_high": difference.high,
                "p": difference.p,
            }
    return {label: found[label] for label in tested}


def _paired(run: Run, records: Sequence[Record], base: Record) -> list[Difference]:
    """Return the differences to `base` of records that cover the same faces."""
    columns = [run.columns(record) for record in (*records, base)]
    values, classes = align_all(columns, base.metric)
    rng = shared_rng(_seed(run), values.shape[1])
    return paired_differences(values[:-1], values[-1], rng, classes)


def _set_differences(run: Run, tested: Mapping[str, Record], base: Record) -> Changes:
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
