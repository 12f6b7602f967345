"""The contract: how the runner calls a model, and how a broken one is found out."""

from __future__ import annotations

import pytest
import torch
from tiny_models import ANY, UP, double, write_code, write_onnx

from affectbench.adapters import parse_model
from affectbench.adapters.adapted import AdaptedNetwork, pad_to_multiple
from affectbench.adapters.contract import check_contract, run_model
from affectbench.errors import ModelError
from affectbench.images.tensors import quantise
from affectbench.types import ModelSpec


def test_padding_reflects_then_replicates():
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    padded = pad_to_multiple(x, 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 5].tolist() == [0, 1, 2, 1, 0, 0, 0, 0]
    assert pad_to_multiple(padded, 8) is padded


def test_sizes_are_padded_and_cut_back(lr):
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[-2:]))
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    model = AdaptedNetwork(network, ModelSpec("m", 2, "r", size_multiple=8), 2)
    assert torch.equal(model(lr), lr.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert seen == [(8, 16)]


def _model(function, **fields):
    return AdaptedNetwork(function, ModelSpec("m", 2, "r", **fields), 2)


def test_running_quantises_like_everything_else(lr):
    overshoot = _model(lambda x: double(x) * 1.2 - 0.1)
    assert torch.equal(run_model(overshoot, lr, 2), quantise(double(lr) * 1.2 - 0.1))
    assert not run_model(_model(double), lr, 2).requires_grad


def _raises(x: torch.Tensor) -> torch.Tensor:
    raise KeyError("inside")


def _one_nan(x: torch.Tensor) -> torch.Tensor:
    out = double(x).clone()
    out[1, 2, 3, 4] = float("nan")
    return out


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raises, "m: raised KeyError: 'inside'"),
        (_one_nan, "1 of 2?[0-9]+ output values are NaN"),
        (lambda x: double(x) / 0, "NaN or infinite"),
        (lambda x: double(x) * 255, r"lie in \[0, 255\].*declare value_range"),
        (lambda x: double(x) * 2 - 1, r"lie in \[-1, 1\].*declare value_range"),
        (lambda x: double(x)[..., :-1], "one whole factor"),
        (lambda x: double(x)[:1], "one whole factor"),
        (lambda x: double(x)[:, :1], "one whole factor"),
        (lambda x: double(x)[0], "one whole factor"),
        (lambda x: x[..., ::2, ::2], "one whole factor"),
        (lambda x: [double(x)], "gave a list, not a tensor"),
        (lambda x: x, "is a x1 model and x2"),
    ],
)
def test_broken_models_are_model_errors(lr, function, message):
    lr[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    with pytest.raises(ModelError, match=message):
        run_model(_model(function), lr, 2)


def test_a_pixel_far_off_is_clamped(lr):
    """A network may overshoot at a spot; that is not another range, and the face counts."""

    def one_spot(x: torch.Tensor) -> torch.Tensor:
        out = double(x).clone()
        out[0, 0, 0, 0] = 1.7
        return out

    sr = run_model(_model(one_spot), lr, 2)
    assert sr[0, 0, 0, 0] == 255
    assert torch.equal(sr.flatten()[1:], run_model(_model(double), lr, 2).flatten()[1:])


def test_integers_are_no_output(lr):
    class Integers:
        spec = ModelSpec("m", 2, "r")

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return quantise(double(x))

    with pytest.raises(ModelError, match=r"gave torch\.uint8"):
        run_model(Integers(), lr, 2)


def test_the_whole_contract_is_kept_by_good_models(esrgan, tmp_path):
    onnx = write_onnx(tmp_path / "x4.onnx", ANY)
    for argument in ("bicubic", f"checkpoint:{esrgan}", f"onnx:{onnx}@then=lanczos"):
        findings = check_contract(parse_model(argument), 4, "cpu")
        assert [f.name for f in findings if not f.ok] == []
        assert {"determinism", "LR only", "batch invariance", "speed"} <= {f.name for f in findings}


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ("    return lambda x: 1 / 0", {"output"}),
        (f"    return lambda x: {UP.format(3)}", {"output"}),
        (f"    return lambda x: {UP.format(2)} + 0.1 * torch.rand(1)", {"determinism", "LR only"}),
        (f"    return lambda x: {UP.format(2)} * 1.3", {"range"}),
        (f"    return lambda x: {UP.format(2)} * len(x) / 4", {"batch invariance"}),
        (f"    return lambda x: {UP.format(2)} + 0.3 * x.mean()", {"batch invariance"}),
        ("    return lambda x: (x.mul_(0.5), " + UP.format(2) + ")[1]", {"input kept"}),
        (
            "    def f(x):\n        assert x.shape[-1] == 16\n        return " + UP.format(2) + "\n"
            "    return f",
            {"odd sizes"},
        ),
        (
            "    last = [0.0]\n    def f(x):\n        out = " + UP.format(2) + " + 0.1 * last[0]\n"
            "        last[0] = float(x[0, 0, 0, 0])\n        return out\n    return f",
            {"LR only"},
        ),
    ],
)
def test_each_broken_part_is_found(tmp_path, body, broken):
    path = write_code(tmp_path, f"def build(scale):\n{body}")
    findings = check_contract(parse_model(f"python:{path}:build"), 2)
    found = {finding.name for finding in findings if not finding.ok}
    assert broken <= found


def test_a_model_that_does_not_load_is_a_finding(esrgan):
    (finding,) = check_contract(parse_model(f"checkpoint:{esrgan}"), 8)
    assert not finding.ok and "@then=" in finding.detail


def test_a_fixed_size_is_no_breach_if_it_is_declared(tmp_path):
    path = write_onnx(tmp_path / "x2.onnx", (1, 3, 16, 16))
    findings = check_contract(parse_model(f"onnx:{path}"), 2)
    assert all(finding.ok for finding in findings)
