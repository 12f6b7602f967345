"""`onnx:`: shapes, scale, range, and tensors in other files."""

from __future__ import annotations

import pytest
import torch
from tiny_models import ANY, write_onnx

from affectbench.adapters import load_model, parse_model
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
