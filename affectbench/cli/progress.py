"""Progress on stderr: faces done, faces a second, time left. Silent if it is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from affectbench.texts import printable


class Reporter:
    """What a run tells about itself."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Say what is going on."""
        if self._bars.console.is_terminal:
            shown = printable(text)
            self._bars.console.print(shown, style="dim", markup=False, highlight=False)

    def advance(self, name: str, done: int, total: int) -> None:
        """`done` of `total` faces of a data set are finished."""
        if name not in self._tasks or done <= self._bars.tasks[self._tasks[name]].completed:
            self._tasks[name] = self._bars.add_task(printable(name), total=total, speed="")
        task = self._tasks[name]
        self._bars.update(task, completed=done)
        speed = self._bars.tasks[task].speed
        self._bars.update(task, speed=f"{speed:.0f} faces/s" if speed else "")


@contextmanager
def reporter() -> Iterator[Reporter]:
    """A reporter for the time of one run."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr or StringIO())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield Reporter(bars)
