"""Snapshots of process-wide state that model code can change: read it, and restore it.

The state is a table with one row per item. An item that cannot be read in this process (a deleted
directory, a setting that this version of torch lacks) is left alone. If torch is not loaded, it has
no state. Not covered: the number of torch's inter-op threads, which can be set only once, and
functions of other modules that were replaced; a separate process is the remedy for those.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from affectbench.adapters.process_state import UNKNOWN, State, attribute
from affectbench.registry import Late

Snapshot = list[tuple[State, Any]]


def snapshot() -> Snapshot:
    """Return the current state of the process."""
    read = ((state, state.read()) for state in _states("torch" in sys.modules))
    return [(state, value) for state, value in read if value is not UNKNOWN]


def restore(saved: Snapshot) -> None:
    """Reset whatever differs from the snapshot."""
    for state, value in saved:
        if state.read() != value:
            with suppress(Exception):
                state.put(value)


def portable_state() -> dict[str, Any]:
    """Return the settings of torch that affect results, as plain data."""
    return {state.name: value for state, value in snapshot() if state.portable}


def set_portable_state(values: Mapping[str, Any]) -> None:
    """Apply the portable settings of another process to this one."""
    restore([(state, values[state.name]) for state in _states(True) if state.name in values])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every global random generator, and restore its state afterwards."""
    generators = list(_generators())
    saved = [get() for get, _, _ in generators]
    for _, _, start in generators:
        start(seed)
    try:
        yield
    finally:
        for (_, put, _), state in zip(generators, saved, strict=True):
            put(state)


def _generators() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any], Callable[[int], Any]]]:
    yield random.getstate, random.setstate, random.seed
    yield np.random.get_state, np.random.set_state, np.random.seed
    torch = sys.modules.get("torch")
    if torch is None:
        return
    cuda = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    for generator in (torch.default_generator, *cuda):
        yield generator.get_state, generator.set_state, generator.manual_seed


_of_torch = Late("affectbench.adapters.torch_state:states")


@cache
def _states(with_torch: bool) -> tuple[State, ...]:
    return (*_of_python(), *_of_pillow(), *(_of_torch() if with_torch else ()))


def _of_python() -> Iterator[State]:
    yield State("working directory", os.getcwd, os.chdir)
    yield State("environment", os.environ.copy, _set_environment)
    yield State("umask", lambda: os.umask(os.umask(0o077)), os.umask)
    every_category = partial(locale.setlocale, locale.LC_ALL)
    yield State("locale", every_category, every_category)
    yield State("signal handlers", _signals, _set_signals)
    yield State("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)
    yield State("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable())
    yield State("sys.path", lambda: list(sys.path), _set_path)
    yield State("sys.argv", lambda: list(sys.argv), lambda v: setattr(sys, "argv", v))
    for name in ("dont_write_bytecode", "excepthook", "stdin", "stdout", "stderr"):
        yield attribute(sys, name)
    yield State("warnings", lambda: list(warnings.filters), _set_warnings)
    yield attribute(warnings, "showwarning")
    yield State("logging", _logging, _set_logging)
    yield State("numpy errors", np.geterr, lambda kinds: np.seterr(**kinds))


def _of_pillow() -> Iterator[State]:
    yield attribute(ImageFile, "LOAD_TRUNCATED_IMAGES")
    yield attribute(Image, "MAX_IMAGE_PIXELS")


def _set_path(wanted: list[str]) -> None:
    sys.path[:] = wanted


def _set_environment(wanted: dict[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


_SIGNALS = tuple(
    number
    for name in ("INT", "TERM", "HUP", "QUIT", "ALRM", "PIPE", "CHLD", "ABRT", "USR1", "USR2")
    if (number := getattr(signal, f"SIG{name}", None)) is not None
)


def _signals() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _set_signals(wanted: dict[int, Any]) -> None:
    """Restore signal handlers; only the main thread can change them, here and in a model."""
    for number, handler in wanted.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _set_warnings(wanted: list[Any]) -> None:
    warnings.resetwarnings()  # also resets which warnings have already been shown
    warnings.filters[:] = wanted  # type: ignore[index]


def _logging() -> tuple[int, int, list[logging.Handler]]:
    root = logging.getLogger()
    return root.manager.disable, root.level, list(root.handlers)


def _set_logging(wanted: tuple[int, int, list[logging.Handler]]) -> None:
    logging.disable(wanted[0])
    root = logging.getLogger()
    root.setLevel(wanted[1])
    root.handlers[:] = wanted[2]
