"""Two rows of a run on the same faces, and the per-image values of all rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from affectbench.aggregate import common_faces
from affectbench.errors import InputError, UnknownNameError, hint
from affectbench.metrics import metric_plugin
from affectbench.records import Record
from affectbench.results.columns import column_of
from affectbench.results.flags import faces_of
from affectbench.results.frame import DIFFERENCES
from affectbench.results.runs import Run, is_of_set
from affectbench.stats import MIN_N, paired_difference, shared_rng
from affectbench.texts import printable

KEYS = ("dataset", "role", "model")
SIGNIFICANT = 0.05
Key = tuple[str, str]
"""The role and the label of a row."""


@dataclass(frozen=True)
class PairedComparison:
    """The mean of `a` minus that of `b` in a metric, over `n` faces.

    They are the faces that the rows of the table are compared on, a lost one as the worst value.
    `low` and `high` are its 95 % interval, `p` is two-sided and of this one pair: it is not
    corrected for other pairs that are looked at. They are NaN for fewer than 6 faces.
    """

    a: str
    b: str
    metric: str
    dataset: str
    n: int
    diff: float
    low: float
    high: float
    p: float
    lower_is_better: bool

    @property
    def better(self) -> str:
        """The better row at the level of 0.05; empty if they cannot be distinguished."""
        if not self.p < SIGNIFICANT or self.diff == 0:
            return ""
        return self.a if (self.diff < 0) == self.lower_is_better else self.b

    def __repr__(self) -> str:
        what = f"{self.a} - {self.b} in {self.metric} on {self.dataset}: {self.diff:.4g}"
        if math.isnan(self.p):
            reason = (
                f"fewer than {MIN_N} faces" if self.n < MIN_N else "values without a difference"
            )
            return printable(f"{what}, {self.n} faces; no test: {reason}")
        found = f"{self.better} is better" if self.better else "no difference is shown"
        interval = f"[{self.low:.4g}, {self.high:.4g}]"
        return printable(f"{what} {interval}, p = {self.p:.3g}, {self.n} faces; {found}")


def compare_rows(run: Run, a: str, b: str, metric: str = "", dataset: str = "") -> PairedComparison:
    """Return the paired difference of two rows; `metric` is a column of the table (none: first).

    A name that a model shares with an anchor means the model. Raises UnknownNameError for a name
    that the run does not have, and InputError for a row without values, or if `dataset` is left out
    and there are several.
    """
    metric = metric or column_of(run.records[0], run.settings)
    dataset = _dataset(run, dataset)
    cells: dict[Key, Record] = {
        (record.role, record.row): record
        for record in records_of(run, metric)
        if record.dataset["name"] == dataset
    }
    pair = [_row(cells, label, metric, dataset) for label in (a, b)]
    columns = [run.columns(record) for record in pair]
    seed, spec = int(run.settings["seed"]), pair[0].metric
    if is_of_set(pair[0]):
        ours, theirs = common_faces(*columns)
        n, found = len(ours["id"]), dict.fromkeys(DIFFERENCES, math.nan)
        difference = metric_plugin(str(spec["name"])).difference
        if difference is not None:
            found |= difference(ours, theirs, shared_rng(seed, n))
    else:
        faces = faces_of(run, [record for record in cells.values() if record.status == "ok"])
        first, second = (faces.values(column) for column in columns)
        n = len(first)
        one = paired_difference(first, second, shared_rng(seed, n), faces.classes)
        found = dict(zip(DIFFERENCES, (one.estimate, one.low, one.high, one.p), strict=True))
    diff, low, high, p = (float(found[name]) for name in DIFFERENCES)
    lower = spec["direction"] == "lower"
    return PairedComparison(a, b, metric, dataset, n, diff, low, high, p, lower)


def image_values(run: Run, metric: str) -> pd.DataFrame:
    """Return the per-image values behind a column of the table: a line per row and face.

    `dataset`, `role`, `model` and `id` say whose they are; the column named like the metric has the
    value (NaN: none), the others are what the metric keeps beside it. A face without a result has
    no line. Raises UnknownNameError for another column, and InputError for a metric of sets.
    """
    parts = []
    for record in records_of(run, metric):
        if is_of_set(record):
            raise InputError(f"{metric} has a value for a set of faces, not for each face")
        if record.status == "ok":
            values = pd.DataFrame(dict(run.columns(record)))
            keys = (record.dataset["name"], record.role, record.row)
            for place, (name, key) in enumerate(zip(KEYS, keys, strict=True)):
                values.insert(place, name, key)
            parts.append(values)
    if not parts:
        raise InputError(f"{metric}: no row has values; every cell of it failed")
    return pd.concat(parts, ignore_index=True)


def records_of(run: Run, metric: str) -> list[Record]:
    """Return the records behind a column of the table; UnknownNameError if there are none."""
    names = [column_of(record, run.settings) for record in run.records]
    if metric not in names:
        known = list(dict.fromkeys(names))
        raise UnknownNameError(f"there is no {metric} in this comparison; {hint(metric, known)}")
    return [r for r, name in zip(run.records, names, strict=True) if name == metric]


def _dataset(run: Run, dataset: str) -> str:
    known = list(dict.fromkeys(str(record.dataset["name"]) for record in run.records))
    if dataset and dataset not in known:
        raise UnknownNameError(f"there is no data set '{dataset}' here; {hint(dataset, known)}")
    if not dataset and len(known) > 1:
        raise InputError(f"say which data set: dataset='{known[0]}' (of {', '.join(known)})")
    return dataset or known[0]


def _row(cells: Mapping[Key, Record], label: str, metric: str, dataset: str) -> Record:
    found = cells.get(("model", label)) or cells.get(("anchor", label))
    if found is None:
        known: Sequence[str] = list(dict.fromkeys(name for _, name in cells))
        raise UnknownNameError(f"there is no row '{label}' on {dataset}; {hint(label, known)}")
    if found.status != "ok":
        raise InputError(f"{label} has no {metric} on {dataset}: {found.error}")
    return found
