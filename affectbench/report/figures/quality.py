"""Quality against emotion, and cost against emotion: a point for each model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affectbench.report.figures.drawing import Drawing, absent
from affectbench.report.figures.style import ANCHOR, INK, looks
from affectbench.results.columns import Column
from affectbench.results.cost import cost_table
from affectbench.results.faces import COMPARED_ANCHOR
from affectbench.results.facts import quality_labels
from affectbench.results.frame import Frame, Row, Value
from affectbench.results.views import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = ("wrong-face", "one-face")
_NO_POINT = "No model has a value on both axes."


@dataclass(frozen=True)
class Point:
    """A model's value on each axis with its interval (None where there is none)."""

    name: str
    model: bool
    ranked: bool
    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Axis:
    """What stands at an axis, and whether lower is better."""

    text: str
    lower: bool


def quality_figure(view: View) -> Drawing:
    """ECM against the run's measure of quality, with intervals and the Pareto front."""
    title = "Quality against emotion"
    quality = _quality(view.frame)
    if not _has(view.frame, "ecm") or quality is None:
        *others, last = quality_labels()
        known = f"{', '.join(others)} and {last}"
        reason = f"{title} needs ECM and one of {known}; this run has not both."
        return absent("quality", view.dataset, title, reason)
    numbers = [(row, row.known(quality.name)) for row in view.frame.rows]
    points = _points(view, [(row, value) for row, value in numbers if value])
    anchors = _anchors(view.frame)
    if not points:
        return absent("quality", view.dataset, title, _NO_POINT)
    return Drawing(
        kind="quality",
        dataset=view.dataset,
        judge=view.judge,
        title=title,
        caption=(
            f"Each model's ECM (left is better) against {quality.label}, with 95 % "
            "intervals. The thin line joins the models that no other model beats in both; models "
            "trained on these faces or against this judge are hollow. Dashed "
            "and dotted: the ECM of anchors that show another face."
        ),
        words=_words(points, "ECM", quality.label),
        paint=lambda figure: _paint(
            figure, points, _axis(view.frame.columns["ecm"]), _axis(quality), anchors=anchors
        ),
        size=(6.8, 4.2),
    )


def _quality(frame: Frame) -> Column | None:
    """The metric that says most of image quality, of those that the run has."""
    columns = frame.columns.values()
    found = [c for c in columns if c.spec.quality_axis > 0 and _has(frame, c.name)]
    return max(found, key=lambda column: column.spec.quality_axis, default=None)


def _has(frame: Frame, column: str) -> bool:
    """Whether a cell of the column did not fail."""
    values = (row.values.get(column) for row in frame.rows)
    return any(value is not None and value.value is not None for value in values)


def cost_figure(view: View) -> Drawing:
    """Speed against ECM."""
    title = "Cost against emotion"
    costs = cost_table(view.frame.run)
    costs = costs[costs["dataset"] == view.dataset]
    speeds = costs.set_index("model")["faces_per_second"].dropna()
    if not _has(view.frame, "ecm") or speeds.empty:
        reason = f"{title} needs ECM and the time that models took; this run has not both."
        return absent("cost", view.dataset, title, reason)
    rows = [row for row in view.frame.rows if not row.is_anchor and row.model in speeds.index]
    points = _points(view, [(row, Value(float(speeds[row.model]))) for row in rows])
    if not points:
        return absent("cost", view.dataset, title, _NO_POINT)
    ecm = view.frame.columns["ecm"]
    speed = Axis("Faces a second, higher is better", lower=False)
    return Drawing(
        kind="cost",
        dataset=view.dataset,
        judge=view.judge,
        title=title,
        caption=(
            "Faces a second (logarithmic; the model alone, on the machine of the run) against "
            "ECM: left and up is better. Times of other machines do not compare."
        ),
        words=_words(points, "ECM", "faces a second"),
        paint=lambda figure: _paint(figure, points, _axis(ecm), speed, anchors={}, log=True),
        size=(6.8, 4.0),
    )


