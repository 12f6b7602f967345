"""Networks from what a run left behind, rounded to float16 as they are shipped."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from affectbench.judges.resnet_ferplus import ResNetFerPlus

State = dict[str, Tensor]


def read_state(run: Path) -> tuple[State, int, int]:
    """Return a run's averaged weights in float16, its count of blocks and its enlarged size."""
    stored = torch.load(run / "checkpoint.pt", weights_only=True)
    state = {name: value.half().contiguous() for name, value in stored["ema"].items()}
    return state, stored["blocks"], stored["size"]


def read_network(run: Path) -> ResNetFerPlus:
    """Return the network of a run in float32 and eval mode."""
    state, blocks, size = read_state(run)
    network = ResNetFerPlus(blocks, size)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
