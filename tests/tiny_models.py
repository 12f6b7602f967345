"""Small models that the tests of adapters write to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

UP = "torch.nn.functional.interpolate(x, scale_factor={0}, mode='nearest')"
ANY = ("n", 3, "h", "w")


def double(x: torch.Tensor) -> torch.Tensor:
    """Every pixel four times."""
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def write_code(folder: Path, body: str, name: str = "model.py") -> Path:
    """A Python file that knows torch."""
    path = folder / name
    path.write_text(f"import torch\n{body}\n")
    return path


def function_model(folder: Path, expression: str, name: str = "model.py") -> str:
    """The argument of a model that computes an expression of x."""
    path = write_code(folder, f"def build(scale):\n    return lambda x: {expression}", name)
    return f"python:{path}:build"


def write_esrgan(path: Path, scale: int = 4, channels: int = 3) -> Path:
    """A tiny ESRGAN with seeded weights."""
    rrdb = pytest.importorskip("spandrel.architectures.ESRGAN.__arch.RRDB")
    torch.manual_seed(0)
    network = rrdb.RRDBNet(
        in_nc=channels, out_nc=channels, num_filters=8, num_blocks=1, scale=scale
    )
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"params_ema": tensors}, path)
    return path


def write_onnx(
    path: Path, shape: tuple[object, ...], factor: float = 1.0, external: str = ""
) -> Path:
    """x2 by the nearest pixel, times a constant; `external` names a file for its tensors."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    constants = [numpy_helper.from_array(np.full((1, 3, 1, 1), factor, np.float32), "factor")]
    nodes = [
        helper.make_node("Constant", [], ["scales"], value=scales),
        helper.make_node("Resize", ["lr", "", "scales"], ["up"], mode="nearest"),
        helper.make_node("Mul", ["up", "factor"], ["sr"]),
    ]
    lr = helper.make_tensor_value_info("lr", TensorProto.FLOAT, shape)
    sr = helper.make_tensor_value_info("sr", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "x2", [lr], [sr], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = {"save_as_external_data": True, "location": external, "size_threshold": 0}
    onnx.save(model, path, **(options if external else {}))
    return path
