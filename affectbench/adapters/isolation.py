"""A model in its own process: one that crashes, exits or never returns costs only its row.

Results are bitwise the same as in-process: the child has the same threads and settings and runs the
same code. Its standard output is redirected to stderr, it has no input, and it ends with this
process, however that ends: the kernel sends SIGIO to the child's process group once the other end
of a pipe, to which nobody writes, is closed.

The child is `adapters.isolation_child`. It is not a sandbox: it has the user's permissions.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, BinaryIO

import torch

from affectbench.adapters.containment import contained
from affectbench.adapters.global_state import portable_state
from affectbench.adapters.messages import packed, receive, send, unpacked
from affectbench.errors import InputError, ModelError
from affectbench.types import Model, ModelSpec

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE, _LAST_WORDS = 1.0, 10.0  # seconds
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from affectbench.adapters.isolation_child import serve; serve(*map(int, sys.argv[2:]))"
)

ModelFunction = Callable[[Model, torch.Tensor], dict[str, float]]


def load_isolated(
    argument: str, scale: int, device: torch.device, lr_size: int, timeout: float | None
) -> Model:
    """Return the model of an argument, loaded and run in a child process.

    Raises ModelError if it cannot be loaded; calls raise ModelError if the child dies or takes
    longer than `timeout` seconds.
    """
    if fcntl is None:
        raise InputError("--isolate and --timeout need the pipes of Linux or macOS")
    child = _Child(argument, timeout)
    child.ask({"do": "start", "state": portable_state()}, timed=False)
    wanted = {"scale": scale, "device": str(device), "lr_size": lr_size}
    about, _ = child.ask({"do": "load", **wanted})
    return IsolatedModel(child, _spec(about["spec"]))


class IsolatedModel:
    """A model that runs in a child process."""

    def __init__(self, child: _Child, spec: ModelSpec) -> None:
        self.spec = spec
        self.unforeseen = ""
        self._child = child

    def final_spec(self) -> ModelSpec:
        """Return the spec after the last call: see `identity.Watched`."""
        try:
            about, _ = self._child.ask({"do": "spec"})
        except ModelError:  # the child has died, and the row has failed already
            return self.spec
        return _spec(about["spec"])

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR for LR."""
        about, data = packed(lr)
        about, data = self._child.ask({"do": "run", "seed": torch.initial_seed(), **about}, data)
        self.unforeseen = str(about["lacks"])
        return unpacked(about, data).to(lr.device)

    def apply(self, measure: ModelFunction, lr: torch.Tensor) -> dict[str, float]:
        """Call a function of this library, importable by name, on model and LR in the child."""
        about, data = packed(lr)
        where = {"module": measure.__module__, "function": measure.__name__}
        answer, _ = self._child.ask({"do": "apply", **where, **about}, data)
        return {str(name): float(value) for name, value in answer["result"].items()}


def apply(measure: ModelFunction, model: Model, lr: torch.Tensor) -> dict[str, float]:
    """Return `measure(model, lr)`, computed in the model's process."""
    if isinstance(model, IsolatedModel):
        return model.apply(measure, lr)
    with contained(model.spec.name):
        return measure(model, lr)


class _Child:
    """The process of one model, and why it ended."""

    def __init__(self, argument: str, timeout: float | None) -> None:
        self._argument = argument
        self._timeout = timeout
        self._late = False
        asked, asking = os.pipe()
        answers, answering = os.pipe()
        lifeline, kept = os.pipe()
        theirs = (asked, answering, lifeline)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, json.dumps(sys.path), *map(str, theirs)],
            stdin=subprocess.DEVNULL,
            stdout=2 if sys.__stderr__ is not None else subprocess.DEVNULL,
            pass_fds=theirs,
            start_new_session=True,
        )
        for number in theirs:
            os.close(number)
        self._to, self._from = os.fdopen(asking, "wb"), os.fdopen(answers, "rb")
        self._end = weakref.finalize(self, _end, self._process, kept, self._to, self._from)

    def ask(
        self, header: dict[str, Any], data: bytes = b"", timed: bool = True
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and return the response; raise ModelError for an error or no response."""
        clock = None
        if timed and self._timeout is not None:
            clock = threading.Timer(self._timeout, self._stop_late)
            clock.daemon = True
            clock.start()
        try:
            send(self._to, {**header, "argument": self._argument}, data)
            while not wait([self._from.fileno()], _PATIENCE):
                if self._process.poll() is not None:  # but a descendant keeps the pipe open
                    raise EOFError
            about, answer = receive(self._from)
        except (OSError, EOFError, ValueError, struct.error, MemoryError) as error:
            raise ModelError(f"{self._argument}: {self._fate()}") from error
        except BaseException:  # such as Ctrl-C: the pending response would be read out of order
            self._end()
            raise
        finally:
            if clock is not None:
                clock.cancel()
        if "error" in about:
            raise ModelError(str(about["error"]))
        return about, answer

    def _stop_late(self) -> None:
        self._late = True
        _kill(self._process)

    def _fate(self) -> str:
        try:
            self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._end()
            return "its process gave no answer, and was ended"
        self._end()
        code = self._process.returncode
        if self._late:
            return f"did not return within {self._timeout:g} s (--timeout), and was ended"
        if code >= 0:
            return f"ended its process with exit code {code}"
        hint = " (is memory short?)" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and its descendants."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes], lifeline: int, *pipes: BinaryIO) -> None:
    _kill(process)
    process.wait()
    os.close(lifeline)
    for pipe in pipes:
        with suppress(OSError):
            pipe.close()


def _spec(fields: dict[str, Any]) -> ModelSpec:
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()
    }
    return ModelSpec(**values)
