"""Containment of model code: a call has no effect but its result.

Every call into a model goes through `contained`: building it, running it, and measuring its cost.
Exceptions and exits become a ModelError, output goes to stderr, and the state of the process is
restored afterwards: see `affectbench.adapters.global_state`. The code starts from a fixed random
seed, so a network with random initialisation gets the same weights in each run. The overhead is
less than a millisecond per call.

What the process cannot survive (a crash in native code, a call that never returns) or undo
(functions of other modules that were replaced) needs a separate process:
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
_STATE = threading.RLock()  # the state is global to the process: one call at a time


@contextmanager
def contained(name: str, seed: int = 0) -> Iterator[None]:
    """Run the code of the model `name` without lasting effects on the process.

    AffectBenchError and KeyboardInterrupt are passed on; any other exception, even SystemExit,
    becomes a ModelError. `seed` seeds the global random generators.
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
    """Return an exception's class and message on one line, even if `str(error)` raises."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # the exception class may be model code as well
        message = "its message cannot be shown"
    return f"{type(error).__name__}: {message}"[:_LONGEST]


@contextmanager
def _same_inference_mode() -> Iterator[None]:
    """Undo inference mode, autocast and gradient mode that the model entered and did not exit."""
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
    """Redirect the stdout of Python, native code and subprocesses to stderr.

    The streams of `sys` are restored with the rest of the state.
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
    """Return a separate stream to stderr, which model code can close without side effects."""
    if sys.stderr is None:
        return io.StringIO()
    try:
        number = sys.stderr.fileno()
        return os.fdopen(number, "w", 1, "utf-8", "backslashreplace", closefd=False)
    except (AttributeError, OSError, ValueError):
        return _Uncloseable(sys.stderr)  # in a notebook stderr has no file descriptor


class _Uncloseable:
    """A stream that cannot be closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Leave it open."""


def _open_descriptors() -> list[int]:
    """Return those of 1 and 2 that are stdout and stderr; once closed, they may be other files."""
    streams = {1: sys.__stdout__, 2: sys.__stderr__}
    return [number for number, stream in streams.items() if stream is not None]


def _flush_native_output() -> None:
    """Flush the C library's stdio buffers while they still go to stderr."""
    with suppress(AttributeError, OSError, TypeError):  # no C library can be loaded this way
        ctypes.CDLL(None).fflush(None)
