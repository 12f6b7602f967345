"""Model cost, measured in every run and kept in `cost.csv`: one row per model and data set.

- `parameters`: number of parameters, as counted by the adapter.
- `multiply_adds`: multiply-add operations for one LR face of the protocol's size, in convolutions,
  matrix products and attention (half of what torch's FLOP counter reports).
- `faces_per_second`: throughput of the model alone, without reading and scoring, at the run's batch
  size, device and threads. It varies from run to run.
- `peak_memory`: peak bytes of live tensors during the forward pass of one LR face of that size,
  including the SR face, excluding weights and input. On the CPU it covers the tensors that
  operators return, not an operator's internal workspace. On CUDA it is the peak of torch's
  allocator, less what was allocated before.

Multiply-adds and memory are known only for networks that run in torch. They are empty for ONNX
graphs, resampling, and stored results (`images:`), which have no speed either. Values of the kind
`cost` are excluded from byte-for-byte comparisons.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from affectbench.types import Model


def measure_cost(model: Model, lr: torch.Tensor) -> dict[str, float]:
    """Return `multiply_adds` and `peak_memory` (bytes) of one LR face (1, 3, h, w) on its device.

    Empty if no part of the network runs in torch, or if it cannot be traced: a run must not lose a
    result because its cost is unknown.
    """
    counter, peak = FlopCounterMode(display=False), PeakTensors()
    cuda = lr.device.type == "cuda"
    try:
        before = _held_by_cuda(lr.device) if cuda else 0
        with torch.no_grad(), counter, peak:
            model(lr)
        bytes_ = torch.cuda.max_memory_allocated(lr.device) - before if cuda else peak.bytes
    except Exception:  # compiled and foreign code can fail under tracing in any way
        return {}
    flops = int(counter.get_total_flops())
    if not flops:
        return {}
    return {"multiply_adds": flops / 2.0, "peak_memory": float(bytes_)}


class PeakTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The peak of the bytes held by live tensors that operators created.

    Views and in-place operations create no tensor: only memory that no argument of the operator
    owns is counted, once, until the last tensor that uses it is freed.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self._live: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count the memory that it allocated."""
        given = dict(kwargs or {})
        known = {s._cdata for s in _storages((args, given))}
        out = func(*args, **given)
        for storage in _storages(out):
            key = storage._cdata
            if key not in known and key not in self._live:
                self._live[key] = storage.nbytes()
                weakref.finalize(storage, self._live.pop, key, None)
        self.bytes = max(self.bytes, sum(self._live.values()))
        return out


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [v.untyped_storage() for v in tree_iter(values) if isinstance(v, torch.Tensor)]


def _held_by_cuda(device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))
