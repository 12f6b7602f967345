"""Several judges side by side: ranks, ECM relative to a stranger's face, and how judges agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from affectbench.report.marks import barred
from affectbench.report.results import Run


def panel_columns(run: Run) -> dict[str, str]:
    """The ECM column of each judge."""
    first, *others = run.settings["judges"]
    return {first: "ecm", **{judge: f"ecm[{judge}]" for judge in others}}


def build_panel(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """A row per model and data set: for each judge ECM, rank, and ECM over its wrong-face ECM.

    `mean_rank` is over the judges that may rank the model: none that it was trained against. A
    contaminated model has no rank. 1 is the best rank; equal scores share the mean of theirs.
    """
    columns = panel_columns(run)
    parts = []
    for dataset, rows in table.groupby("dataset", sort=False):
        models = rows[rows["role"] == "model"]
        stranger = rows[(rows["role"] == "anchor") & (rows["model"] == "wrong-face")]
        part = pd.DataFrame({"model": models["model"], "dataset": dataset})
        for judge, column in columns.items():
            part[f"ecm[{judge}]"] = models[column]
            part[f"rank[{judge}]"] = _ranked(models, judge, column).rank(method="average")
            if len(stranger):
                part[f"over_wrong_face[{judge}]"] = models[column] / stranger[column].iloc[0]
        ranks = [f"rank[{judge}]" for judge in columns]
        part["mean_rank"] = part[ranks].mean(axis=1)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def agreement(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of each two judges, over the models both may rank.

    NaN with fewer than two such models.
    """
    columns = panel_columns(run)
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        models = part[part["role"] == "model"]
        for a, b in combinations(columns, 2):
            pair = pd.concat(
                [_ranked(models, a, columns[a]), _ranked(models, b, columns[b])], axis=1
            ).dropna()
            tau = kendalltau(*pair.to_numpy().T).statistic if len(pair) > 1 else float("nan")
            rows.append({"dataset": dataset, "judges": f"{a}, {b}", "n": len(pair), "tau": tau})
    return pd.DataFrame(rows, columns=["dataset", "judges", "n", "tau"])


def panel_lines(panel: pd.DataFrame, taus: pd.DataFrame) -> Sequence[str]:
    """The panel as text: a line per model with its mean rank, a line per pair of judges."""
    lines = ["panel: mean rank over the judges, and ECM over the judge's wrong-face ECM"]
    ratios = [c for c in panel.columns if c.startswith("over_wrong_face")]
    for row in panel.to_dict("records"):
        rank = "-" if np.isnan(row["mean_rank"]) else f"{row['mean_rank']:.1f}"
        shares = ", ".join(
            f"{row[c]:.2f} {c.partition('[')[2].rstrip(']')}" for c in ratios if pd.notna(row[c])
        )
        lines.append(f"  {row['dataset']}: {row['model']}  {rank}  ({shares})")
    lines += [
        f"  {row['dataset']}: Kendall's tau {row['tau']:.2f} ({row['judges']}; {row['n']} models)"
        for row in taus.to_dict("records")
        if pd.notna(row["tau"])
    ]
    return lines


def _ranked(models: pd.DataFrame, judge: str, column: str) -> pd.Series[float]:
    """The scores of the models that this judge may rank; NaN for the others."""
    return models[column].where(~barred(models, judge))
