"""A model in a process of its own: one that crashes, exits or never returns costs its row alone.

Results are to the last bit those of the same process: the child has the same threads and settings
and runs the same code. Its standard output is stderr, it has no input, and it ends with this
process, however that ends: the kernel sends SIGIO to the child's process group once the other end
of a pipe, which nobody writes to, is closed.

The child is `adapters.isolation_child`. It is no sandbox: it has the rights of its user.
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
    """Return the model of an argument, loaded and run by a child.

    ModelError if it cannot be loaded; the same of each call that the child does not survive, or
    that takes longer than `timeout` seconds.
    """
    if fcntl is None:
        raise InputError("--isolate and --timeout need the pipes of Linux or macOS")
    child = _Child(argument, timeout)
    child.ask({"do": "start", "state": portable_state()}, timed=False)
    wanted = {"scale": scale, "device": str(device), "lr_size": lr_size}
    about, _ = child.ask({"do": "load", **wanted})
    return IsolatedModel(child, _spec(about["spec"]))


class IsolatedModel:
    """A model that a child runs."""

    def __init__(self, child: _Child, spec: ModelSpec) -> None:
        self.spec = spec
        self.unforeseen = ""
        self._child = child

    def final_spec(self) -> ModelSpec:
        """The spec after the last call: see `identity.Watched`."""
        try:
            about, _ = self._child.ask({"do": "spec"})
        except ModelError:  # the child is gone, and the row has failed of that
            return self.spec
        return _spec(about["spec"])

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """What the model gives for LR."""
        about, data = packed(lr)
        about, data = self._child.ask({"do": "run", "seed": torch.initial_seed(), **about}, data)
        self.unforeseen = str(about["lacks"])
        return unpacked(about, data).to(lr.device)

    def apply(self, measure: ModelFunction, lr: torch.Tensor) -> dict[str, float]:
        """What a function of this library, importable by its name, says of the model and LR."""
        about, data = packed(lr)
        where = {"module": measure.__module__, "function": measure.__name__}
        answer, _ = self._child.ask({"do": "apply", **where, **about}, data)
        return {str(name): float(value) for name, value in answer["result"].items()}


def apply(measure: ModelFunction, model: Model, lr: torch.Tensor) -> dict[str, float]:
    """Return `measure(model, lr)`, computed where the model is."""
    if isinstance(model, IsolatedModel):
        return model.apply(measure, lr)
    with contained(model.spec.name):
        return measure(model, lr)


class _Child:
    """The process of one model, and what to say of it once it is gone."""

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
        """Return what the child answers; ModelError if that is an error or nothing."""
        clock = None
        if timed and self._timeout is not None:
            clock = threading.Timer(self._timeout, self._stop_late)
            clock.daemon = True
            clock.start()
        try:
            send(self._to, {**header, "argument": self._argument}, data)
            while not wait([self._from.fileno()], _PATIENCE):
                if self._process.poll() is not None:  # and another one holds its end of the pipe
                    raise EOFError
            about, answer = receive(self._from)
        except (OSError, EOFError, ValueError, struct.error, MemoryError) as error:
            raise ModelError(f"{self._argument}: {self._fate()}") from error
        except BaseException:  # such as Ctrl-C: an answer that nobody waits for is under way
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
    """End the child and whatever it started."""
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
