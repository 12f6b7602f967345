"""Models as points: ECM against quality or speed, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.cost import speeds_of
from affectbench.results.faces import COMPARED_ANCHOR
from affectbench.results.frame import Frame, Row, Value
from affectbench.results.views import View

LINES = ("wrong-face", "one-face")


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


def quality_column(frame: Frame) -> Column | None:
    """Return the best measure of image quality that the run has, or None."""
    columns = frame.columns.values()
    found = [c for c in columns if c.spec.quality_axis > 0 and has_values(frame, c.name)]
    return max(found, key=lambda column: column.spec.quality_axis, default=None)


def has_values(frame: Frame, column: str) -> bool:
    """Whether at least one cell of the column did not fail."""
    values = (row.values.get(column) for row in frame.rows)
    return any(value is not None and value.value is not None for value in values)


def quality_points(view: View, quality: Column) -> list[Point]:
    """Return a point for each model, and bicubic, that has ECM and a quality value."""
    numbers = [(row, row.known(quality.name)) for row in view.frame.rows]
    return _points(view, [(row, value) for row, value in numbers if value])


def speed_points(view: View) -> list[Point]:
    """Return a point for each model that has ECM and a speed in faces per second."""
    speeds = speeds_of(view.frame.run, view.dataset)
    rows = [row for row in view.frame.rows if not row.is_anchor and row.model in speeds]
    return _points(view, [(row, Value(speeds[row.model])) for row in rows])


def pareto(points: Sequence[Point], x_lower: bool, y_lower: bool) -> list[Point]:
    """Return the ranked models that no other ranked model dominates, sorted by x."""
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
    """Return a point for each row with ECM: its ECM against its value on the other axis."""
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


def anchor_lines(frame: Frame) -> dict[str, float]:
    """Return the ECM of a stranger's face and of the best constant face, which have no quality."""
    rows = [row for row in frame.rows if row.is_anchor and row.model in LINES]
    return {row.model: row.number("ecm") for row in rows if row.known("ecm")}
