"""The comparison table: a row per model, anchor and data set, with intervals and tests."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from affectbench.aggregate import align_all, common_faces
from affectbench.metrics import metric_plugin
from affectbench.records import Record
from affectbench.report.marks import (
    CONTAMINATED,
    NO_INFORMATION,
    SMALL,
    against,
    failure,
    is_contaminated,
    is_dagger,
    joined,
    knows_nothing,
)
from affectbench.report.results import Run, is_of_set
from affectbench.results.columns import column_of, columns_of, scorer_of
from affectbench.results.facts import facts_of
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
"""What names a row of one data set: role and label. A model may have the label of an anchor."""


def build_table(run: Run) -> pd.DataFrame:
    """The columns of `table.csv`.

    `model,dataset,role,n,failed`; each metric with its interval; what the `summaries` of its spec
    name; how many faces have results without a value (`METRIC_missing`, empty for none); each
    metric's paired difference to `versus` with interval and Holm-corrected p, and whether the model
    cannot be told from the best (not for metrics of a set); `mark`. Judges after the first have
    columns of their own, `ecm[JUDGE]`. Empty where there is no value.
    """
    rows: list[dict[str, Any]] = []
    for dataset in dict.fromkeys(record.dataset["name"] for record in run.records):
        rows += _dataset_rows(run, [r for r in run.records if r.dataset["name"] == dataset])
    table = pd.DataFrame(rows)
    return table[column_order(run, list(table.columns))].copy()  # in one piece


def metric_columns(run: Run) -> list[str]:
    """The metrics' column names, in the order asked for; headline judge before the others."""
    return list(columns_of(run.records, run.settings))


def _dataset_rows(run: Run, records: Sequence[Record]) -> list[dict[str, Any]]:
    grouped: dict[Key, Cells] = {}
    for record in records:
        key = (record.role, record.row)
        grouped.setdefault(key, {})[column_of(record, run.settings)] = record
    models = {label: cells for (role, label), cells in grouped.items() if role == "model"}
    anchors = {label: cells for (role, label), cells in grouped.items() if role == "anchor"}
    anchors = {label: anchors[label] for label in ANCHOR_ORDER if label in anchors}
    rows = {label: _row(label, cells) for label, cells in models.items()}
    ranked = {label: cells for label, cells in models.items() if not _contaminated(run, cells)}
    versus = _versus(run, grouped)
    for column in metric_columns(run):
        for label, values in _comparisons(run, column, ranked, versus, grouped):
            rows[label].update(values)
    for label, cells in models.items():
        rows[label]["mark"] = joined(_marks(run, cells, anchors, label in ranked))
    return [*rows.values(), *(_row(label, cells) for label, cells in anchors.items())]


def _versus(run: Run, rows: Collection[Key]) -> Key:
    """The row that the others are compared with: a model, but for `bicubic`.

    That name always means bicubic itself: if it is an anchor, a model of the name is another one.
    """
    label = str(run.settings["versus"])
    is_anchor = label == "bicubic" and ("anchor", label) in rows
    return ("anchor" if is_anchor else "model", label)


def _row(label: str, cells: Cells) -> dict[str, Any]:
    first = next(iter(cells.values()))
    row: dict[str, Any] = {
        "model": label,
        "dataset": first.dataset["name"],
        "role": first.role,
        "n": first.n,
        "failed": _failed_faces(cells),
        "mark": "",
    }
    for column, record in cells.items():
        if record.status != "ok":
            continue
        values = record.values
        row[column], row[f"{column}_low"] = values["value"], values["low"]
        row[f"{column}_high"] = values["high"]
        if missing := record.n - len(record.failed) - int(values.get("n", record.n)):
            row[f"{column}_missing"] = missing
        if "macro_classes" in values:
            row[f"{column}_mean"] = values["mean"]
            row[f"{column}_macro_classes"] = values["macro_classes"]
        suffix = column.removeprefix(record.metric["name"]) if record.metric["per_judge"] else ""
        for name in facts_of(record.metric).summaries:
            # A metric of that name, such as `agreement`, has the same value and more with it.
            if name in values:
                row.setdefault(f"{name}{suffix}", values[name])
    return row


def _failed_faces(cells: Cells) -> int:
    """Faces without a result: all of them if nothing was scored; a failed metric loses no face."""
    sound = [len(record.failed) for record in cells.values() if record.status == "ok"]
    return max(sound) if sound else next(iter(cells.values())).n


