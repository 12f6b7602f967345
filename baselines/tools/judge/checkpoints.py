"""Networks from what runs left behind, rounded to float16 as they are shipped.

A run has one branch. `A+B` puts two runs' branches on their common stem and lower blocks: the mean
of their logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from affectbench.judges.resnet_ferplus import ResNetFerPlus

State = dict[str, Tensor]


def read_state(run: Path) -> tuple[State, int]:
    """Return a run's averaged weights in float16 and the size to which it enlarges."""
    stored = torch.load(run / "checkpoint.pt", weights_only=True)
    return {name: value.half() for name, value in stored["ema"].items()}, stored["size"]


def read_states(names: str, runs: Path) -> tuple[State, int]:
    """Return the weights of one run, or of several as the branches of one network."""
    states, sizes = zip(*(read_state(runs / name) for name in names.split("+")), strict=True)
    if len(set(sizes)) > 1:
        raise ValueError(f"{names}: enlarged to several sizes ({sizes}); not one network")
    return joined(states), sizes[0]


def joined(states: tuple[State, ...]) -> State:
    """Return the weights of a network with the branches of several of one branch each.

    Raises ValueError where their stems or lower blocks are not the same.
    """
    first = states[0]
    common = {k: v for k, v in first.items() if k.startswith(("stem.", "lower."))}
    result = dict(common)
    for index, state in enumerate(states):
        odd = [k for k in common if not torch.equal(common[k], state[k])]
        if odd:
            raise ValueError(f"the branches were trained on other lower blocks: {odd[0]} differs")
        for key, value in state.items():
            if key.startswith("branches.0."):
                result[key.replace(".0.", f".{index}.", 1)] = value
    parts = len(states)
    weights = [state["head.weight"].float() / parts for state in states]
    biases = [state["head.bias"].float() / parts for state in states]
    result["head.weight"] = torch.cat(weights, dim=1).half()
    result["head.bias"] = torch.stack(biases).sum(0).half()
    return {key: value.contiguous() for key, value in result.items()}


def network_of(state: State, size: int) -> ResNetFerPlus:
    """Return the network of a state in float32 and eval mode."""
    branches = len({key.split(".")[1] for key in state if key.startswith("branches.")})
    network = ResNetFerPlus(branches, size)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return channels_last(network).eval()


def channels_last(network: ResNetFerPlus) -> ResNetFerPlus:
    """Return the network in the memory format that is twice as fast on a CPU."""
    plain = cast(nn.Module, network).to(memory_format=torch.channels_last)
    return cast(ResNetFerPlus, plain)
