"""The two CSV files of a run or board: a table for readers (`table.csv`) and all numbers, tidy.

`table.csv` has at most `MOST_COLUMNS` columns and is sorted by rank. `long.csv` has a line for each
row and metric, and lines for the numbers that belong to a metric, such as its plain mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from affectbench.report.marks import TIED, cell_mark, row_mark
from affectbench.results.columns import Column
from affectbench.results.cost import cost_table
from affectbench.results.facts import front_of
from affectbench.results.frame import DIFFERENCES, Frame, Row, Value
from affectbench.results.ranks import Rank, headline, in_order

MOST_COLUMNS = 20
LONG = (
    *("model", "role", "dataset", "metric", "judge", "value", "low", "high", "n", "missing"),
    *(*DIFFERENCES, "tied", "mark"),
)
_BEFORE = ("rank", "model", "role", "dataset", "n")
_WHOLE = {"rank", "n", "missing", "parameters", "multiply_adds"}
_BEHIND = ("missing", "parameters", "multiply_adds", "licence", "trained_against", "marks")


def short_table(frame: Frame) -> pd.DataFrame:
    """Return `table.csv`: the rows sorted by rank, the numbers that most readers look for.

    The metric that ranks has its interval. Other metrics are those of the catalogue's `front`
    (`agreement` may be a summary of ECM), then those of the run, as far as there is room.
    """
    column = headline(frame)
    first = (column.name, f"{column.name}_low", f"{column.name}_high")
    room = MOST_COLUMNS - len(_BEFORE) - len(first) - len(_BEHIND)
    others = [name for name in _names(frame) if name != column.name][:room]
    models = _models(frame)
    rows = [
        _short(row, rank, column, others, models)
        for dataset in frame.datasets
        for row, rank in in_order(frame, dataset, column)
    ]
    return _table(rows, [*_BEFORE, *first, *others, *_BEHIND])


def long_table(frame: Frame) -> pd.DataFrame:
    """Return `long.csv`: a line for each row and metric, in the order of `table.csv`."""
    column = headline(frame)
    lines = [
        line
        for dataset in frame.datasets
        for row, _ in in_order(frame, dataset, column)
        for line in _lines(frame, row)
    ]
    return _table(lines, LONG)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return a table whose whole numbers stay whole where some are unknown."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    for name in _WHOLE.intersection(columns):
        table[name] = pd.Series([row.get(name) for row in rows], dtype=object)
    return table


def _names(frame: Frame) -> list[str]:
    """Return the names of columns and of the summaries in `front`, those of the front first."""
    found: dict[str, int] = {}
    for name, column in frame.columns.items():
        found.setdefault(name, 0 if column.judge else column.spec.front)
        if not column.judge:
            for summary in column.spec.summaries:
                if front_of(summary):
                    found.setdefault(summary, front_of(summary))
    order = list(found)
    return sorted(order, key=lambda name: (found[name] or len(order) + 100, order.index(name)))


def _models(frame: Frame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return what the records say of each row's model, by data set, role and name."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in frame.run.records:
        key = (str(record.dataset["name"]), record.role, record.row)
        own = found.setdefault(key, {})
        if record.role == "anchor":
            continue
        own.setdefault("parameters", record.model.get("parameters"))
        own.setdefault("licence", record.model.get("licence"))
        own.setdefault("trained_against", ";".join(record.model.get("trained_against", ())))
    for row in cost_table(frame.run).to_dict("records"):
        own = found[str(row["dataset"]), "model", str(row["model"])]
        operations = row["multiply_adds"]
        own["multiply_adds"] = round(operations) if math.isfinite(operations) else None
    return found


def _short(
    row: Row,
    rank: Rank | None,
    column: Column,
    others: list[str],
    models: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    value = row.values.get(column.name, Value())
    marks = [row_mark(row, column.scorer), TIED if value.is_tied else ""]
    return {
        **{
            "rank": rank and rank.place,
            "model": row.model,
            "role": row.role,
            "dataset": row.dataset,
        },
        **{"n": row.n, column.name: value.value},
        **{f"{column.name}_low": value.low, f"{column.name}_high": value.high},
        **{name: _number(row, name) for name in others},
        "missing": max(
            (row.n - v.n for v in row.values.values() if v.n is not None), default=row.n
        ),
        **models[row.dataset, row.role, row.model],
        "marks": "; ".join(filter(None, marks)),
    }


def _number(row: Row, name: str) -> float | None:
    """Return the number in a column, or the summary of that name."""
    if name in row.values:
        return row.values[name].value
    found = (value.summaries.get(name) for value in row.values.values())
    return next((number for number in found if number is not None), None)


def _lines(frame: Frame, row: Row) -> Iterator[dict[str, Any]]:
    key = {"model": row.model, "role": row.role, "dataset": row.dataset}
    for name, value in row.values.items():
        column = frame.columns[name]
        judge = column.scorer if column.spec.per_judge else ""
        yield {
            **key,
            **{"metric": column.spec.name, "judge": judge},
            **{"value": value.value, "low": value.low, "high": value.high},
            **{"n": value.n, "missing": None if value.n is None else row.n - value.n},
            **{part: value.difference.get(part) for part in DIFFERENCES},
            **{"tied": value.among_best, "mark": cell_mark(row, value, column.scorer)},
        }
        for metric, number in _beside(frame, column, value):
            yield {**key, "metric": metric, "judge": judge, "value": number}
    yield {**key, "metric": "failed", "judge": "", "value": row.failed}


def _beside(frame: Frame, column: Column, value: Value) -> Iterator[tuple[str, float]]:
    """Yield the further numbers of a metric, unless a metric of that name has them."""
    metric = column.spec.name
    numbers = {
        f"{metric}_mean": value.mean,
        f"{metric}_macro_classes": value.macro_classes,
        f"{metric}_counted": value.counted,
        **value.summaries,
    }
    behind = f"[{column.judge}]" if column.judge else ""
    for name, number in numbers.items():
        if number is not None and f"{name}{behind}" not in frame.columns:
            yield name, number
