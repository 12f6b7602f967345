"""HSEmotion's pickled EfficientNets in a current timm: differentiable judges.

The files hold whole models of the timm version that they were trained with. They lack attributes
that newer classes need, and reading them with `torch.load` would execute code. So only their
tensors are read (see `inert`) and loaded into a network built by the installed timm. Where the file
records a layer's settings (stride, padding, epsilon ...), the new network must agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectbench.errors import MissingExtraError, WeightsError
from affectbench.judges.field.files import FieldFile
from affectbench.judges.field.inert import RecordedModule, read_module
from affectbench.judges.field.normalised import Normalised

_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "groups", "eps")


def read_pickled(file: FieldFile, path: Path, _sha256: str) -> Normalised:
    """Return the network of a published file.

    Raises WeightsError if the file is damaged, holds something else, or does not fit, and
    MissingExtraError without timm.
    """
    recorded = read_module(path)
    network = _new_network(file)
    _require_same_settings(network, recorded.settings, path, file)
    try:
        network.load_state_dict(_renamed(recorded))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{path}: the weights do not fit {file.architecture} with {len(file.outputs)} outputs "
            f"({reason})"
        ) from error
    return Normalised(network)


def _new_network(file: FieldFile) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"judge 'hsemotion', {file.stem}", "hsemotion") from error
    with torch.random.fork_rng(devices=[]):  # the initial random weights are discarded
        network: nn.Module = timm.create_model(
            file.architecture, pretrained=False, num_classes=len(file.outputs)
        )
    return network


def _renamed(recorded: RecordedModule) -> dict[str, torch.Tensor]:
    """Return tensors by timm's names; the classifier is a layer, or a sequence of one layer."""
    return {_timm_name(name): tensor for name, tensor in recorded.tensors.items()}


def _timm_name(name: str) -> str:
    return name.replace("classifier.0.", "classifier.", 1)


def _require_same_settings(
    network: nn.Module, settings: Mapping[str, Mapping[str, Any]], path: Path, file: FieldFile
) -> None:
    """Reject a file whose layers have other settings: their tensors would fit all the same."""
    for name, layer in network.named_modules():
        recorded = settings.get(name, {})
        for key in _SETTINGS:
            if key in recorded and recorded[key] != getattr(layer, key, recorded[key]):
                raise WeightsError(
                    f"{path}: its layer {name} has {key} {recorded[key]}, and that of "
                    f"{file.architecture} has {getattr(layer, key)}: it is another network"
                )
