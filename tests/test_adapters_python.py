"""`python:`: factories of every form, what they declare, and what they may not break."""

from __future__ import annotations

import sys

import pytest
import torch
from tiny_models import UP, double, function_model, write_code

from affectbench.adapters import load_model
from affectbench.adapters.contract import run_model
from affectbench.errors import InputError, ModelError


@pytest.mark.parametrize(
    "signature", ["scale", "*, scale, device", "", "scale=2, extra='x'", "**options"]
)
def test_factories_of_every_form(tmp_path, lr, signature):
    body = f"def build({signature}):\n    return lambda x: {UP.format(2)}"
    model = load_model(f"python:{write_code(tmp_path, body)}:build", 2)
    assert run_model(model, lr, 2).shape == (3, 3, 16, 20)


def test_other_options_go_to_the_factory(tmp_path, lr):
    path = write_code(
        tmp_path, f"def build(scale, gain): return lambda x: float(gain) * {UP.format(2)}"
    )
    dark = load_model(f"python:{path}:build@gain=0", 2)
    assert float(dark(lr).max()) == 0
    with pytest.raises(InputError, match="needs @gain=VALUE"):
        load_model(f"python:{path}:build", 2)
    with pytest.raises(InputError, match="did you mean @gain="):
        load_model(f"python:{path}:build@gian=0", 2)


@pytest.mark.parametrize("place", ["module", "factory", "model"])
def test_a_spec_declares(tmp_path, place):
    spec = "{'scale': 2, 'licence': 'MIT', 'trained_on': 'celeba', 'value_range': [-1, 1]}"
    body = f"""
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1)
def build(scale):
    net = Net()
    {f"net.spec = {spec}" if place == "model" else ""}
    return net
{f"build.spec = {spec}" if place == "factory" else ""}
{f"spec = {spec}" if place == "module" else ""}
"""
    target = f"python:{write_code(tmp_path, body)}:build"
    read = load_model(target, 2).spec
    assert (read.scale, read.licence, read.parameters) == (2, "MIT", 12)
    assert (read.trained_on, read.value_range) == (("celeba",), (-1, 1))
    assert load_model(f"{target}@licence=mine", 2).spec.licence == "mine"
    with pytest.raises(InputError, match="is a x2 model and x8"):
        load_model(target, 8)


def test_a_wrong_spec_is_an_error(tmp_path):
    path = write_code(tmp_path, "spec = {'scales': 2}\ndef build(): return lambda x: x")
    with pytest.raises(ModelError, match="its spec is"):
        load_model(f"python:{path}:build", 2)


def test_python_is_completed_by_then_whatever_its_scale(tmp_path, lr):
    target = function_model(tmp_path, UP.format(2))
    with pytest.raises(ModelError, match=r"is a x2 model and x8 is asked for; add @then=bicubic"):
        run_model(load_model(target, 8), lr, 8)
    assert run_model(load_model(f"{target}@then=nearest", 8), lr, 8).shape == (3, 3, 64, 80)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('on import')", "raised RuntimeError: on import"),
        ("import sys; sys.exit(3)", "raised SystemExit: 3"),
        ("def build(scale): raise ValueError('in factory')", "raised ValueError: in factory"),
        ("def build(scale)", "raised SyntaxError"),
        ("def build(scale): return 3", "returned a int"),
    ],
)
def test_what_user_code_raises_is_a_model_error(tmp_path, body, message):
    with pytest.raises(ModelError, match=message):
        load_model(f"python:{write_code(tmp_path, body)}:build", 2)


def test_a_factory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="has no function 'create'"):
        load_model(f"python:{write_code(tmp_path, 'x = 1')}:create", 2)


def test_files_leave_no_trace_and_do_not_see_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before, path = set(sys.modules), list(sys.path)
    seen = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "neighbour.py").write_text(f"WHO = '{name}'")
        body = "import neighbour\ndef build(): return lambda x: neighbour.WHO"
        seen.append(load_model(f"python:{write_code(folder, body)}:build", 2).network(None))
    assert seen == ["a", "b"]
    assert not list(tmp_path.rglob("*.pyc"))
    assert sys.path == path and not sys.dont_write_bytecode
    assert {n for n in set(sys.modules) - before if not n.startswith("affectbench_user_")} == set()


def test_modules_are_found_by_name(lr, tmp_path, monkeypatch):
    package = tmp_path / "installed_models"
    package.mkdir()
    (package / "__init__.py").touch()
    path = write_code(package, f"def build(): return lambda x: {UP.format(2)}", "nets.py")
    monkeypatch.syspath_prepend(tmp_path)
    model = load_model("python:installed_models.nets:build", 2)
    assert torch.equal(model(lr), double(lr))
    again = load_model("python:installed_models.nets:build", 2)
    assert model.spec.revision == again.spec.revision and not again.spec.revision_lacks
    path.write_text(f"import torch\ndef build(): return lambda x: {UP.format(2)} / 2")
    monkeypatch.delitem(sys.modules, "installed_models.nets")
    assert load_model("python:installed_models.nets:build", 2).spec.revision != again.spec.revision