def pareto(points: Sequence[Point], x_lower: bool, y_lower: bool) -> list[Point]:
    """The ranked models that no other ranked model beats or equals in both, ordered by x."""
    ranked = [point for point in points if point.ranked]
    front = []
    for point in ranked:
        x, y = _turned(point, x_lower, y_lower)
        others = [_turned(other, x_lower, y_lower) for other in ranked if other is not point]
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in others):
            front.append(point)
    return sorted(front, key=lambda point: point.x)


def _turned(point: Point, x_lower: bool, y_lower: bool) -> tuple[float, float]:
    return (point.x if x_lower else -point.x, point.y if y_lower else -point.y)


def _points(view: View, heights: Sequence[tuple[Row, Value]]) -> list[Point]:
    """A point for each row with ECM: its ECM against its value on the other axis."""
    points = []
    for row, y in heights:
        x = row.known("ecm")
        if x is None or (row.is_anchor and row.model != COMPARED_ANCHOR):
            continue
        a, b = float(x.value or 0.0), float(y.value or 0.0)
        if math.isfinite(a) and math.isfinite(b):
            ranked = row.is_ranked_by(view.headline_judge)
            points.append(Point(row.model, not row.is_anchor, ranked, a, b, x.interval, y.interval))
    return points


def _anchors(frame: Frame) -> dict[str, float]:
    """The ECM of a stranger's face and of the best constant face: no quality belongs to them."""
    rows = [row for row in frame.rows if row.is_anchor and row.model in LINES]
    return {row.model: row.number("ecm") for row in rows if row.known("ecm")}


def _words(points: Sequence[Point], x: str, y: str) -> str:
    names = [p.name if p.model else f"{p.name} (anchor)" for p in points]
    return "; ".join(
        f"{name}: {x} {p.x:.4g}, {y} {p.y:.4g}" for name, p in zip(names, points, strict=True)
    )


def _paint(
    figure: Figure,
    points: Sequence[Point],
    x: Axis,
    y: Axis,
    *,
    anchors: Mapping[str, float],
    log: bool = False,
) -> None:
    axes = figure.subplots()
    for name, style in looks([point.name for point in points if point.model]).items():
        _draw(axes, next(p for p in points if p.model and p.name == name), style, name)
    for point in points:
        if not point.model:
            _draw(axes, point, {"color": ANCHOR, "marker": "o"}, f"{point.name} (anchor)")
    front = pareto(points, x.lower, y.lower)
    axes.plot(
        [p.x for p in front], [p.y for p in front], color=INK, linewidth=0.9, alpha=0.5, zorder=1
    )
    for (name, value), pattern in zip(anchors.items(), ("--", ":"), strict=False):
        axes.axvline(value, color=ANCHOR, linewidth=1.2, linestyle=pattern, label=name, zorder=1)
    axes.set_xlabel(x.text)
    axes.set_ylabel(y.text)
    axes.margins(0.1)
    if log:
        _logarithmic(axes, [point.y for point in points])
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] in anchors)
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside right upper"
    )


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Few round numbers, whether the values span decades or next to nothing."""
    from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullLocator

    axes.set_yscale("log")
    narrow = max(values) < 10 * min(values)
    locator: Locator = MaxNLocator(5) if narrow else LogLocator(subs=(1.0, 2.0, 5.0))
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")


def _draw(axes: Axes, point: Point, style: Mapping[str, Any], label: str) -> None:
    axes.errorbar(
        point.x,
        point.y,
        xerr=_lengths(point.x, point.x_interval),
        yerr=_lengths(point.y, point.y_interval),
        linestyle="none",
        markersize=7.5,
        markerfacecolor=style["color"] if point.ranked else "none",
        elinewidth=1.1,
        label=label,
        zorder=3,
        **style,
    )


def _axis(column: Column) -> Axis:
    unit = f" ({column.spec.unit})" if column.spec.unit else ""
    return Axis(f"{column.label}{unit}, {column.spec.direction} is better", column.of_lower)


def _lengths(value: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """Error bars as matplotlib wants them; an interval that leaves its value out is cut there."""
    if interval is None:
        return None
    return [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]
