"""The tidy frame of a run: a row per data set, role and model, and a value per metric column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from affectbench.results.columns import Column
from affectbench.results.runs import Run


@dataclass(frozen=True)
class Value:
    """A metric's value of one row, with its interval and tests.

    `value` is None if the cell failed, and `n` is the number of faces behind it. `missing` counts
    faces with a result but without a value. `counted` is the value if each face that another row
    has a value for, and this one has not, counts as the worst (`ComparedFaces`); it ranks the row,
    and is None if there is no such face. `mean` and `macro_classes` belong to macro means.
    `summaries` are further statistics of the set.
    `difference` holds `diff`, `diff_low`, `diff_high` and the corrected `p` of the paired test
    against the run's `versus`, where one was made. `among_best` says whether the value is
    indistinguishable from the best (None: not tested), `best` whether it is the best of the models
    that may be ranked, `second` whether it is the best of the others, and `trained_against` whether
    its model may not be ranked. `error` says why the cell failed.
    """

    value: float | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    macro_classes: int | None = None
    missing: int = 0
    counted: float | None = None
    summaries: Mapping[str, float] = field(default_factory=dict)
    difference: Mapping[str, float] = field(default_factory=dict)
    among_best: bool | None = None
    best: bool = False
    second: bool = False
    trained_against: bool = False
    error: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a number (infinity is one)."""
        return is_number(self.value)

    @property
    def is_tied(self) -> bool:
        """Whether it is indistinguishable from the best without being the best."""
        return bool(self.among_best) and not self.best

    @property
    def is_plain_mean(self) -> bool:
        """Whether a macro mean had no class with enough faces."""
        return self.macro_classes == 0

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval, where one is known."""
        low, high = self.low, self.high
        if low is None or high is None or math.isnan(low) or math.isnan(high):
            return None
        return low, high


@dataclass(frozen=True)
class Row:
    """A model or an anchor on one data set.

    `failed` counts faces without a result, `errors` are those of failed cells, and
    `trained_against` the scorers that may not rank it. `too_few` faces give neither intervals nor
    tests. A row with `no_information` is not better than the anchors that show another face.
    """

    dataset: str
    role: str
    model: str
    n: int
    failed: int
    values: Mapping[str, Value]
    errors: tuple[str, ...] = ()
    contaminated: bool = False
    trained_against: tuple[str, ...] = ()
    too_few: bool = False
    no_information: bool = False

    @property
    def is_anchor(self) -> bool:
        """Whether it is a point of reference, which is never ranked."""
        return self.role == "anchor"

    def is_ranked_by(self, scorer: str) -> bool:
        """Whether a scorer may rank it."""
        own = self.role == "model" and not self.contaminated
        return own and scorer not in self.trained_against

    def known(self, column: str) -> Value | None:
        """Return the value in a column, or None if it is not a number."""
        value = self.values.get(column)
        return value if value is not None and value.is_known else None

    def number(self, column: str) -> float:
        """Return the number in a column; NaN where there is none."""
        value = self.values.get(column)
        return math.nan if value is None or value.value is None else float(value.value)

    def rank_number(self, column: str) -> float:
        """Return the number that ranks it: its value, lost faces counted as the worst; or NaN."""
        value = self.values.get(column)
        counted = None if value is None else value.counted
        return self.number(column) if counted is None else counted


@dataclass(frozen=True)
class Frame:
    """All rows of a run and the columns that they have values in, in table order."""

    run: Run
    columns: Mapping[str, Column]
    rows: tuple[Row, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets, in the order of the rows."""
        return tuple(dict.fromkeys(row.dataset for row in self.rows))

    def of(self, dataset: str) -> Frame:
        """Return the part of one data set."""
        records = tuple(r for r in self.run.records if r.dataset["name"] == dataset)
        rows = tuple(row for row in self.rows if row.dataset == dataset)
        return replace(self, run=replace(self.run, records=records), rows=rows)

    def tidy(self) -> pd.DataFrame:
        """Return a line per row and metric: its keys, its numbers, and boolean flags."""
        return pd.DataFrame(list(self._lines()))

    def _lines(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            for name, value in row.values.items():
                column = self.columns[name]
                yield {
                    **{"dataset": row.dataset, "role": row.role, "model": row.model},
                    **{"column": name, "metric": column.spec.name, "scorer": column.scorer},
                    **{"n": row.n, "value": value.value, "low": value.low, "high": value.high},
                    **{name: value.difference.get(name) for name in DIFFERENCES},
                    "best": value.best,
                    "tied": value.is_tied,
                    "tested": value.among_best is not None,
                    "ranked": row.is_ranked_by(column.scorer),
                    "trained_against": value.trained_against,
                    "contaminated": row.contaminated,
                    "no_information": row.no_information,
                    "too_few": row.too_few,
                    "plain_mean": value.is_plain_mean,
                    "missing": value.missing,
                    "failed": value.value is None,
                }


DIFFERENCES = ("diff", "diff_low", "diff_high", "p")
"""The fields of a paired test."""


def is_number(value: Any) -> bool:
    """Whether a cell holds a number (infinity counts, NaN and None do not)."""
    return isinstance(value, (int, float)) and not math.isnan(value)
