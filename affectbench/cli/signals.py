"""End on a signal as on Ctrl-C: temporary files are removed, and finished work is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
_GRACE = 5.0
"""Seconds for cleaning up. A hanging thread, e.g. one reading from a dead network drive, must not
keep the process from ending."""


class Terminated(KeyboardInterrupt):
    """Request to end the process; not an Exception, so models and metrics cannot swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise Terminated on TERM and HUP inside, unless they are handled or ignored (nohup)."""
    before, ending = {}, []

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        watch = threading.Timer(_GRACE, os._exit, [128 + number])
        watch.daemon = True
        watch.start()
        ending.append(watch)
        raise Terminated(number)

    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
        before = {s: h for s in known if (h := signal.getsignal(s)) is signal.SIG_DFL}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for watch in ending:
            watch.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
