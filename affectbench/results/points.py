"""Models as points: quality or speed across, ECM upwards, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from affectbench.results.columns import Column
from affectbench.results.cost import speeds_of
from affectbench.results.faces import COMPARED_ANCHOR
from affectbench.results.frame import Frame, Row, Value

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


def quality_points(frame: Frame, quality: Column, emotion: str = "ecm") -> list[Point]:
    """Return a point for each model, and bicubic, that has both values."""
    numbers = [(row, row.known(quality.name)) for row in frame.rows]
    return _points(frame, [(row, value) for row, value in numbers if value], emotion)


def speed_points(frame: Frame, dataset: str) -> list[Point]:
    """Return a point for each model that has ECM and a speed in faces per second."""
    speeds = speeds_of(frame.run, dataset)
    rows = [row for row in frame.rows if not row.is_anchor and row.model in speeds]
    return _points(frame, [(row, Value(speeds[row.model])) for row in rows], "ecm")


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


def _points(frame: Frame, places: Sequence[tuple[Row, Value]], emotion: str) -> list[Point]:
    """Return a point for each row with both: its value across, and its `emotion` upwards."""
    points = []
    for row, across in places:
        upwards = row.known(emotion)
        if upwards is None or (row.is_anchor and row.model != COMPARED_ANCHOR):
            continue
        x, y = float(across.value or 0.0), float(upwards.value or 0.0)
        if math.isfinite(x) and math.isfinite(y):
            ranked = row.is_ranked_by(frame.columns[emotion].scorer)
            model = not row.is_anchor
            points.append(Point(row.model, model, ranked, x, y, across.interval, upwards.interval))
    return points


def anchor_lines(frame: Frame) -> dict[str, float]:
    """Return the ECM of a stranger's face and of the best constant face, which have no quality."""
    rows = [row for row in frame.rows if row.is_anchor and row.model in LINES]
    return {row.model: row.number("ecm") for row in rows if row.known("ecm")}
