"""What no input may do: run something, write outside of its folder, hang, or end in a traceback."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from affectbench.cli.main import main
from affectbench.errors import AffectBenchError

SECONDS = 60  # by the clock: a loaded machine is no hang
_RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "socket.connect"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class BrokenCaseError(Exception):
    """A case that did what no input may do."""


class _Watch:
    """One audit hook for the process; it looks only while a case runs."""

    def __init__(self) -> None:
        self.room: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.room is None:
            return
        if event in _RUNS:
            self.seen.append(f"{event} {arguments[:1]}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & _WRITES:
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if path != os.devnull and not path.startswith(f"{self.room}{os.sep}"):
                self.seen.append(f"writes {path}")


_WATCH = _Watch()


def _hung(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"hung for {SECONDS} s")


@contextmanager
def watched(room: Path) -> Iterator[None]:
    """Everything inside may write below `room` alone, run nothing, and take `SECONDS` at most."""
    signal.signal(signal.SIGALRM, _hung)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
    _WATCH.room, _WATCH.seen = Path(os.path.realpath(room)), []
    try:
        yield
    finally:
        _WATCH.room = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    if _WATCH.seen:
        raise BrokenCaseError("; ".join(_WATCH.seen[:3]))


def refused(call: Callable[[], object]) -> bool:
    """Whether a function refuses its input by one of the library's errors; others go on."""
    try:
        call()
    except AffectBenchError as error:
        _require_plain(str(error))
        return True
    return False


def command(*words: object) -> bool:
    """Run the command; whether it ended with 1 or 2.

    Raises BrokenCaseError for another code, a traceback and raw terminal escapes.
    """
    out, errors = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            code: Any = main([str(word) for word in words])
    except SystemExit as ended:  # argparse
        code = ended.code
    if code not in (0, 1, 2):
        raise BrokenCaseError(f"exit code {code!r}")
    _require_plain(out.getvalue() + errors.getvalue())
    return code != 0


def _require_plain(text: str) -> None:
    if "Traceback" in text:
        raise BrokenCaseError("a traceback was printed")
    if "\x1b" in text:
        raise BrokenCaseError("a terminal escape was printed")
