"""The main figure for slides: quality against emotion, 16:9, every point with its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.errors import InputError, MissingExtraError
from affectbench.records import write_atomic
from affectbench.report.figures.drawing import Drawing, can_draw, write
from affectbench.report.figures.quality import lengths
from affectbench.report.figures.style import ANCHOR, INK, looks
from affectbench.report.labels import Mark, placed
from affectbench.results.columns import Column
from affectbench.results.points import Point, quality_column, quality_points
from affectbench.results.views import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (12.8, 7.2)
"""Inches, of 200 pixels each: 2560 x 1440."""
MOST = 3
"""Panels beside each other; more would be too small to read."""
_NAME, _TICK, _TITLE = 15.0, 14.0, 18.0


def write_slide(views: Sequence[View], path: Path) -> None:
    """Write the main figure of the first data sets as a PNG file of 2560 x 1440 pixels.

    Raises MissingExtraError without matplotlib, InputError for a run without ECM or quality.
    """
    if not can_draw():
        raise MissingExtraError("--png", "plots")
    firsts = {view.dataset: view for view in reversed(views)}
    order = dict.fromkeys(view.dataset for view in views)
    panels = [panel for name in order if (panel := _panel(firsts[name]))][:MOST]
    if not panels:
        raise InputError(
            "--png: the figure shows ECM against PSNR, SSIM or LPIPS, and this run has not both; "
            "run affectbench compare with --metrics ecm,psnr"
        )
    drawing = Drawing(
        kind="slide",
        dataset="",
        judge="",
        title="Quality against emotion",
        caption="",
        words="",
        paint=lambda figure: _paint(figure, panels),
        size=SIZE,
    )
    write_atomic(path, write(drawing, "png"))


_Panel = tuple[View, Column, Sequence[Point]]


def _panel(view: View) -> _Panel | None:
    """Return what is drawn of a view; None if it has no point."""
    quality = quality_column(view.frame)
    if quality is None or "ecm" not in view.frame.columns:
        return None
    points = quality_points(view.frame, quality)
    return (view, quality, points) if points else None


def _paint(figure: Figure, panels: Sequence[_Panel]) -> None:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    every = figure.subplots(1, len(panels), squeeze=False)[0]
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.3, h_pad=0.3)
    for axes, (view, quality, points) in zip(every, panels, strict=True):
        _points(axes, points)
        emotion = view.frame.columns["ecm"]
        axes.set_title(
            view.frame.run.records[0].dataset["title"], fontsize=_TITLE, loc="left", pad=16
        )
        axes.set_xlabel(f"{_words(quality)}  →", fontsize=_TITLE, labelpad=10)
        axes.set_ylabel(f"{_words(emotion)}  →", fontsize=_TITLE, labelpad=10)
        axes.tick_params(labelsize=_TICK)
        axes.locator_params(nbins=6)
        axes.margins(0.12)
        axes.xaxis.set_inverted(quality.of_lower)
        axes.yaxis.set_inverted(emotion.of_lower)
    figure.draw_without_rendering()  # the layout decides where a point is
    for axes, (_, _, points) in zip(every, panels, strict=True):
        _names(figure, axes, points)


def _words(column: Column) -> str:
    unit = f" ({column.spec.unit})" if column.spec.unit else ""
    return f"{column.label}{unit}, {column.spec.direction} is better"


def _points(axes: Axes, points: Sequence[Point]) -> None:
    styles = looks([point.name for point in points if point.model])
    for point in points:
        style = styles[point.name] if point.model else {"color": ANCHOR, "marker": "o"}
        axes.errorbar(
            point.x,
            point.y,
            xerr=lengths(point.x, point.x_interval),
            yerr=lengths(point.y, point.y_interval),
            linestyle="none",
            markersize=12,
            markerfacecolor=style["color"] if point.ranked else "white",
            markeredgewidth=2,
            elinewidth=1.6,
            zorder=3,
            **style,
        )


def _names(figure: Figure, axes: Axes, points: Sequence[Point]) -> None:
    """Write each name where there is room for it; all coordinates in points from the top left."""
    scale = 72.0 / figure.dpi
    top = figure.bbox.height * scale

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y)) * scale
        return float(across), top - float(up)

    marks = []
    for point in points:
        x, y = place(point.x, point.y)
        low, high = point.x_interval or (point.x, point.x)
        (a, _), (b, _) = place(low, point.y), place(high, point.y)
        low, high = point.y_interval or (point.y, point.y)
        (_, c), (_, d) = place(point.x, low), place(point.x, high)
        bars = ((min(a, b), y - 1, max(a, b), y + 1), (x - 1, min(c, d), x + 1, max(c, d)))
        name = point.name if point.model else f"{point.name} (anchor)"
        marks.append(Mark(name, x, y, bars))
    area = axes.bbox
    frame = (area.x0 * scale, top - area.y1 * scale, area.x1 * scale, top - area.y0 * scale)
    for mark, label in zip(marks, placed(marks, frame, _NAME, 8.0), strict=True):
        if label.leader:
            x, y, u, v = label.leader
            width, height = figure.bbox.width * scale, top
            axes.plot(
                (x / width, u / width),
                (1 - y / height, 1 - v / height),
                transform=figure.transFigure,
                color=INK,
                linewidth=0.9,
                clip_on=False,
                scalex=False,
                scaley=False,
            )
        _left, above, _right, below = label.box
        figure.text(
            label.middle / (figure.bbox.width * scale),
            1 - (above + below) / 2 / top,
            mark.name,
            ha="center",
            va="center",
            fontsize=_NAME,
            zorder=6,
            in_layout=False,
        )
