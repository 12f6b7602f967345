"""The plot of a board: quality against emotion, drawn as SVG of the page's own fonts and colours.

It is drawn for wide and for narrow windows, so that its text always has the size of the page's.
Up and to the right is better, whatever the metrics' directions are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from affectbench.report.labels import Box, Label, Mark, placed
from affectbench.results.columns import Column
from affectbench.results.frame import Frame
from affectbench.results.points import Point, has_values, quality_points
from affectbench.results.ranks import ranks

FONT, RADIUS = 12.0, 4.5


@dataclass(frozen=True)
class Size:
    """The outer size of a drawing, its margins, and how many ticks its axes bear."""

    name: str
    width: float
    height: float
    left: float = 56.0
    right: float = 14.0
    top: float = 30.0
    bottom: float = 44.0
    ticks: int = 6

    @property
    def frame(self) -> Box:
        """The area of the points."""
        return (self.left, self.top, self.width - self.right, self.height - self.bottom)


SIZES = (Size("wide", 880, 430), Size("narrow", 360, 430, left=48.0, right=6.0, ticks=4))


@dataclass(frozen=True)
class Tick:
    """A tick: its place and its number."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A point of a model: its kind, its place, the ends of its intervals, and its name."""

    name: str
    kind: str
    x: float
    y: float
    across: tuple[float, float]
    down: tuple[float, float]
    label: Label


@dataclass(frozen=True)
class Drawn:
    """A drawing of one size."""

    size: Size
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Plot:
    """A metric of quality against the headline, with its text alternative."""

    quality: Column
    emotion: Column
    words: str
    drawings: tuple[Drawn, ...]


def plots(frame: Frame, emotion: Column) -> list[Plot]:
    """Return a plot for each measure of quality that the board has, the best measure first."""
    found = [
        column
        for column in frame.columns.values()
        if column.spec.quality_axis > 0 and not column.judge and has_values(frame, column.name)
    ]
    found.sort(key=lambda column: -column.spec.quality_axis)
    drawn = [_plot(frame, emotion, quality) for quality in found if quality != emotion]
    return [plot for plot in drawn if plot is not None]


def _plot(frame: Frame, emotion: Column, quality: Column) -> Plot | None:
    points = [p for p in quality_points(frame, quality, emotion.name) if p.model]
    if not points:
        return None
    firsts = {
        row.model
        for row, rank in zip(frame.rows, ranks(frame.rows, emotion), strict=True)
        if rank is not None and rank.is_first
    }
    kinds = ["first" if p.name in firsts else "ranked" if p.ranked else "open" for p in points]
    words = "; ".join(
        f"{p.name}: {quality.label} {p.x:.4g}, {emotion.label} {p.y:.4g}" for p in points
    )
    drawings = tuple(_drawn(points, kinds, quality, emotion, size) for size in SIZES)
    return Plot(quality, emotion, words, drawings)


def _drawn(
    points: Sequence[Point], kinds: Sequence[str], quality: Column, emotion: Column, size: Size
) -> Drawn:
    frame = size.frame
    xs = [(p.x, p.x_interval) for p in points]
    ys = [(p.y, p.y_interval) for p in points]
    left, top, right, bottom = frame
    across = _scale(xs, (left, right), quality.of_lower)
    down = _scale(ys, (bottom, top), emotion.of_lower)
    places = [(across.at(p.x), down.at(p.y)) for p in points]
    bars = [(across.ends(p.x, p.x_interval), down.ends(p.y, p.y_interval)) for p in points]
    marks = [
        Mark(p.name, x, y, ((a[0], y - 1, a[1], y + 1), (x - 1, d[0], x + 1, d[1])))
        for p, (x, y), (a, d) in zip(points, places, bars, strict=True)
    ]
    labels = placed(marks, frame, FONT, RADIUS)
    dots = tuple(
        Dot(p.name, kind, x, y, a, d, label)
        for p, kind, (x, y), (a, d), label in zip(points, kinds, places, bars, labels, strict=True)
    )
    return Drawn(size, across.ticks(size.ticks), down.ticks(6), dots)


@dataclass(frozen=True)
class _Scale:
    """A linear axis from the worst number at `start` to the best at `end`, in user units."""

    low: float
    high: float
    start: float
    end: float
    of_lower: bool

    def at(self, number: float) -> float:
        """Return the place of a number."""
        share = (number - self.low) / (self.high - self.low)
        share = 1.0 - share if self.of_lower else share
        return self.start + share * (self.end - self.start)

    def ends(self, number: float, interval: tuple[float, float] | None) -> tuple[float, float]:
        """Return the ends of an interval, the smaller coordinate first."""
        low, high = sorted(self.at(end) for end in interval or (number, number))
        return low, high

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """Return round numbers on the axis."""
        step = _round_step((self.high - self.low) / most)
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        numbers = [step * k for k in range(first, last + 1)]
        return tuple(Tick(self.at(number), f"{number:.{places}f}") for number in numbers)


def _scale(
    values: Sequence[tuple[float, tuple[float, float] | None]],
    ends: tuple[float, float],
    of_lower: bool,
) -> _Scale:
    """Return an axis that holds all values and their intervals, with some room around them."""
    numbers = [number for value, interval in values for number in (value, *(interval or ()))]
    numbers = [number for number in numbers if math.isfinite(number)]
    low, high = min(numbers), max(numbers)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return _Scale(low - room, high + room, *ends, of_lower)


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, ... that is at least so large."""
    size = 10.0 ** math.floor(math.log10(least))
    return size * next(factor for factor in (1, 2, 5, 10) if factor * size >= least * (1 - 1e-9))
