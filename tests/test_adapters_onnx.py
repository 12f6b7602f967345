"""`onnx:`: shapes, scale, range, and tensors in other files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import ANY, write_onnx

from affectbench.adapters import load_model, parse_model
from affectbench.adapters.external_tensors import NotOnnxError, external_files
from affectbench.errors import InputError, WeightsError


@pytest.mark.parametrize("shape", [ANY, (1, 3, "h", "w"), (None, 3, 8, 10), (1, 3, 8, 10)])
def test_onnx_dynamic_and_fixed(tmp_path, lr, shape):
    path = write_onnx(tmp_path / "x2.onnx", shape)
    model = load_model(f"onnx:{path}", 2)
    assert model.spec.scale == 2
    assert torch.equal(model(lr), lr.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_onnx_scale_is_found_and_completed(tmp_path, lr):
    path = write_onnx(tmp_path / "x2.onnx", ANY)
    with pytest.raises(InputError, match="is a x2 model and x8"):
        load_model(f"onnx:{path}", 8)
    assert load_model(f"onnx:{path}@then=nearest", 8)(lr).shape == (3, 3, 64, 80)


def test_onnx_range_is_converted(tmp_path, lr):
    path = write_onnx(tmp_path / "negative.onnx", ANY, factor=-1.0)
    negative = load_model(f"onnx:{path}@range=-1:1", 2)(lr)
    torch.testing.assert_close(negative, 1 - lr.repeat_interleave(2, -1).repeat_interleave(2, -2))
    with pytest.raises(InputError, match="not LOW:HIGH"):
        load_model(f"onnx:{path}@range=1", 2)


@pytest.mark.parametrize(
    ("shape", "message"), [((4, 3, "h", "w"), "batches of 4"), (("n", 1, "h", "w"), "float32")]
)
def test_onnx_of_other_inputs_is_refused(tmp_path, shape, message):
    pytest.importorskip("onnx")
    path = write_onnx(tmp_path / "m.onnx", shape)
    with pytest.raises(WeightsError, match=message):
        load_model(f"onnx:{path}", 2)


def test_a_damaged_onnx_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="onnxruntime cannot load"):
        load_model(f"onnx:{path}", 2)


def test_tensors_outside_of_the_onnx_file_count_and_stay_in_its_folder(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", ANY, external="m.data")
    before = parse_model(f"onnx:{path}").describe(2).revision
    assert load_model(f"onnx:{path}", 2).spec.revision == before
    data = tmp_path / "m.data"
    data.write_bytes(data.read_bytes()[:-1] + b"\x41")
    assert parse_model(f"onnx:{path}").describe(2).revision != before
    path.write_bytes(path.read_bytes().replace(b"m.data", b"../etc"))
    with pytest.raises(WeightsError, match="outside of its folder"):
        load_model(f"onnx:{path}", 2)


@pytest.mark.parametrize("name", ["d" * 123 + ".data", "d" * 124 + ".bin", "d" * 240, "é" * 70])
def test_names_of_any_length_count(tmp_path, name):
    path = write_onnx(tmp_path / "m.onnx", ANY, external=name)
    before = parse_model(f"onnx:{path}").describe(2).revision
    data = tmp_path / name
    data.write_bytes(data.read_bytes()[:-1] + b"\x41")
    assert parse_model(f"onnx:{path}").describe(2).revision != before


def test_tensors_in_nested_folders_count(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = write_onnx(tmp_path / "m.onnx", ANY, external="a/b/m.data")
    before = parse_model(f"onnx:{path}").describe(2).revision
    data = tmp_path / "a" / "b" / "m.data"
    data.write_bytes(data.read_bytes()[:-1] + b"\x41")
    assert parse_model(f"onnx:{path}").describe(2).revision != before


def outside(name: str, location: str = "t.data"):
    """A tensor that lies in another file."""
    from onnx import external_data_helper, numpy_helper

    tensor = numpy_helper.from_array(np.ones(4, np.float32), name)
    external_data_helper.set_external_data(tensor, location, 0, 16)
    tensor.ClearField("raw_data")
    return tensor


def graph_with(place: str, location: str):
    """A model with an external tensor at one place and nowhere else."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    tensor = outside("t", location)
    constant = helper.make_node("Constant", [], ["t"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [])
    graph = helper.make_graph([], "main", [], [])
    model = helper.make_model(graph)
    if place == "initialiser":
        model.graph.initializer.append(tensor)
    elif place == "constant":
        model.graph.node.append(constant)
    elif place == "branch":
        model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner))
    elif place == "initialiser of a branch in a branch":
        inner = helper.make_graph([], "inner", [], [], [tensor])
        outer = helper.make_graph([helper.make_node("Loop", ["n"], ["z"], body=inner)], "o", [], [])
        model.graph.node.append(helper.make_node("If", ["c"], ["y"], else_branch=outer))
    elif place in ("sparse values", "sparse indices"):
        sparse = onnx.SparseTensorProto(dims=[9])
        getattr(sparse, place.partition(" ")[2]).CopyFrom(tensor)
        model.graph.sparse_initializer.append(sparse)
    elif place == "sparse attribute":
        sparse = onnx.SparseTensorProto(values=tensor, dims=[9])
        model.graph.node.append(helper.make_node("Constant", [], ["t"], sparse_value=sparse))
    elif place == "list of tensors":
        model.graph.node.append(helper.make_node("Some", [], ["t"], tensors=[tensor]))
    elif place == "list of graphs":
        model.graph.node.append(helper.make_node("Some", [], ["t"], graphs=[inner]))
    elif place == "function":
        opset = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("d", "F", [], ["t"], [constant], opset))
    elif place == "training":
        model.training_info.add().algorithm.CopyFrom(inner)
    return model


PLACES = (
    "initialiser",
    "constant",
    "branch",
    "initialiser of a branch in a branch",
    "sparse values",
    "sparse indices",
    "sparse attribute",
    "list of tensors",
    "list of graphs",
    "function",
    "training",
)


@pytest.mark.parametrize("place", PLACES)
def test_external_tensors_are_found_wherever_they_stand(tmp_path, place):
    model = graph_with(place, "t" * 200)
    assert external_files(model.SerializeToString()) == {"t" * 200}
    path = tmp_path / "m.onnx"
    for location in ("../t.data", "/t.data", "a/../../t.data", "..\\t.data", "C:\\t.data"):
        path.write_bytes(graph_with(place, location).SerializeToString())
        with pytest.raises(WeightsError, match="outside of its folder"):
            parse_model(f"onnx:{path}").describe(2)
    path.write_bytes(graph_with(place, "t" * 200).SerializeToString())
    with pytest.raises(WeightsError, match="is not beside it"):
        parse_model(f"onnx:{path}").describe(2)
    path.write_bytes(graph_with(place, "t" * 999).SerializeToString())
    with pytest.raises(WeightsError, match="is not beside it"):
        parse_model(f"onnx:{path}").describe(2)


def test_damaged_graphs_end_in_one_error(tmp_path: Path):
    whole = graph_with("branch", "t").SerializeToString()
    rng = np.random.default_rng(0)
    for length in range(len(whole)):
        cut = bytearray(whole[: length + 1])
        cut[int(rng.integers(len(cut)))] = int(rng.integers(256))
        with suppress(NotOnnxError):
            external_files(bytes(cut))