def _comparisons(
    run: Run, column: str, ranked: Mapping[str, Cells], versus: Key, everyone: Mapping[Key, Cells]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Differences to `versus` and membership of the best set, for the models that may be ranked."""
    cells = {label: _scored(row, column) for label, row in ranked.items()}
    models = {label: r for label, r in cells.items() if r is not None and not is_dagger(r)}
    base = _scored(everyone.get(versus, {}), column)
    tested = {label: r for label, r in models.items() if ("model", label) != versus}
    of_set = base is not None and is_of_set(base)
    differences = _set_differences if of_set else _differences
    found = differences(run, column, tested, base) if base else {}
    corrected = holm([values[f"{column}_p"] for values in found.values()])
    for (label, values), p in zip(found.items(), corrected, strict=True):
        yield label, {**values, f"{column}_p": p}
    if not models or is_of_set(next(iter(models.values()))):
        return
    records = tuple(models.values())
    key = ("best", *(record.id for record in records))
    if keep := run.once(key, partial(_best, run, records)):
        for label, best in zip(models, keep, strict=True):
            yield label, {f"{column}_best": best}


def _best(run: Run, records: Sequence[Record]) -> list[bool]:
    """Whether each model cannot be told from the best; nothing for too few faces."""
    first = records[0]
    scores, classes = align_all([run.columns(record) for record in records], first.metric)
    if scores.shape[1] < MIN_N:
        return []
    rng = shared_rng(_seed(run), scores.shape[1])
    return [bool(best) for best in best_set(scores, first.metric["direction"], rng, classes)]


def _differences(
    run: Run, column: str, tested: Mapping[str, Record], base: Record
) -> dict[str, dict[str, Any]]:
    """Paired differences to `base`. Models with results for the same faces share the draws."""
    by_faces: dict[tuple[str, ...], list[str]] = {}
    for label, record in tested.items():
        columns = run.columns(record)
        known = ~np.isnan(columns[record.metric["name"]])  # a NaN leaves its own pair, no other's
        by_faces.setdefault(tuple(columns["id"][known]), []).append(label)
    found = {}
    for labels in by_faces.values():
        sharing = [tested[label] for label in labels]
        key = ("difference", base.id, *(record.id for record in sharing))
        differences = run.once(key, partial(_paired, run, sharing, base))
        for label, difference in zip(labels, differences, strict=True):
            found[label] = {
                f"{column}_diff": difference.estimate,
                f"{column}_diff_low": difference.low,
                f"{column}_diff_high": difference.high,
                f"{column}_p": difference.p,
            }
    return {label: found[label] for label in tested}


def _paired(run: Run, records: Sequence[Record], base: Record) -> list[Difference]:
    """Differences of records for the same faces to `base`."""
    columns = [run.columns(record) for record in (*records, base)]
    values, classes = align_all(columns, base.metric)
    rng = shared_rng(_seed(run), values.shape[1])
    return paired_differences(values[:-1], values[-1], rng, classes)


def _set_differences(
    run: Run, column: str, tested: Mapping[str, Record], base: Record
) -> dict[str, dict[str, Any]]:
    """Differences to `base` of a metric of the whole set, on the faces that both have."""
    plugin = metric_plugin(str(base.metric["name"]))
    found: dict[str, dict[str, Any]] = {}
    for label, record in tested.items():
        if plugin.difference is None:
            continue
        ours, theirs = common_faces(run.columns(record), run.columns(base))
        rng = shared_rng(_seed(run), len(ours["id"]))
        difference = plugin.difference(ours, theirs, rng)
        found[label] = {f"{column}_{name}": value for name, value in difference.items()}
    return found


def _marks(run: Run, cells: Cells, anchors: Mapping[str, Cells], ranked: bool) -> Iterator[str]:
    first = next(iter(cells.values()))
    errors = dict.fromkeys(record.error for record in cells.values() if record.error)
    yield from map(failure, errors)
    if not ranked:
        yield CONTAMINATED
    scorers = [scorer_of(record.metric) for record in cells.values() if is_dagger(record)]
    yield from map(against, dict.fromkeys(scorers))
    if first.n < MIN_N:
        yield SMALL
        return
    ecm = _scored(cells, "ecm")
    scored = {name: _scored(row, "ecm") for name, row in anchors.items()}
    known = {name: record for name, record in scored.items() if record is not None}
    if ecm is not None and knows_nothing(run, ecm, known):
        yield NO_INFORMATION


def _scored(cells: Mapping[str, Record], column: str) -> Record | None:
    record = cells.get(column)
    return record if record is not None and record.status == "ok" else None


def _contaminated(run: Run, cells: Cells) -> bool:
    scored = [record for record in cells.values() if record.status == "ok"]
    if not scored:
        return False
    return is_contaminated(scored[0], [str(i) for i in run.columns(scored[0])["id"]])


def column_order(run: Run, columns: Sequence[str]) -> list[str]:
    """These columns in the order of `table.csv`; what a table never shows is left out."""
    metrics = metric_columns(run)
    order = ["model", "dataset", "role", "n", "failed"]
    for name in metrics:
        order += [name, f"{name}_low", f"{name}_high", f"{name}_mean"]
    summaries = {name for record in run.records for name in facts_of(record.metric).summaries}
    order += [c for c in columns if re.sub(r"\[[^]]*\]$", "", c) in summaries]
    order += [f"{name}_macro_classes" for name in metrics]
    order += [f"{name}_missing" for name in metrics]
    for name in metrics:
        order += [f"{name}_{part}" for part in ("diff", "diff_low", "diff_high", "p", "best")]
    return [name for name in dict.fromkeys([*order, "mark"]) if name in columns]


def _seed(run: Run) -> int:
    return int(run.settings["seed"])


def is_number(value: Any) -> bool:
    """Whether a cell of the table holds a number (infinity counts, NaN and None do not)."""
    return isinstance(value, (int, float)) and not math.isnan(value)
