"""Place the names of points in a plot: beside their point, and not on each other.

Coordinates are in any unit, y downwards; boxes are (left, top, right, bottom) and lines
(x, y, x, y). Text is taken to be as wide as in a common sans-serif.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Box: TypeAlias = tuple[float, float, float, float]
Line: TypeAlias = tuple[float, float, float, float]

ASPECT = 0.57
"""Mean width of a character, as a share of the font's size."""
_RADII = (0.0, 0.9, 1.8, 2.9, 4.2, 5.7, 7.4, 9.4)
"""Distances beyond the point's own size, in font sizes."""
_ANGLES = (0, 180, 35, -35, 145, -145, 90, -90, 65, -65, 115, -115, 15, -15, 165, -165)
_STEPS = np.linspace(0.0, 1.0, 15)[1:-1]
"""Where a line is looked at to see what it passes through: finer than a line of text."""


@dataclass(frozen=True)
class Mark:
    """A point to be named: where it is, and the boxes of its interval bars."""

    name: str
    x: float
    y: float
    bars: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Label:
    """A placed name; `leader` is the line to a point that is far away, else None."""

    box: Box
    leader: Line | None

    @property
    def middle(self) -> float:
        """The horizontal centre of the name."""
        return (self.box[0] + self.box[2]) / 2


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is; East Asian characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (len(text) + wide) * ASPECT * size


def placed(marks: Sequence[Mark], frame: Box, size: float, radius: float) -> list[Label]:
    """Return a label for each mark, in the least crowded and nearest of the places around it."""
    points = _array([(m.x - radius, m.y - radius, m.x + radius, m.y + radius) for m in marks])
    bars = _array([bar for mark in marks for bar in mark.bars])
    found: dict[int, Label] = {}
    # Points with many neighbours have few free places, so they choose first.
    at = _array([(m.x, m.y, m.x, m.y) for m in marks])[:, :2]
    near = np.linalg.norm(at[:, np.newaxis] - at, axis=2) < 6 * size
    for place in np.argsort(-near.sum(axis=1), kind="stable").tolist():
        boxes, leaders, is_far = _candidates(marks[place], size, radius)
        others = _array([label.box for label in found.values()])
        lines = _array([label.leader for label in found.values() if label.leader])
        cost = _crowding(boxes, others, points, bars, frame, size=size)
        cost += 20.0 * _through(lines, boxes).sum(axis=0)
        length = np.hypot(leaders[:, 2] - leaders[:, 0], leaders[:, 3] - leaders[:, 1])
        of_leader = 0.6 + 0.35 * length / size + 20.0 * _through(leaders, others).sum(axis=1)
        of_leader += 8.0 * _through(leaders, points).sum(axis=1)
        of_leader += 2.0 * _through(leaders, bars).sum(axis=1)  # one along a bar is not seen
        of_leader += 12.0 * _crossing(leaders, lines).sum(axis=1)
        best = int(np.argmin(cost + np.where(is_far, of_leader, 0.0)))
        left, top, right, bottom = boxes[best].tolist()
        x, y, u, v = leaders[best].tolist()
        found[place] = Label((left, top, right, bottom), (x, y, u, v) if is_far[best] else None)
    return [found[place] for place in range(len(marks))]


def _array(boxes: Sequence[Box]) -> Floats:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _candidates(mark: Mark, size: float, radius: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the places around a point: boxes, leaders, and whether they are far from it."""
    width, height = width_of(mark.name, size), size * 1.15
    far, angle = (grid.ravel() for grid in np.meshgrid(_RADII, np.radians(_ANGLES), indexing="ij"))
    across, down = np.cos(angle), -np.sin(angle)
    reach = radius + (0.3 + far) * size
    x, y = mark.x + reach * across, mark.y + reach * down
    # Diagonal places touch the point with a corner of the box, so that no bar crosses the name.
    aside, below = np.clip(1.6 * across, -1.0, 1.0), np.clip(1.6 * down, -1.0, 1.0)
    left, top = x - width * (1 - aside) / 2, y - height * (1 - below) / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    start = mark.x + radius * across, mark.y + radius * down
    return boxes, np.stack([*start, x, y], axis=1), far > 0


def _crowding(
    boxes: Floats, labels: Floats, points: Floats, bars: Floats, frame: Box, *, size: float
) -> Floats:
    """Return how bad each box is: on other labels, on points, on bars, or out of the plot."""
    area = size * size
    cost = 60.0 * _shared(boxes, labels).sum(axis=1) / area
    cost += 40.0 * _shared(boxes, points).sum(axis=1) / area
    cost += 12.0 * _shared(boxes, bars).sum(axis=1) / area
    low, high = np.array(frame[:2]) - boxes[:, :2], boxes[:, 2:] - np.array(frame[2:])
    outside: Floats = np.maximum(np.maximum(low, high), 0.0).sum(axis=1)
    whole: Floats = cost + 30.0 * outside / size
    return whole


def _shared(boxes: Floats, others: Floats) -> Floats:
    """Return the area that each box (N, 4) shares with each other one (M, 4)."""
    own = boxes[:, np.newaxis]
    sides = np.minimum(own[..., 2:], others[:, 2:]) - np.maximum(own[..., :2], others[:, :2])
    areas: Floats = np.maximum(sides, 0.0).prod(axis=2)
    return areas


def _through(lines: Floats, boxes: Floats) -> NDArray[np.bool_]:
    """Return whether each line (N, 4) passes through each box (M, 4)."""
    ends = lines[:, np.newaxis, 2:] - lines[:, np.newaxis, :2]
    steps = lines[:, np.newaxis, :2] + ends * _STEPS[:, np.newaxis]
    steps = steps[:, np.newaxis]
    low, high = boxes[:, np.newaxis, :2], boxes[:, np.newaxis, 2:]
    inside = np.all((steps > low) & (steps < high), axis=3)
    found: NDArray[np.bool_] = np.any(inside, axis=2)
    return found


def _crossing(lines: Floats, others: Floats) -> NDArray[np.bool_]:
    """Return whether each line (N, 4) crosses each other one (M, 4)."""
    own, other = lines[:, np.newaxis], others[np.newaxis]
    apart = _side(own, other[..., :2]) != _side(own, other[..., 2:])
    found: NDArray[np.bool_] = apart & (_side(other, own[..., :2]) != _side(other, own[..., 2:]))
    return found


def _side(line: Floats, point: Floats) -> NDArray[np.bool_]:
    run, rise = line[..., 2] - line[..., 0], line[..., 3] - line[..., 1]
    found: NDArray[np.bool_] = run * (point[..., 1] - line[..., 1]) > rise * (
        point[..., 0] - line[..., 0]
    )
    return found
