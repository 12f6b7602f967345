"""The global state of torch that model code can change: see `adapters.global_state`."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from affectbench.adapters.process_state import State, attribute

_BACKENDS = (
    # Newer names first: an older one cannot be read while the two disagree.
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


def states() -> Iterator[State]:
    """Yield torch's state: first what affects precision, then what affects tensor placement."""
    yield State("threads", torch.get_num_threads, torch.set_num_threads, True)
    yield State("denormals are zero", _denormals_are_zero, torch.set_flush_denormal, True)
    yield State("deterministic", _deterministic, _set_deterministic, True)
    for path in _BACKENDS:
        owner, _, name = f"backends.{path}".rpartition(".")
        yield attribute(operator.attrgetter(owner)(torch), name, path, True)
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
    """Return whether denormals are flushed; loading a library built with -ffast-math sets this."""
    return _SMALLEST[0] * 1.0 == 0.0


_SMALLEST = [5e-324]  # in a list, so that the compiler does not fold the product


def _deterministic() -> tuple[bool, bool]:
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _set_deterministic(wanted: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def _cuda_device() -> int:
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.current_device() if in_use else 0


def _default_device() -> Any:
    """Return the mode set by `torch.set_default_device`, or None if it was not called."""
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _set_default_device(mode: Any) -> None:
    torch.set_default_device(None if mode is None else mode.device)


def _set_dict(known: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    known.clear()
    known.update(wanted)


def _pop_modes(kind: str, length: int) -> None:
    """Exit the modes that were entered and never exited."""
    while getattr(torch._C, f"_len_torch_{kind}_stack")() > length:
        getattr(torch._C, f"_pop_torch_{kind}_stack")()
