"""Landmark error by region of the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from affectbench.report.figures.drawing import Drawing, absent
from affectbench.report.figures.style import keys_of, looks
from affectbench.results.regions import region_means
from affectbench.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def regions_figure(run: Run, dataset: str) -> Drawing:
    """Return a figure of the mean normalised landmark error of each region, per model.

    Reads the columns that the spec of a landmark metric lists as its `regions`.
    """
    title = "Landmark error by region"
    means = region_means(run, dataset)
    regions = list(dict.fromkeys(region for row in means.values() for region in row))
    if not regions:
        reason = f"{title} needs the landmark metric with its regions; this run has none."
        return absent("regions", dataset, title, reason)
    return Drawing(
        kind="regions",
        dataset=dataset,
        judge="",
        title=title,
        caption="Mean normalised landmark error (NME) of each region; left is better.",
        words="; ".join(
            f"{name}: " + ", ".join(f"{region} {value:.4f}" for region, value in row.items())
            for name, row in means.items()
        ),
        paint=lambda figure: _paint(figure, means, regions),
        size=(6.8, 1.2 + 0.5 * len(regions)),
        keys=keys_of(list(means)),
    )


def _paint(figure: Figure, means: dict[str, dict[str, float]], regions: Sequence[str]) -> None:
    axes = figure.subplots()
    for name, style in looks(list(means)).items():
        known = [(means[name][r], i) for i, r in enumerate(regions) if r in means[name]]
        x, y = zip(*known, strict=True) if known else ((), ())
        axes.plot(x, y, linestyle="none", markersize=8, label=name, **style)
    axes.set_yticks(range(len(regions)), [region.replace("_", " ") for region in regions])
    axes.invert_yaxis()
    axes.margins(y=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("NME, lower is better")
    figure.legend(loc="outside right upper")
