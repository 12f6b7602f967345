"""The base of metrics over batches: `torchmetrics.Metric`, or the part of it that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
import torch.distributed as dist

Self = TypeVar("Self", bound="PlainMetric")
State = torch.Tensor | list[torch.Tensor]


class PlainMetric:
    """What `torchmetrics.Metric` does for the metrics of this library, without torchmetrics.

    `_alone` is set while the value of a single batch is computed, which no other process shares.
    """

    device = torch.device("cpu")
    _alone = False

    def __init__(self) -> None:
        self._defaults: dict[str, State] = {}

    def add_state(
        self,
        name: str,
        default: State,
        dist_reduce_fx: Literal["sum", "cat"],  # noqa: ARG002
    ) -> None:
        """Register a state that `reset` restores."""
        self._defaults[name] = default
        setattr(self, name, _copy(default))

    def reset(self) -> None:
        """Reset all states."""
        for name, default in self._defaults.items():
            setattr(self, name, _copy(default))

    def to(self: Self, device: torch.device | str) -> Self:
        """Move the states to a device, and compute there; return the metric."""
        self.device = torch.device(device)
        for name in self._defaults:
            setattr(self, name, _moved(getattr(self, name), self.device))
        return self

    def __call__(self, *images: Any) -> Any:
        """Add a batch, and return the value of this batch alone."""
        return self.forward(*images)

    def forward(self, *images: Any) -> Any:
        """Add a batch, and return the value of this batch alone."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in self._defaults}
        self.reset()
        try:
            self.update(*images)
            self._alone = True
            value = self.compute()
            kept = {name: state + getattr(self, name) for name, state in kept.items()}
            return value
        finally:
            self._alone = False
            for name, state in kept.items():
                setattr(self, name, state)

    def update(self, sr: Any, hr: Any) -> None:
        """Add a batch."""
        raise NotImplementedError

    def compute(self) -> Any:
        """Return the value of everything that was added."""
        raise NotImplementedError


if TYPE_CHECKING:
    Metric = PlainMetric
    IS_TORCHMETRICS = False
else:
    try:
        from torchmetrics import Metric

        IS_TORCHMETRICS = True
    except ImportError:
        Metric = PlainMetric
        IS_TORCHMETRICS = False


def is_distributed() -> bool:
    """Return whether this is one of several processes of `torch.distributed`."""
    return dist.is_available() and dist.is_initialized()


def _copy(state: State) -> State:
    return state.clone() if isinstance(state, torch.Tensor) else list(state)


def _moved(state: State, device: torch.device) -> State:
    return state.to(device) if isinstance(state, torch.Tensor) else [x.to(device) for x in state]
