"""Stand-ins for the published files of HSEmotion: the real architectures with seeded weights."""

from __future__ import annotations

import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
OLD_NAMES = {
    "Conv2dSame": "timm.models.layers.conv2d_same",
    "BatchNormAct2d": "timm.models.layers.norm_act_gone",
    "SiLU": "timm.models.layers.activations_gone",
    "EfficientNet": "timm.models.efficientnet_gone",
}
OLD_STATE = (
    *("_parameters", "_buffers", "_modules", "training"),
    *("stride", "padding", "kernel_size", "dilation", "groups", "eps"),
)


def network(architecture: str, outputs: int) -> nn.Module:
    """A network of timm whose outputs differ from face to face, by values of the order of 1."""
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = timm.create_model(architecture, num_classes=outputs).eval()
        for layer in made.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.data.uniform_(0.8, 1.2)
                layer.bias.data.normal_(0, 0.1)
        faces = torch.rand(4, 3, 64, 64)
        made.train()(faces)  # running statistics that fit, so that signals neither grow nor vanish
        with torch.no_grad():
            made.classifier.weight.div_(made.eval()(faces).std())
    return made


def in_memory(made: nn.Module, faces: torch.Tensor) -> torch.Tensor:
    """What the network itself says of faces of its own size in [0, 1]."""
    with torch.no_grad():
        return made((faces - MEAN) / DEVIATION)


def write_pickled(made: nn.Module, path: Path) -> Path:
    """The whole module, as HSEmotion's files have it."""
    torch.save(made, path)
    return path


def write_like_old_timm(made: nn.Module, path: Path, *, moved: bool) -> Path:
    """The module as an old timm would have written it.

    Objects lack attributes that newer classes need, what is a layer of its own today is not, and
    the classifier is a sequence of one layer. If `moved`, classes lie in modules that are gone.
    """
    with _old_modules() as gone:
        classes = gone if moved else {}
        old = _aged(made, classes)
        old._modules["act1"] = _aged(nn.SiLU(), classes)
        old._modules["classifier"] = nn.Sequential(made.classifier)
        torch.save(old, path)
    return path


@contextmanager
def _old_modules() -> Iterator[dict[str, type]]:
    classes: dict[str, type] = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, home in OLD_NAMES.items():
            module = types.ModuleType(home)
            classes[name] = type(name, (), {"__module__": home})
            setattr(module, name, classes[name])
            patch.setitem(sys.modules, home, module)
        yield classes


def _aged(layer: nn.Module, classes: dict[str, type]) -> Any:
    ours = not type(layer).__module__.startswith("torch.")
    kind = classes.get(type(layer).__name__) or (classes.get("EfficientNet") if ours else None)
    old = object.__new__(kind or type(layer))
    old.__dict__.update({k: v for k, v in layer.__dict__.items() if k in OLD_STATE})
    children = {} if type(layer).__name__ == "BatchNormAct2d" else layer._modules
    old.__dict__["_modules"] = OrderedDict((k, _aged(v, classes)) for k, v in children.items())
    return old


def write_exported(made: nn.Module, path: Path, size: int, batch: int | None = None) -> Path:
    """The network as an ONNX graph that takes normalised faces."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    axes = None if batch else {"input": {0: "batch"}, "output": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        torch.onnx.export(
            made,
            (torch.zeros(batch or 1, 3, size, size),),
            str(path),
            dynamo=False,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=axes,
        )
    return path
