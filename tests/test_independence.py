"""The result of a face depends on that face alone, or the row fails and says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import pattern
from PIL import Image
from tiny_models import UP, double, write_code

import affectbench
from affectbench.adapters.adapted import AdaptedNetwork
from affectbench.adapters.contract import checked_sr
from affectbench.adapters.independence import require_independent
from affectbench.errors import ModelError
from affectbench.records import read_record, write_record
from affectbench.types import ModelSpec

DEPENDS = "the result of a face depends on its batch"
VARIES = "the same face gives another result each time"


def _prove(network, lr: torch.Tensor) -> None:
    model = AdaptedNetwork(network, ModelSpec("m", 2, "r"), 2)
    require_independent(model, lr.clone(), checked_sr(model, lr.clone(), 2), 2)


def _in_training(layer: torch.nn.Module):
    layer.train()
    return lambda x: double(torch.sigmoid(layer(x)))


class Attention(torch.nn.Module):
    """Takes the batch for the sequence: `batch_first` forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.mean((2, 3))[:, None]
        return x + self.attention(flat, flat, flat)[0][:, 0, :, None, None]


def _counter():
    calls = []

    def network(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return double(x) * (0.9 if len(calls) % 2 else 1.0)

    return network


DEPENDING = {
    "BatchNorm": lambda: _in_training(torch.nn.BatchNorm2d(3)),
    "BatchNorm without statistics": lambda: _in_training(
        torch.nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "attention over the batch": lambda: _in_training(Attention()),
    "mean of the batch": lambda: lambda x: double(x) * 0.8 + 0.2 * x.mean(),
    "largest of the batch": lambda: lambda x: double(x / x.amax((0, 2, 3), keepdim=True)),
    "size of the batch": lambda: lambda x: double(x) * (1 - len(x) / 100),
    "place in the batch": lambda: (
        lambda x: double(x) * (1 - torch.arange(len(x)).reshape(-1, 1, 1, 1) / 100)
    ),
    "neighbour": lambda: lambda x: double(0.9 * x + 0.1 * x.roll(1, 0)),
    "noise of one generator": lambda: (
        lambda x: (
            double(x)
            + 0.02 * torch.randn(double(x).shape, generator=torch.Generator().manual_seed(0))
        )
    ),
    "reshaped": lambda: lambda x: double(0.9 * x + 0.1 * x.permute(1, 0, 2, 3).reshape(x.shape)),
}
VARYING = {
    "dropout": lambda: _in_training(torch.nn.Dropout(0.2)),
    "stochastic depth": lambda: lambda x: double(x) * (0.9 if float(torch.rand(1)) < 0.5 else 1),
    "noise": lambda: lambda x: double(x) + 0.01 * torch.randn(double(x).shape),
    "numpy": lambda: lambda x: double(x) * float(np.random.uniform(0.8, 1)),
    "state": _counter,
}


@pytest.fixture
def smooth() -> torch.Tensor:
    """Three smooth LR images of 16 pixels."""
    faces = np.stack([pattern(seed, 16) for seed in range(3)])
    return torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("faces", [1, 2, 3])
@pytest.mark.parametrize("kind", DEPENDING)
def test_whatever_a_batch_changes_is_found(smooth, kind, faces):
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=DEPENDS):
        _prove(DEPENDING[kind](), smooth[:faces])


@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("kind", VARYING)
def test_results_that_vary_are_named_so(smooth, kind, faces):
    with pytest.raises(ModelError, match=VARIES):
        _prove(VARYING[kind](), smooth[:faces])


@pytest.mark.parametrize("kind", ["BatchNorm", "mean of the batch", "neighbour"])
def test_a_batch_of_one_face_three_times_hides_nothing(smooth, kind):
    with pytest.raises(ModelError, match=DEPENDS):
        _prove(DEPENDING[kind](), smooth[:1].repeat(3, 1, 1, 1))


@pytest.mark.parametrize("faces", [1, 2, 3])
@pytest.mark.parametrize(
    "network",
    [
        double,
        _in_training(torch.nn.InstanceNorm2d(3)),
        lambda x: double(x.clone()).mul_(0.5).add_(x.mul_(0).sum()),
        lambda x: double(F.batch_norm(x, torch.zeros(3), torch.ones(3))),
        lambda x: double(x) + 5e-5 * len(x) / 3,
        lambda x: double(x.bfloat16()).float(),
        lambda x: torch.cat([double(face[None]) for face in x]),
    ],
)
def test_faces_of_their_own_are_proven(smooth, faces, network):
    _prove(network, smooth[:faces])


def test_a_network_that_uses_its_output_again(smooth):
    """As a compiled one does: the second call overwrites what the first gave."""
    buffer = torch.empty(3, 3, 32, 32)

    def network(x: torch.Tensor) -> torch.Tensor:
        return buffer[: len(x)].copy_(double(x))

    with torch.inference_mode(False):
        _prove(network, smooth)


def test_rounding_of_half_precision_is_no_dependence(smooth):
    """The sums of another batch size end in other bits, by less than a grey level."""

    def rounds(x: torch.Tensor) -> torch.Tensor:
        return (double(x) + (len(x) % 2) * 0.002).bfloat16()

    _prove(rounds, smooth[:2])
    with pytest.raises(ModelError, match=DEPENDS):  # in float32 it is no rounding
        _prove(lambda x: double(x) * 0.987 + (len(x) % 2) * 0.002, smooth[:2])
    with pytest.raises(ModelError, match=DEPENDS):  # other faces may change nothing
        _prove(lambda x: (double(x) + 0.006 * x.mean()).bfloat16(), smooth)


def test_a_model_of_single_faces(smooth):
    def single(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            raise ValueError("one face at a time")
        return double(x)

    _prove(single, smooth[:1])

    def batches(x: torch.Tensor) -> torch.Tensor:
        return double(x.squeeze())

    with pytest.raises(ModelError, match=r"a face alone; in a batch of 3 it works"):
        _prove(batches, smooth)


@pytest.fixture
def set_of_faces(tmp_path):
    folder = tmp_path / "hr"
    folder.mkdir()
    for number in range(5):
        dark = Image.fromarray(pattern(number, 128)).point(lambda v, n=number: v * (n + 1) // 5)
        dark.save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_run_of_a_depending_model_has_no_number(tmp_path, set_of_faces, batch_size):
    """Case 05, and no number of another batch size is used again."""
    path = write_code(
        tmp_path,
        "def build(scale):\n    net = torch.nn.BatchNorm2d(3).train()\n"
        f"    def f(x):\n        x = torch.sigmoid(net(x))\n        return {UP.format('scale')}\n"
        "    return f",
    )
    result = affectbench.compare(
        f"python:{path}:build@name=M,lanczos",
        "d",
        data={"d": set_of_faces},
        metrics=["psnr"],
        batch_size=batch_size,
        out=tmp_path / "out",
    )
    (failed,) = result.failed
    assert DEPENDS in failed and "BatchNorm" in failed
    table = result.table.set_index("model")
    assert np.isnan(table.psnr["M"]) and table.psnr["lanczos"] > 0


def test_old_values_hold_for_their_own_batch_size_only(tmp_path, set_of_faces):
    """Records of before the check do not say that they hold for any."""

    def computed(batch_size: int) -> int:
        return affectbench.compare(
            "lanczos",
            "d",
            data={"d": set_of_faces},
            metrics=["psnr"],
            batch_size=batch_size,
            out=tmp_path / "out",
        ).outcome.computed

    assert computed(2) == 3
    assert computed(3) == 0
    for path in (tmp_path / "out" / "records").rglob("*.json"):
        record = read_record(path)
        assert record.provenance["batches"]
        old = {key: value for key, value in record.provenance.items() if key != "batches"}
        write_record(replace(record, provenance=old), path)
    assert computed(2) == 0
    assert computed(3) == 1  # the model's; anchors have no batches
    assert computed(2) == 0


def _write_graph(path, nodes, constants):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    made = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    scales = helper.make_node("Resize", ["last", "", "scales"], ["sr"], mode="nearest")
    lr = helper.make_tensor_value_info("lr", TensorProto.FLOAT, ("n", 3, "h", "w"))
    sr = helper.make_tensor_value_info("sr", TensorProto.FLOAT, None)
    made.append(numpy_helper.from_array(np.array([1, 1, 8, 8], np.float32), "scales"))
    graph = helper.make_graph([*nodes(helper), scales], "g", [lr], [sr], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.save(model, path)


GRAPHS = {
    "BatchNormalization in training mode": (
        lambda h: [
            h.make_node(
                "BatchNormalization",
                ["lr", "one", "zero", "zero", "one"],
                ["normal", "mean", "variance"],
                training_mode=1,
            ),
            h.make_node("Sigmoid", ["normal"], ["last"]),
        ],
        {"one": np.ones(3, np.float32), "zero": np.zeros(3, np.float32)},
    ),
    "mean over the batch": (
        lambda h: [
            h.make_node("ReduceMean", ["lr"], ["mean"], axes=[0], keepdims=1),
            h.make_node("Sub", ["lr", "mean"], ["less"]),
            h.make_node("Sigmoid", ["less"], ["last"]),
        ],
        {},
    ),
    "dropout in training mode": (
        lambda h: [h.make_node("Dropout", ["lr", "ratio", "on"], ["last"])],
        {"ratio": np.array(0.3, np.float32), "on": np.array(True)},
    ),
}


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_that_mix_the_batch_have_no_row(tmp_path, set_of_faces, kind, batch_size):
    path = tmp_path / "g.onnx"
    _write_graph(path, *GRAPHS[kind])
    result = affectbench.compare(
        f"onnx:{path}@name=M",
        "d",
        data={"d": set_of_faces},
        metrics=["psnr"],
        batch_size=batch_size,
    )
    (failed,) = result.failed
    assert DEPENDS in failed or VARIES in failed
