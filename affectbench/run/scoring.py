"""Score the faces of one batch with a metric; any failure inside it becomes a MetricError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from affectbench.aggregate import cell_values
from affectbench.errors import AffectBenchError, MetricError, listed
from affectbench.judges import load_judge
from affectbench.run.measures import Measure
from affectbench.run.sources import Batch, Produced
from affectbench.types import Columns, ImageMetric, Judge, MetricSettings

Computation = tuple[Callable[..., Any], MetricSettings]
"""The key of what several cells can share: see `Measure.computation`."""

References = dict[Computation, Any]
"""Cached results of metrics on the references of one batch."""


class Metrics:
    """The metrics and judges of a data set, built on first use.

    A metric that cannot be built is not tried again for the next row or batch.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._built: dict[Computation, ImageMetric | MetricError] = {}
        self._judges: dict[str, Judge] = {}

    def score(
        self, measure: Measure, batch: Batch, produced: Produced, references: References
    ) -> Columns:
        """Return a metric's columns for the faces of a batch that have a result; or MetricError."""
        metric = self._metric(measure)
        where = f"{measure.metric} of {listed(batch.ids)}"
        try:
            return score(metric, measure, batch, produced, references)
        except (Exception, SystemExit) as error:
            raise _failure(where, error) from error

    def _metric(self, measure: Measure) -> ImageMetric:
        key = measure.computation
        if key not in self._built:
            try:
                judge = self._judge(measure.judge.name) if measure.judge else None
                self._built[key] = measure.plugin.build(measure.settings, judge, self._device)
            except (Exception, SystemExit) as error:
                self._built[key] = _failure(measure.metric, error)
        found = self._built[key]
        if isinstance(found, MetricError):
            raise found
        return found

    def _judge(self, name: str) -> Judge:
        if name not in self._judges:
            self._judges[name] = load_judge(name, self._device)
        return self._judges[name]


def kept_columns(measure: Measure, columns: Columns) -> Columns:
    """Return the columns that a cell keeps of its metric's result.

    Raises MetricError unless there is one value per face. Without faces, only the ids remain.
    """
    ids = columns["id"]
    if not len(ids):
        return columns
    try:
        kept = {"id": ids, **measure.plugin.derive(columns)}
        lengths = {name: np.shape(column) for name, column in kept.items()}
    except (Exception, SystemExit) as error:
        raise _failure(measure.metric, error) from error
    odd = [name for name, shape in lengths.items() if shape != (len(ids),)]
    if odd:
        raise MetricError(
            f"{measure.metric}: gave {odd[0]} of the shape {lengths[odd[0]]} for {len(ids)} faces"
        )
    if measure.plugin.spec.kind == "image" and measure.metric not in kept:
        raise MetricError(f"{measure.metric}: gave no column of its name")
    return kept


def set_of(measure: Measure, columns: Columns, seed: int) -> dict[str, Any]:
    """Return the values of a whole cell, as kept in its record; MetricError if there are none."""
    try:
        return cell_values(columns, measure.plugin, seed)
    except (Exception, SystemExit) as error:
        raise _failure(measure.metric, error) from error


def _failure(where: str, error: BaseException) -> MetricError:
    if isinstance(error, AffectBenchError):
        return MetricError(f"{where}: {error}")
    return MetricError(f"{where}: raised {type(error).__name__}: {error}")


def score(
    metric: ImageMetric,
    measure: Measure,
    batch: Batch,
    produced: Produced,
    references: dict[Computation, Any],
) -> Columns:
    """Return a metric's columns, with ids, for the faces of a batch that have a result.

    `references` caches the results on the references of the whole batch for the next row.
    """
    ids = np.array([batch.ids[i] for i in produced.kept], dtype=str)
    if not len(ids):
        return {"id": ids}
    if len(ids) < len(batch.ids):
        hr = batch.hr[list(produced.kept)]
        return {"id": ids, **metric.score(produced.sr, hr, metric.reference(hr))}
    key = measure.computation
    if key not in references:
        references[key] = metric.reference(batch.hr)
    return {"id": ids, **metric.score(produced.sr, batch.hr, references[key])}
