"""Place the names of points in a plot: beside their point, and not on each other.

Coordinates are in any unit, y downwards. Text is taken to be as wide as in a common sans-serif.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ASPECT = 0.57
"""Mean width of a character, as a share of the font's size."""
_RADII = (0.0, 0.9, 1.8, 2.9, 4.2, 5.7, 7.4, 9.4)
"""Distances beyond the point's own size, in font sizes."""
_ANGLES = (0, 180, 35, -35, 145, -145, 90, -90, 65, -65, 115, -115, 15, -15, 165, -165)


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """Return the area that two boxes share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self, frame: Box) -> float:
        """Return how far it reaches out of a frame."""
        across = max(frame.left - self.left, self.right - frame.right, 0.0)
        return across + max(frame.top - self.top, self.bottom - frame.bottom, 0.0)


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
    leader: tuple[float, float, float, float] | None


def placed(marks: Sequence[Mark], frame: Box, size: float, radius: float) -> list[Label]:
    """Return a label for each mark: the first free place around it, or the least crowded one."""
    points = [Box(m.x - radius, m.y - radius, m.x + radius, m.y + radius) for m in marks]
    bars = [bar for mark in marks for bar in mark.bars]
    found: dict[int, Label] = {}
    # Points with many neighbours have few free places, so they choose first.
    reach = 6 * size
    crowd = [sum(math.hypot(m.x - o.x, m.y - o.y) < reach for o in marks) for m in marks]
    for place in sorted(range(len(marks)), key=lambda i: -crowd[i]):
        taken = [label.box for label in found.values()]
        lines = [label.leader for label in found.values() if label.leader]
        costs = (
            (_cost(candidate, (taken, points, bars, lines), frame, size), step, candidate)
            for step, candidate in enumerate(_candidates(marks[place], size, radius))
        )
        found[place] = min(costs, key=lambda cost: cost[:2])[2]
    return [found[place] for place in range(len(marks))]


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is; East Asian characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (len(text) + wide) * ASPECT * size


def _candidates(mark: Mark, size: float, radius: float) -> Iterator[Label]:
    width, height = width_of(mark.name, size), size * 1.15
    for far in _RADII:
        for angle in _ANGLES:
            turn = math.radians(angle)
            across, down = math.cos(turn), -math.sin(turn)
            reach = radius + 0.3 * size + far * size
            x, y = mark.x + reach * across, mark.y + reach * down
            left = x - width * (1 - across) / 2
            top = y - height * (1 - down) / 2
            box = Box(left, top, left + width, top + height)
            start = (mark.x + radius * across, mark.y + radius * down)
            leader = (*start, x, y) if far else None
            yield Label(box, leader)


_Taken = tuple[
    Sequence[Box], Sequence[Box], Sequence[Box], Sequence[tuple[float, float, float, float]]
]


def _cost(label: Label, taken: _Taken, frame: Box, size: float) -> float:
    """Return how bad a place is: on other labels, on points, out of the plot, on bars, far away."""
    labels, points, bars, lines = taken
    area = size * size
    box = label.box
    cost = 60.0 * sum(box.shared(other) for other in labels) / area
    cost += 40.0 * sum(box.shared(point) for point in points) / area
    cost += 30.0 * box.outside(frame) / size
    cost += 4.0 * sum(box.shared(bar) for bar in bars) / area
    cost += 20.0 * sum(_crosses(line, box) for line in lines)
    if label.leader is not None:
        x, y, u, v = label.leader
        cost += 0.6 + 0.35 * math.hypot(u - x, v - y) / size
        cost += 20.0 * sum(_crosses(label.leader, other) for other in labels)
        cost += 8.0 * sum(_crosses(label.leader, point) for point in points)
        cost += 12.0 * sum(_cross(label.leader, line) for line in lines)
    return cost


def _crosses(line: tuple[float, float, float, float], box: Box) -> bool:
    """Whether a line passes through a box, sampled finely enough for text."""
    x, y, u, v = line
    steps = [(x + (u - x) * i / 12, y + (v - y) * i / 12) for i in range(1, 13)]
    return any(box.left < a < box.right and box.top < b < box.bottom for a, b in steps)


def _cross(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    """Whether two lines cross."""
    a, b, c, d = one
    e, f, g, h = other
    return _side(a, b, c, d, e, f) != _side(a, b, c, d, g, h) and _side(e, f, g, h, a, b) != _side(
        e, f, g, h, c, d
    )


def _side(a: float, b: float, c: float, d: float, x: float, y: float) -> bool:
    return (c - a) * (y - b) > (d - b) * (x - a)
