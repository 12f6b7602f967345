"""A run as one wide table: a row per model, anchor and data set, a column for each number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from affectbench.report.marks import mark_of
from affectbench.results.columns import Column
from affectbench.results.compare import compared
from affectbench.results.frame import DIFFERENCES, Frame, Row, Value
from affectbench.results.runs import Run


def build_table(run: Run) -> pd.DataFrame:
    """Return the table of a run: `wide_table` of its frame."""
    return wide_table(compared(run))


def wide_table(frame: Frame) -> pd.DataFrame:
    """Return the wide table of a frame.

    `model,dataset,role,n,failed`; each metric with its interval; the `summaries` of its spec; the
    number of results without a value (`METRIC_missing`, empty for none); each metric's paired
    difference to `versus` with interval and Holm-corrected p, and whether the model is
    indistinguishable from the best (not for set metrics); `mark`. Each judge after the first has
    its own columns, `ecm[JUDGE]`. Empty where there is no value.
    """
    table = pd.DataFrame([_fields(frame, row) for row in frame.rows])
    return table[_order(frame, list(table.columns))].copy()  # defragmented


def _fields(frame: Frame, row: Row) -> dict[str, Any]:
    fields: dict[str, Any] = {
        **{"model": row.model, "dataset": row.dataset, "role": row.role},
        **{"n": row.n, "failed": row.failed, "mark": mark_of(row)},
    }
    for name, value in row.values.items():
        fields |= _value_fields(name, value)
        for summary, number in value.summaries.items():
            # A metric of that name, such as `agreement`, has the same value and more with it.
            fields.setdefault(_summary(frame.columns[name], summary), number)
    return fields


def _value_fields(name: str, value: Value) -> dict[str, Any]:
    if value.value is None:
        return {}
    fields: dict[str, Any] = {
        name: value.value,
        f"{name}_low": value.low,
        f"{name}_high": value.high,
        **{f"{name}_{part}": number for part, number in value.difference.items()},
    }
    if value.missing:
        fields[f"{name}_missing"] = value.missing
    if value.macro_classes is not None:
        fields |= {f"{name}_mean": value.mean, f"{name}_macro_classes": value.macro_classes}
    if value.among_best is not None:
        fields[f"{name}_best"] = value.among_best
    return fields


def _summary(column: Column, summary: str) -> str:
    """Return the column name of a summary of a metric."""
    return f"{summary}[{column.judge}]" if column.judge else summary


def _order(frame: Frame, columns: Sequence[str]) -> list[str]:
    """Return these columns in the order of the table."""
    metrics = list(frame.columns)
    summaries = {
        _summary(column, summary)
        for column in frame.columns.values()
        for summary in column.spec.summaries
    }
    order = ["model", "dataset", "role", "n", "failed"]
    for name in metrics:
        order += [name, f"{name}_low", f"{name}_high", f"{name}_mean"]
    order += [name for name in columns if name in summaries]
    order += [f"{name}_macro_classes" for name in metrics]
    order += [f"{name}_missing" for name in metrics]
    for name in metrics:
        order += [f"{name}_{part}" for part in (*DIFFERENCES, "best")]
    return [name for name in dict.fromkeys([*order, "mark"]) if name in columns]
