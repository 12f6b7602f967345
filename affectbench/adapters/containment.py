"""Calls into the code of models: whatever that does, nothing but its result comes of it.

Every call into a model goes through `contained`: building it, running it, and measuring what it
costs. What the code raises or exits with becomes a ModelError, what it prints goes to stderr, and
the state of the process is afterwards what it was before: see `affectbench.adapters.global_state`.
The code itself starts from fixed random numbers, so a network that draws its weights draws the
same ones in each run. A call costs less than a millisecond.

What the process itself cannot survive (a crash in native code, a call that never returns) or cannot
undo (functions of other modules that were replaced) needs a process of its own:
`affectbench.adapters.isolation`.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from affectbench.adapters.global_state import restore, seeded, snapshot
from affectbench.errors import AffectBenchError, ModelError

_LONGEST = 2000  # characters of a message: TorchScript quotes whole programs
_STATE = threading.RLock()  # the state belongs to all threads, so one call is made at a time


@contextmanager
def contained(name: str, seed: int = 0) -> Iterator[None]:
    """Run the code of the model `name` without letting it change anything else.

    Errors of affectbench and an interrupt by the user are passed on; all else that is raised,
    SystemExit too, becomes a ModelError. `seed` is where global random numbers start.
    """
    with _STATE, ExitStack() as stack:
        stack.callback(restore, snapshot())
        stack.enter_context(_same_inference_mode())
        stack.enter_context(seeded(seed))
        stack.enter_context(_printing_to_stderr())
        try:
            yield
        except (AffectBenchError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise ModelError(f"{name}: raised {_words(error)}") from error


def _words(error: BaseException) -> str:
    """Return class and message in one line; a message that cannot be made is left out."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # the class of an error is the model's code as well
        message = "its message cannot be shown"
    return f"{type(error).__name__}: {message}"[:_LONGEST]


@contextmanager
def _same_inference_mode() -> Iterator[None]:
    """Undo inference mode, autocast and gradient mode that were entered and never left."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    gradients = torch.is_grad_enabled()
    with torch.inference_mode(torch.is_inference_mode_enabled()):
        torch.set_grad_enabled(gradients)
        yield


@contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """Lead to stderr what Python, native code and subprocesses write to stdout.

    The streams of `sys` are put back with the rest of the state.
    """
    if sys.stdout is not None:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
    shown = sys.stdout = sys.stderr = _stderr_of_its_own()
    saved = [(number, os.dup(number)) for number in _open_descriptors()]
    if len(saved) == 2:
        os.dup2(2, 1)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            shown.flush()
        _flush_native_output()
        for number, kept in saved:
            os.dup2(kept, number)
            os.close(kept)


def _stderr_of_its_own() -> Any:
    """Return a stream to stderr that code can close or take apart without harm to others."""
    if sys.stderr is None:
        return io.StringIO()
    try:
        number = sys.stderr.fileno()
        return os.fdopen(number, "w", 1, "utf-8", "backslashreplace", closefd=False)
    except (AttributeError, OSError, ValueError):
        return _Lent(sys.stderr)  # that of a notebook: no file


class _Lent:
    """A stream that cannot be closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Leave it open."""


def _open_descriptors() -> list[int]:
    """Return 1 and 2 where they are stdout and stderr: once closed, they name other files."""
    streams = {1: sys.__stdout__, 2: sys.__stderr__}
    return [number for number, stream in streams.items() if stream is not None]


def _flush_native_output() -> None:
    """Write what `printf` of a library holds back, as long as that goes to stderr."""
    with suppress(AttributeError, OSError, TypeError):  # where there is no C library by that way
        ctypes.CDLL(None).fflush(None)
