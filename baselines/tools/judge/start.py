"""What a run starts from: dlib's face descriptor, or the weights of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from affectbench.faces.identity import MEAN_RGB, load_face_descriptor
from affectbench.judges.resnet_ferplus import ResNetFerPlus

RECOGNISER = "recogniser"


def warm_start(model: ResNetFerPlus, start: str, generator: torch.Generator) -> None:
    """Give `model` the recogniser's weights, or those of a run's `checkpoint.pt` or safetensors.

    A head of the right shape is taken too; else it starts near zero.
    """
    nn.init.normal_(model.head.weight, std=0.01, generator=generator)
    nn.init.zeros_(model.head.bias)
    _from_recogniser(model)
    if start != RECOGNISER:
        _from_run(model, Path(start))


def _from_recogniser(model: ResNetFerPlus) -> None:
    source = load_face_descriptor(torch.device("cpu"))
    weight, bias = source.stem.weight.detach(), cast(Tensor, source.stem.bias).detach()
    mean = weight.new_tensor(MEAN_RGB).view(1, 3, 1, 1)
    with torch.no_grad():
        model.stem.weight.copy_(weight.sum(1, keepdim=True))
        cast(Tensor, model.stem.bias).copy_(bias - (weight * mean).sum((1, 2, 3)))
    for own, given in zip(model.blocks, source.blocks, strict=False):
        own.load_state_dict(given.state_dict())


def _from_run(model: ResNetFerPlus, path: Path) -> None:
    if path.suffix == ".safetensors":
        given = load_file(path)
    else:
        given = torch.load(path, weights_only=True)["ema"]
    own = model.state_dict()
    fitting = {k: v.float() for k, v in given.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(fitting, strict=False)
