"""The cost of each model, as measured in the run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from affectbench.results.runs import Run

COST_COLUMNS = [
    "model",
    "dataset",
    "n",
    "parameters",
    "multiply_adds",
    "seconds",
    "faces_per_second",
    "peak_memory",
    "device",
    "threads",
]
"""Defined in `affectbench.metrics.cost`; `seconds` are those of the model for all faces."""


def cost_table(run: Run) -> pd.DataFrame:
    """Return the cost of each model on each data set, with the columns `COST_COLUMNS`."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in run.records:
        if record.role != "model":
            continue
        key = (record.row, str(record.dataset["name"]))
        row = rows.setdefault(key, {"model": key[0], "dataset": key[1], "n": record.n})
        row.update({k: v for k, v in record.cost.items() if k not in row})
        row.setdefault("device", record.provenance.get("device"))
        row.setdefault("threads", record.provenance.get("threads"))
    return pd.DataFrame(list(rows.values())).reindex(columns=COST_COLUMNS)


def speeds_of(run: Run, dataset: str) -> dict[str, float]:
    """Return the faces per second of each model on a data set, where it was measured."""
    table = cost_table(run)
    own = table[table["dataset"] == dataset].set_index("model")["faces_per_second"].dropna()
    return {str(name): float(speed) for name, speed in own.items()}
