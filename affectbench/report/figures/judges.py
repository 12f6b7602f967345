"""The ranks of the models under each judge, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from affectbench.report.figures.drawing import Drawing, absent
from affectbench.report.figures.style import keys_of, looks
from affectbench.results.panel import agreement, build_panel
from affectbench.results.views import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def agreement_figure(view: View) -> Drawing:
    """Return a figure of each model's rank under each judge, with Kendall's tau between judges."""
    title = "Do the judges agree?"
    judges = list(view.frame.run.settings["judges"])
    scored = any(row.known("ecm") for row in view.frame.rows)
    if len(judges) < 2 or not scored:
        reason = "How far judges agree needs ECM of at least two judges; this run has not got it."
        return absent("judges", view.dataset, title, reason)
    panel = build_panel(view.frame)
    ranks = panel.set_index("model")[[f"rank[{judge}]" for judge in judges]]
    ranks = ranks[ranks.notna().any(axis=1)]
    if len(ranks) < 2:
        reason = "How far judges agree needs at least two models that they may rank."
        return absent("judges", view.dataset, title, reason)
    taus = agreement(view.frame).dropna(subset=["tau"])
    pairs = "; ".join(f"{r.judges}: tau {r.tau:.2f}" for r in taus.itertuples())
    return Drawing(
        kind="judges",
        dataset=view.dataset,
        judge="",
        title=title,
        caption=(
            "Rank of each model by ECM under each judge, 1 is best; a model has no rank under a "
            f"judge it was trained against. Kendall's tau: {pairs or 'not defined'}."
        ),
        words="; ".join(
            f"{name}: {', '.join(_rank(v, j) for v, j in zip(row, judges, strict=True))}"
            for name, row in zip(ranks.index, ranks.to_numpy(), strict=True)
        ),
        paint=lambda figure: _paint(figure, ranks, judges),
        size=(6.8, 1.2 + 0.42 * len(ranks)),
        keys=keys_of([str(name) for name in ranks.index]),
    )


def _rank(value: float, judge: str) -> str:
    return f"no rank by {judge}" if np.isnan(value) else f"{value:g} by {judge}"


def _paint(figure: Figure, ranks: pd.DataFrame, judges: list[str]) -> None:
    axes = figure.subplots()
    styles = looks(list(ranks.index))
    for name, row in zip(ranks.index, ranks.to_numpy(dtype=float), strict=True):
        axes.plot(
            range(len(judges)), row, linewidth=2, markersize=8, label=str(name), **styles[name]
        )
    axes.set_xticks(range(len(judges)), judges)
    axes.set_yticks(range(1, len(ranks) + 1))
    axes.invert_yaxis()
    axes.margins(x=0.06, y=0.08)
    axes.set_ylabel("Rank by ECM")
    figure.legend(loc="outside right upper")
