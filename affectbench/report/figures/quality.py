"""Quality against emotion, and cost against emotion: a point for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affectbench.report.figures.drawing import Drawing, absent
from affectbench.report.figures.style import ANCHOR, INK, Key, keys_of, looks
from affectbench.results.columns import Column
from affectbench.results.cost import speeds_of
from affectbench.results.facts import quality_labels
from affectbench.results.points import (
    Point,
    anchor_lines,
    has_values,
    pareto,
    quality_column,
    quality_points,
    speed_points,
)
from affectbench.results.views import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NO_POINT = "No model has a value on both axes."


@dataclass(frozen=True)
class Axis:
    """The label of an axis, and whether lower is better."""

    text: str
    lower: bool


def quality_figure(view: View) -> Drawing:
    """Return a figure of ECM against image quality, with intervals and the Pareto front."""
    title = "Quality against emotion"
    quality = quality_column(view.frame)
    if not has_values(view.frame, "ecm") or quality is None:
        *others, last = quality_labels()
        known = f"{', '.join(others)} and {last}"
        reason = f"{title} needs ECM and one of {known}; this run has not both."
        return absent("quality", view.dataset, title, reason)
    points, anchors = quality_points(view.frame, quality), anchor_lines(view.frame)
    if not points:
        return absent("quality", view.dataset, title, _NO_POINT)
    return Drawing(
        kind="quality",
        dataset=view.dataset,
        judge=view.judge,
        title=title,
        caption=(
            f"{quality.label} and ECM of each model with 95 % intervals: up and to the right is "
            "better. The thin line joins the models that no other model beats in both; models "
            "trained on these faces or against this judge are hollow. Dashed "
            "and dotted: the ECM of anchors that show another face."
        ),
        words=_words(points, quality.label, "ECM"),
        paint=lambda figure: _paint(
            figure, points, _axis(quality), _axis(view.frame.columns["ecm"]), anchors=anchors
        ),
        size=(6.8, 4.2),
        keys=_keys(points, anchors),
    )


def cost_figure(view: View) -> Drawing:
    """Return a figure of speed against ECM."""
    title = "Cost against emotion"
    if not has_values(view.frame, "ecm") or not speeds_of(view.frame.run, view.dataset):
        reason = f"{title} needs ECM and the time that models took; this run has not both."
        return absent("cost", view.dataset, title, reason)
    points = speed_points(view.frame, view.dataset)
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
            "Faces a second (logarithmic; the model alone, on the machine of the run) and ECM: up "
            "and to the right is better. Times of other machines do not compare."
        ),
        words=_words(points, "faces a second", "ECM"),
        paint=lambda figure: _paint(figure, points, speed, _axis(ecm), anchors={}, log=True),
        size=(6.8, 4.0),
        keys=_keys(points, {}),
    )


def _keys(points: Sequence[Point], anchors: Mapping[str, float]) -> tuple[Key, ...]:
    """Return the legend: the models, then the anchors as points and as lines."""
    models = [point for point in points if point.model]
    hollow = {point.name for point in models if not point.ranked}
    others = [Key(f"{point.name} (anchor)", ANCHOR) for point in points if not point.model]
    lines = [Key(n, ANCHOR, dashed=d) for n, d in zip(anchors, ("4 3", "1 3"), strict=False)]
    return (*keys_of([point.name for point in models], hollow), *others, *lines)


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
        axes.axhline(value, color=ANCHOR, linewidth=1.2, linestyle=pattern, label=name, zorder=1)
    axes.set_xlabel(x.text)
    axes.set_ylabel(y.text)
    axes.margins(0.1)
    axes.xaxis.set_inverted(x.lower)
    axes.yaxis.set_inverted(y.lower)
    if log:
        _logarithmic(axes, [point.x for point in points])
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] in anchors)
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside right upper"
    )


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Use a log scale with a few round ticks, whether the range is decades or very narrow."""
    from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullLocator

    axes.set_xscale("log")
    narrow = max(values) < 10 * min(values)
    locator: Locator = MaxNLocator(5) if narrow else LogLocator(subs=(1.0, 2.0, 5.0))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}")


def _draw(axes: Axes, point: Point, style: Mapping[str, Any], label: str) -> None:
    axes.errorbar(
        point.x,
        point.y,
        xerr=lengths(point.x, point.x_interval),
        yerr=lengths(point.y, point.y_interval),
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


def lengths(value: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """Return error bars as matplotlib expects; clip an interval that excludes its value."""
    if interval is None:
        return None
    return [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]
