"""Inference cost of a network: multiply-adds as counted by torch, milliseconds on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypedDict

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from affectbench.datasets.demo import BUNDLED
from affectbench.images.tensors import as_batch
from affectbench_baselines.base import Network
from affectbench_baselines.fadn.network import EXECUTIONS, FADN

SIDES = (16, 64, 128)
_REPEATS = 10


class Cost(TypedDict):
    """The cost of one LR face."""

    ms: float
    multiply_adds: int


def multiply_adds(network: Network, lr: torch.Tensor) -> int:
    """Return multiply-adds of convolutions and matrix products for LR faces (N, 3, h, w)."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(lr)
    return int(counter.get_total_flops()) // 2


def milliseconds(network: Network, lr: torch.Tensor) -> float:
    """Return the fastest of ten runs, after one warm-up run."""
    runs = []
    with torch.inference_mode():
        for _ in range(1 + _REPEATS):
            began = time.perf_counter()
            network(lr)
            runs.append(time.perf_counter() - began)
    return 1000.0 * min(runs[1:])


def execution_costs(network: FADN, sides: Sequence[int] = SIDES) -> dict[str, Cost]:
    """Return costs of each execution of FADN, as `WAY-SIDE`; a demo face decides the routing."""
    costs = {}
    for side in sides:
        lr = demo_face(side)
        for execution in EXECUTIONS:
            network.execute(execution)
            spent = round(milliseconds(network, lr), 2)
            costs[f"{execution}-{side}"] = Cost(ms=spent, multiply_adds=multiply_adds(network, lr))
    network.execute("dense")
    return costs


def demo_face(side: int) -> torch.Tensor:
    """Return a demo face resized by Pillow's bicubic: (1, 3, side, side) in [0, 1]."""
    with Image.open(BUNDLED / "astronaut.png") as image:
        return as_batch(image.resize((side, side), Image.Resampling.BICUBIC))
