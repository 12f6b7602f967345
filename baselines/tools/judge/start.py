"""The initial weights of a run: dlib's face descriptor, or the weights of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from affectbench.faces.identity import MEAN_RGB, load_face_descriptor
from affectbench.judges.resnet_ferplus import ResNetFerPlus
from tools.judge.checkpoints import State

RECOGNISER = "recogniser"
_LOWER = ("stem.", *(f"blocks.{index}." for index in range(4)))


def warm_start(model: ResNetFerPlus, start: str, runs: Path, generator: torch.Generator) -> None:
    """Load the initial weights into `model`.

    `start` is "recogniser", the name of a run in `runs`, or a safetensors file of `resnet-fer`.
    "A on B" is run A with the stem and the first four blocks of B.
    """
    if start == RECOGNISER:
        nn.init.normal_(model.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(model.head.bias)
        _from_recogniser(model)
        return
    upper, _, lower = start.partition(" on ")
    state = _read(upper, runs)
    if lower:
        state |= {k: v for k, v in _read(lower, runs).items() if k.startswith(_LOWER)}
    model.load_state_dict({name: value.float() for name, value in state.items()})


def _from_recogniser(model: ResNetFerPlus) -> None:
    source = load_face_descriptor(torch.device("cpu"))
    weight, bias = source.stem.weight.detach(), cast(Tensor, source.stem.bias).detach()
    mean = weight.new_tensor(MEAN_RGB).view(1, 3, 1, 1)
    with torch.no_grad():
        model.stem.weight.copy_(weight.sum(1, keepdim=True))
        cast(Tensor, model.stem.bias).copy_(bias - (weight * mean).sum((1, 2, 3)))
    for own, given in zip(model.blocks, source.blocks, strict=False):
        own.load_state_dict(given.state_dict())


def _read(name: str, runs: Path) -> State:
    if name.endswith(".safetensors"):
        return load_file(name)
    ema: State = torch.load(runs / name / "checkpoint.pt", weights_only=True)["ema"]
    return ema
