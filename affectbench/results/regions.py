"""Landmark error by region of the face."""

from __future__ import annotations

import numpy as np

from affectbench.records import Record
from affectbench.results.facts import facts_of
from affectbench.results.runs import Run


def region_means(run: Run, dataset: str) -> dict[str, dict[str, float]]:
    """Return the mean error of each region by model, for the landmark metric that has regions."""
    found = [
        r
        for r in run.records
        if r.dataset["name"] == dataset and r.role == "model" and r.status == "ok"
        if r.metric.get("group") == "landmarks" and facts_of(r.metric).regions
    ]
    return {record.row: _means(run, record) for record in found}


def _means(run: Run, record: Record) -> dict[str, float]:
    spec = facts_of(record.metric)
    means = {}
    for column, values in run.columns(record).items():
        numbers = np.asarray(values)
        if column in spec.regions and numbers.dtype.kind == "f" and np.isfinite(numbers).any():
            means[column.removeprefix(f"{spec.name}_")] = float(np.nanmean(numbers))
    return means
