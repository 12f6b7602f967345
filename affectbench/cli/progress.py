"""Progress on stderr: faces done, speed, time left. Silent unless stderr is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from affectbench.texts import printable


class Reporter:
    """Shows the progress of a run."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Show what the run is doing."""
        if self._bars.console.is_terminal:
            shown = printable(text)
            self._bars.console.print(shown, style="dim", markup=False, highlight=False)

    def advance(self, name: str, done: int, total: int) -> None:
        """Record that `done` of `total` faces of a data set are finished."""
        if name not in self._tasks or done <= self._bars.tasks[self._tasks[name]].completed:
            self._tasks[name] = self._bars.add_task(printable(name), total=total, speed="")
        task = self._tasks[name]
        self._bars.update(task, completed=done)
        speed = self._bars.tasks[task].speed
        self._bars.update(task, speed=f"{speed:.0f} faces/s" if speed else "")


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Yield a reporter for the duration of one run."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with _bars(*columns) as bars:
        yield Reporter(bars)


@contextmanager
def download(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a callback for a download: bytes done, and total bytes if known."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with _bars(*columns) as bars:
        task = bars.add_task(printable(name), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _bars(*columns: ProgressColumn) -> Progress:
    console = Console(file=sys.stderr or StringIO())
    return Progress(*columns, console=console, disable=not console.is_terminal)
