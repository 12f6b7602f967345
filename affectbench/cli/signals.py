"""Ending by a signal as by Ctrl-C: nothing temporary is left, and finished work is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP")  # there is no SIGHUP on Windows
_GRACE = 5.0
"""Seconds to tidy up in. A thread that hangs, such as one that reads from a dead network, must not
keep the process from ending."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end. No model and no metric can take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Meanwhile TERM and HUP raise Terminated, unless somebody handles or ignores them (nohup)."""
    before, ending = {}, []

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
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
