"""What a model costs, measured in every run and kept in `cost.csv`, a row per model and data set.

- `parameters`: numbers in the network, as its adapter counts them.
- `multiply_adds`: multiplications with an addition for one LR face of the protocol's size, in
  convolutions, matrix products and attention (half of what torch's FLOP counter counts).
- `faces_per_second`: of the model alone, without reading and scoring, at the run's batch size,
  device and threads. It varies from run to run.
- `peak_memory`: bytes of the tensors that exist at once while one LR face of that size passes
  through, the SR face among them, beyond weights and input. On the CPU these are the tensors that
  operators return: what an operator needs within itself is not seen. On CUDA it is what torch's
  allocator holds at most, less what it held before.

Multiply-adds and memory are known of networks that run in torch, and are empty for all others: for
ONNX graphs, resampling, and stored results (`images:`), which have no speed either. No value of the
kind `cost` takes part in a comparison of bytes.
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
    """`multiply_adds` and `peak_memory` (bytes) of one LR face (1, 3, h, w) on the model's device.

    Empty if nothing of the network runs in torch, or if it cannot be watched: a cost that is not
    known is no reason to lose a result.
    """
    counter, peak = FlopCounterMode(display=False), PeakTensors()
    cuda = lr.device.type == "cuda"
    try:
        before = _held_by_cuda(lr.device) if cuda else 0
        with torch.no_grad(), counter, peak:
            model(lr)
        bytes_ = torch.cuda.max_memory_allocated(lr.device) - before if cuda else peak.bytes
    except Exception:  # compiled and foreign code can refuse to be watched in any way
        return {}
    flops = int(counter.get_total_flops())
    if not flops:
        return {}
    return {"multiply_adds": flops / 2.0, "peak_memory": float(bytes_)}


class PeakTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that operators made and that live at once, at their highest.

    A view or an operation in place makes no new tensor: only memory that no argument of the
    operator has is counted, once, until the last tensor that uses it is gone.
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
        """Run an operator, and count what it made."""
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
