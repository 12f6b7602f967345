"""Aggregation of per-image columns into a record's values, and pairing of models' columns.

Values are paired by image id, never by position. NaN means no value: such a face is excluded from
a cell's own mean, whose `n` is the number of faces behind it, and counts as the worst where models
are compared (`ComparedFaces`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectbench.stats import Interval, bca_interval, set_mean, shared_rng
from affectbench.types import Columns, MetricPlugin, MetricSpec

MIN_CLASS_FACES = 10
"""A class with fewer reference faces is excluded from macro means: its mean is too uncertain."""

STATISTICS = 2
"""The version of the interval's definition; older records have none."""

Floats = NDArray[np.float64]
Classes = NDArray[np.intp]


def macro_classes(labels: ArrayLike) -> tuple[Classes, tuple[str, ...]]:
    """Return the class index per face (N,) for a macro mean, and the names of its classes.

    Classes with at least `MIN_CLASS_FACES` faces count, in alphabetical order; -1 marks the faces
    of the others. Without such a class all are -1, and `set_mean` is the plain mean.

    >>> index, names = macro_classes(["happy"] * 10 + ["sad"])
    >>> index.tolist(), names
    ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1], ('happy',))
    """
    names, index, counts = np.unique(
        np.asarray(labels, dtype=str), return_inverse=True, return_counts=True
    )
    enough = counts >= MIN_CLASS_FACES
    position = np.where(enough, np.cumsum(enough) - 1, -1)
    return position[index], tuple(str(name) for name in names[enough])


def set_values(
    columns: Columns, plugin_spec: MetricSpec, extra: Mapping[str, float], seed: int
) -> dict[str, Any]:
    """Return the set-level values of one cell, as stored in its record.

    `value` is what tables show, `low` and `high` its 95 % interval (NaN for fewer than 6 faces or
    if a value is infinite), `mean` the plain mean, `n` the number of faces with a value. A macro
    metric adds `classes`, the face count and mean of every class, and `macro_classes`, how many of
    them count; if none does, `value` is the plain mean. `statistics` is the version of the
    interval. `extra` is added to these.

    The draws depend on `seed` and `n` alone: cells with equal values have equal intervals.
    """
    scored = _with_value(columns, plugin_spec.name)
    values = _floats(scored[plugin_spec.name])
    result: dict[str, Any] = {"n": len(values), "mean": set_mean(values)}
    classes = None
    if plugin_spec.aggregate == "macro":
        classes, names = macro_classes(scored["label_hr"])
        result["macro_classes"] = len(names)
        result["classes"] = _by_class(values, scored["label_hr"])
    interval = bca_interval(values, shared_rng(seed, len(values)), classes)
    result["value"] = set_mean(values, classes)
    ends = {"low": interval.low, "high": interval.high, "statistics": STATISTICS}
    return {**extra, **result, **ends}


def interval_of(columns: Columns, metric: Mapping[str, Any], seed: int) -> Interval:
    """Return the interval of a cell whose record holds one of another version.

    `metric` is that of the record; its `name` and `aggregate` are used.
    """
    scored = _with_value(columns, str(metric["name"]))
    values = _floats(scored[str(metric["name"])])
    macro = metric["aggregate"] == "macro"
    classes = macro_classes(scored["label_hr"])[0] if macro else None
    return bca_interval(values, shared_rng(seed, len(values)), classes)


def cell_values(columns: Columns, plugin: MetricPlugin, seed: int) -> dict[str, Any]:
    """Return the values of one cell, as stored in its record, for a metric of any kind."""
    if plugin.finish is not None:
        return dict(plugin.finish(columns))
    return set_values(columns, plugin.spec, plugin.summarise(columns), seed)


@dataclass(frozen=True, eq=False)
class ComparedFaces:
    """The faces that the rows of a table are ranked and tested on by one metric.

    They are those that at least one row has a value for, sorted by id. A row without a value there
    (its model gave no face, or landmarks are not found on it) counts as the worst value that any
    row has on any of them: no row gains by faces that it lost. A face that no row has a value for,
    such as an original without landmarks, tells nothing and does not count.
    """

    ids: tuple[str, ...]
    classes: Classes | None
    worst: float
    name: str

    def values(self, columns: Columns) -> Floats:
        """Return a row's value on each face (N,)."""
        found = _with_value(columns, self.name)
        values = dict(zip(map(str, found["id"]), _floats(found[self.name]).tolist(), strict=True))
        return np.array([values.get(face, self.worst) for face in self.ids], dtype=np.float64)

    def mean(self, columns: Columns) -> float:
        """Return a row's value on all the faces; that of its record if it has them all."""
        return set_mean(self.values(columns), self.classes)

    def are_all_in(self, columns: Columns) -> bool:
        """Return whether a row has a value on each face."""
        return len(_with_value(columns, self.name)["id"]) == len(self.ids)


def compared_faces(columns: Sequence[Columns], metric: Mapping[str, Any]) -> ComparedFaces:
    """Return the faces that rows with these columns are compared on.

    `metric` is that of a record (`name`, `direction` and `aggregate` are used). For a macro mean
    the classes are those of the references, which all rows share, counted on these faces.
    """
    name = str(metric["name"])
    scored = [_with_value(one, name) for one in columns]
    macro = metric["aggregate"] == "macro"
    labels: dict[str, str] = {}
    for one in scored:
        said = one["label_hr"] if macro else one["id"]
        labels |= zip(map(str, one["id"]), map(str, said), strict=True)
    ids = tuple(sorted(labels))
    every = np.concatenate([_floats(one[name]) for one in scored])
    worst = every.min if metric["direction"] == "higher" else every.max
    classes = macro_classes([labels[face] for face in ids])[0] if macro and ids else None
    return ComparedFaces(ids, classes, float(worst()) if ids else float("nan"), name)


def common_faces(columns_a: Columns, columns_b: Columns) -> tuple[Columns, Columns]:
    """Return two models' columns on their common faces, sorted by id, for a set metric."""
    rows_a, rows_b = (
        {str(i): row for row, i in enumerate(one["id"])} for one in (columns_a, columns_b)
    )
    common = sorted(rows_a.keys() & rows_b.keys())
    pick_a, pick_b = (np.array([rows[i] for i in common], np.intp) for rows in (rows_a, rows_b))
    return (
        {name: np.asarray(column)[pick_a] for name, column in columns_a.items()},
        {name: np.asarray(column)[pick_b] for name, column in columns_b.items()},
    )


def _with_value(columns: Columns, name: str) -> Columns:
    """Return the rows whose value is not NaN."""
    known = ~np.isnan(_floats(columns[name]))
    return {key: np.asarray(column)[known] for key, column in columns.items()}


def _by_class(values: Floats, labels: ArrayLike) -> dict[str, dict[str, float]]:
    names = np.asarray(labels, dtype=str)
    members = {str(name): values[names == name] for name in np.unique(names)}
    return {name: {"n": len(own), "mean": set_mean(own)} for name, own in members.items()}


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
