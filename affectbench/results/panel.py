"""Several judges side by side: ranks, ECM relative to a stranger's face, and their agreement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from affectbench.registry import Late
from affectbench.results.frame import Frame, Row

_kendalltau = Late("scipy.stats:kendalltau")  # takes longer to import than all of a run's tests


def has_panel(frame: Frame) -> bool:
    """Whether a run has ECM of several judges."""
    settings = frame.run.settings
    return len(settings["judges"]) > 1 and "ecm" in settings["metrics"]


def build_panel(frame: Frame) -> pd.DataFrame:
    """Return a row per model and data set: ECM, rank, and ECM / wrong-face ECM for each judge.

    `mean_rank` is over the judges that may rank the model, so none that it was trained against. A
    contaminated model has no rank. Rank 1 is the best; ties get the mean of their ranks.
    """
    columns = _columns(frame)
    parts = []
    for dataset in frame.datasets:
        models = _models(frame, dataset)
        strangers = [
            row for row in frame.of(dataset).rows if row.is_anchor and row.model == "wrong-face"
        ]
        part = pd.DataFrame({"model": [row.model for row in models], "dataset": dataset})
        for judge, column in columns.items():
            part[f"ecm[{judge}]"] = [row.number(column) for row in models]
            ranked = pd.Series(_ranked(models, judge, column), dtype=float)
            part[f"rank[{judge}]"] = ranked.rank(method="average")
            for stranger in strangers:
                part[f"over_wrong_face[{judge}]"] = part[f"ecm[{judge}]"] / stranger.number(column)
        part["mean_rank"] = part[[f"rank[{judge}]" for judge in columns]].mean(axis=1)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def agreement(frame: Frame) -> pd.DataFrame:
    """Return Kendall's tau-b for each pair of judges, over the models that both may rank.

    NaN with fewer than two such models.
    """
    columns = _columns(frame)
    rows = []
    for dataset in frame.datasets:
        models = _models(frame, dataset)
        for a, b in combinations(columns, 2):
            scores = {judge: _ranked(models, judge, columns[judge]) for judge in (a, b)}
            pair = pd.DataFrame(scores, dtype=float).dropna()
            tau = _kendalltau(*pair.to_numpy().T).statistic if len(pair) > 1 else float("nan")
            rows.append({"dataset": dataset, "judges": f"{a}, {b}", "n": len(pair), "tau": tau})
    return pd.DataFrame(rows, columns=["dataset", "judges", "n", "tau"])


def _columns(frame: Frame) -> dict[str, str]:
    """Return the ECM column of each judge."""
    first, *others = frame.run.settings["judges"]
    return {first: "ecm", **{judge: f"ecm[{judge}]" for judge in others}}


def _models(frame: Frame, dataset: str) -> list[Row]:
    return [row for row in frame.of(dataset).rows if not row.is_anchor]


def _ranked(models: Sequence[Row], judge: str, column: str) -> list[float]:
    """Return the scores of the models that this judge may rank; NaN for the others."""
    nan = float("nan")
    return [row.rank_number(column) if row.is_ranked_by(judge) else nan for row in models]
