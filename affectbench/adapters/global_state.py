"""The state of a process that code can change for everybody else: read it, and put it back.

A table, one row for each thing. What cannot be read in this process (a directory that is gone, a
setting that this version of torch lacks) is left as it is. Where torch is not loaded, there is no
state of it. Not in the table: the number of torch's inter-op threads, which can be set only once,
and functions of other modules that were replaced; a process of its own is the remedy for those.
"""

from __future__ import annotations

import gc
import locale
import logging
import operator
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from PIL import Image, ImageFile

_UNKNOWN = object()


@dataclass(frozen=True)
class State:
    """One thing of the process: how to read it and how to set it.

    A `portable` one is a plain number or word, which another process can be given as well.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    portable: bool = False

    def read(self) -> Any:
        """Return its value, or a mark of its own where it cannot be read."""
        try:
            return self.get()
        except Exception:  # whatever stands in the way: it could not be put back either
            return _UNKNOWN


Snapshot = list[tuple[State, Any]]


def snapshot() -> Snapshot:
    """Return what the process looks like now."""
    read = ((state, state.read()) for state in _states("torch" in sys.modules))
    return [(state, value) for state, value in read if value is not _UNKNOWN]


def restore(saved: Snapshot) -> None:
    """Set whatever differs from the snapshot."""
    for state, value in saved:
        if state.read() != value:
            with suppress(Exception):
                state.put(value)


def portable_state() -> dict[str, Any]:
    """Return the settings of torch that decide results, as plain data."""
    return {state.name: value for state, value in snapshot() if state.portable}


def set_portable_state(values: Mapping[str, Any]) -> None:
    """Give this process the settings of another one."""
    restore([(state, values[state.name]) for state in _states(True) if state.name in values])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Start every global generator of random numbers from a seed, and put it back afterwards."""
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


@cache
def _states(with_torch: bool) -> tuple[State, ...]:
    return (*_of_python(), *_of_pillow(), *(_of_torch() if with_torch else ()))


def _attribute(owner: Any, name: str, label: str = "", portable: bool = False) -> State:
    get, put = partial(getattr, owner, name), partial(setattr, owner, name)
    return State(label or f"{owner.__name__}.{name}", get, put, portable)


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
        yield _attribute(sys, name)
    yield State("warnings", lambda: list(warnings.filters), _set_warnings)
    yield _attribute(warnings, "showwarning")
    yield State("logging", _logging, _set_logging)
    yield State("numpy errors", np.geterr, lambda kinds: np.seterr(**kinds))


def _of_pillow() -> Iterator[State]:
    yield _attribute(ImageFile, "LOAD_TRUNCATED_IMAGES")
    yield _attribute(Image, "MAX_IMAGE_PIXELS")


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
    """Outside of the main thread Python changes no handler, neither here nor in a model."""
    for number, handler in wanted.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _set_warnings(wanted: list[Any]) -> None:
    warnings.resetwarnings()  # also forgets which warnings were shown under the other filters
    warnings.filters[:] = wanted  # type: ignore[index]


def _logging() -> tuple[int, int, list[logging.Handler]]:
    root = logging.getLogger()
    return root.manager.disable, root.level, list(root.handlers)


def _set_logging(wanted: tuple[int, int, list[logging.Handler]]) -> None:
    logging.disable(wanted[0])
    root = logging.getLogger()
    root.setLevel(wanted[1])
    root.handlers[:] = wanted[2]


_BACKENDS = (
    # The newer names first: an older one cannot be read while both disagree.
    *("fp32_precision", "cuda.matmul.fp32_precision", "cudnn.fp32_precision"),
    *("cudnn.conv.fp32_precision", "cudnn.rnn.fp32_precision", "mkldnn.fp32_precision"),
    *("mkldnn.conv.fp32_precision", "mkldnn.matmul.fp32_precision", "mkldnn.rnn.fp32_precision"),
    *("cuda.matmul.allow_tf32", "cudnn.allow_tf32"),
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cuda.matmul.allow_fp16_accumulation",
    *("cudnn.enabled", "cudnn.benchmark", "cudnn.benchmark_limit", "cudnn.deterministic"),
    *("mkldnn.enabled", "mkldnn.deterministic", "quantized.engine"),
)
_ATTENTION = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
_HOOKS = (
    *("_global_forward_hooks", "_global_forward_pre_hooks", "_global_forward_hooks_with_kwargs"),
    *("_global_forward_hooks_always_called", "_global_buffer_registration_hooks"),
    *("_global_module_registration_hooks", "_global_parameter_registration_hooks"),
)


def _of_torch() -> Iterator[State]:
    """Return torch's part: first what decides precision, then what decides where tensors are."""
    import torch

    yield State("threads", torch.get_num_threads, torch.set_num_threads, True)
    yield State("denormals are zero", _denormals_are_zero, torch.set_flush_denormal, True)
    yield State("deterministic", _deterministic, _set_deterministic, True)
    for path in _BACKENDS:
        owner, _, name = f"backends.{path}".rpartition(".")
        yield _attribute(operator.attrgetter(owner)(torch), name, path, True)
    precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield State("float32 matmul", *precision, True)
    for name in _ATTENTION:
        get = getattr(torch.backends.cuda, f"{name}_enabled")
        yield State(name, get, getattr(torch.backends.cuda, f"enable_{name}"), True)
    for name in _HOOKS:
        hooks = getattr(torch.nn.modules.module, name, {})
        yield State(name, partial(dict, hooks), partial(_set_dict, hooks))
    yield State("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled)
    yield State("CUDA device", _cuda_device, torch.cuda.set_device)
    yield State("dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield State("default device", _default_device, _set_default_device)
    for kind in ("function", "dispatch"):
        length = getattr(torch._C, f"_len_torch_{kind}_stack")
        yield State(f"{kind} modes", length, partial(_pop_modes, kind))
    yield State("tensor type", lambda: torch.empty(0).type(), torch.set_default_tensor_type)


def _denormals_are_zero() -> bool:
    """Return what a library built with -ffast-math also changes, by being loaded."""
    return _SMALLEST[0] * 1.0 == 0.0


_SMALLEST = [5e-324]  # in a list, so that the product is not made when this file is compiled


def _deterministic() -> tuple[bool, bool]:
    import torch

    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _set_deterministic(wanted: tuple[bool, bool]) -> None:
    import torch

    torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def _cuda_device() -> int:
    import torch

    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.current_device() if in_use else 0


def _default_device() -> Any:
    """Return the mode behind `torch.set_default_device`, None where nobody called it."""
    import torch

    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _set_default_device(mode: Any) -> None:
    import torch

    torch.set_default_device(None if mode is None else mode.device)


def _set_dict(known: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    known.clear()
    known.update(wanted)


def _pop_modes(kind: str, length: int) -> None:
    """Leave the modes that somebody entered and never left."""
    import torch

    while getattr(torch._C, f"_len_torch_{kind}_stack")() > length:
        getattr(torch._C, f"_pop_torch_{kind}_stack")()
