"""The distribution of ECM over the faces, and the confusion of expressions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affectbench.report.figures.drawing import Drawing, absent
from affectbench.report.figures.style import INK, looks
from affectbench.results.confusion import confusions
from affectbench.results.faces import FaceTable, Floats, Judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 60
"""Maximum number of faces that are drawn as individual dots."""


def distribution_figure(faces: FaceTable, judge: str) -> Drawing:
    """Return a figure of the ECM of all faces, a line for each model."""
    title = "Spread of ECM over the faces"
    judged = _of(faces, judge)
    if judged is None:
        return absent("spread", faces.dataset, title, f"{title} needs ECM; this run has none.")
    values = {name: _known(judged.rows[name].ecm) for name in faces.models if name in judged.rows}
    values = {name: known for name, known in values.items() if len(known)}
    return Drawing(
        kind="spread",
        dataset=faces.dataset,
        judge=judge,
        title=title,
        caption=(
            "ECM of single faces: the box holds the middle half of them, the line inside is the "
            "median, whiskers reach from the 5th to the 95th percentile. 0 is the same expression."
        ),
        words="; ".join(
            f"{name}: median {np.median(v):.3f}, half of the faces between "
            f"{np.percentile(v, 25):.3f} and {np.percentile(v, 75):.3f}"
            for name, v in values.items()
        ),
        paint=lambda figure: _paint_spread(figure, values),
        size=(6.8, 1.0 + 0.42 * max(len(values), 1)),
    )


def confusion_figure(faces: FaceTable, judge: str) -> Drawing:
    """Return a figure of the confusion of classes between HR and SR, a matrix for each model."""
    title = "Expressions of HR and of SR"
    judged = _of(faces, judge)
    readings = {
        name: judged.rows[name]
        for name in faces.models
        if judged and name in judged.rows and any(judged.rows[name].label)
    }
    if judged is None or not readings:
        reason = f"{title} needs the labels that a judge reads on SR; this run has none."
        return absent("confusion", faces.dataset, title, reason)
    names, counts = confusions(judged, readings)
    columns = min(len(counts), 3)
    rows = math.ceil(len(counts) / columns)
    return Drawing(
        kind="confusion",
        dataset=faces.dataset,
        judge=judge,
        title=title,
        caption=(
            "Faces by the expression that the judge reads on HR (rows) and on SR (columns). "
            "Shades are shares of a row: a dark diagonal keeps expressions."
        ),
        words="; ".join(_said(name, count, names) for name, count in counts.items()),
        paint=lambda figure: _paint_confusion(figure, counts, names, (rows, columns)),
        size=(1.2 + 2.5 * columns, 1.4 + 2.5 * rows),
        narrow=False,
    )


def _of(faces: FaceTable, judge: str) -> Judged | None:
    return next((judged for judged in faces.judges if judged.name == judge), None)


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _said(name: str, counts: NDArray[np.int64], names: Sequence[str]) -> str:
    total = int(counts.sum())
    off = counts - np.diag(np.diag(counts))
    text = f"{name}: {int(np.trace(counts))} of {total} faces keep their label"
    if off.any():
        a, b = np.unravel_index(int(off.argmax()), off.shape)
        text += f", most often {names[int(a)]} becomes {names[int(b)]} ({int(off.max())})"
    return text


def _paint_spread(figure: Figure, values: Mapping[str, Floats]) -> None:
    axes = figure.subplots()
    styles = looks(list(values))
    for place, (name, known) in enumerate(values.items()):
        color = styles[name]["color"]
        low, first, middle, third, high = np.percentile(known, [5, 25, 50, 75, 95])
        axes.plot([low, high], [place, place], color=color, linewidth=1.4, zorder=2)
        axes.barh(place, third - first, left=first, height=0.5, color=color, alpha=0.35, zorder=2)
        axes.plot([middle, middle], [place - 0.25, place + 0.25], color=INK, linewidth=1.6)
        if len(known) <= FEW:
            axes.plot(known, np.full(len(known), place), ".", color=color, markersize=5, zorder=4)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel("ECM of a face, lower is better")


def _paint_confusion(
    figure: Figure,
    counts: Mapping[str, NDArray[np.int64]],
    names: Sequence[str],
    grid: tuple[int, int],
) -> None:
    every: Any = figure.subplots(*grid, squeeze=False, sharex=True, sharey=True)
    for axes, (name, count) in zip(every.ravel(), counts.items(), strict=False):
        _matrix(axes, name, count, names)
    for axes in every.ravel()[len(counts) :]:
        axes.set_visible(False)
    for axes in every[:, 0]:
        axes.set_ylabel("on HR")
    last = len(counts) - 1
    for column in range(grid[1]):
        row = max(r for r in range(grid[0]) if r * grid[1] + column <= last)
        every[row, column].set_xlabel("on SR")
        every[row, column].tick_params(labelbottom=True)


def _matrix(axes: Axes, name: str, count: NDArray[np.int64], names: Sequence[str]) -> None:
    shares = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="#b9c0c8", linewidth=0.6)
    axes.set_title(name, fontsize=9)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.invert_yaxis()
    places = np.arange(len(names)) + 0.5
    axes.set_xticks(places, list(names), rotation=60, ha="right", fontsize=7)
    axes.set_yticks(places, list(names), fontsize=7)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(count):
        if value:
            dark = shares[row, column] > 0.55
            axes.text(
                column + 0.5,
                row + 0.52,
                str(value),
                ha="center",
                va="center",
                fontsize=7,
                color="#ffffff" if dark else "#1c1c1c",
            )
