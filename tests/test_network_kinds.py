"""Networks of every kind that a factory may return, odd outputs, and odd specs."""

from __future__ import annotations

import copy
import functools
import warnings

import numpy as np
import pytest
import torch
from tiny_models import UP, double, write_code

from affectbench.adapters import load_model
from affectbench.adapters.adapted import AdaptedNetwork, network_for
from affectbench.adapters.contract import run_model
from affectbench.cli.main import main
from affectbench.errors import ModelError
from affectbench.images.tensors import quantise
from affectbench.types import ModelSpec

CPU = torch.device("cpu")


class Net(torch.nn.Module):
    """x2, with BatchNorm and dropout, so that training mode would show."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return double(self.body(x))


class Stubborn(Net):
    """Its own methods return nothing, refuse, or give another object."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def to(self, *args, **kwargs):
        if self.how == "refuses":
            raise ValueError("`.to` is not supported for 8-bit networks")
        return None if self.how == "returns nothing" else copy.deepcopy(self)

    def train(self, mode=True):
        if self.how == "refuses":
            raise NotImplementedError
        super().train(mode)
        return None if self.how == "returns nothing" else self

    def requires_grad_(self, requires_grad=True):
        raise RuntimeError("requires_grad_ is not supported on ScriptModules")


class Holder:
    """A class with a network inside, that can be called."""

    def __init__(self) -> None:
        self.net = Net().eval()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def _scripted(save: bool, tmp_path):
    made = torch.jit.script(Net())
    if save:
        torch.jit.save(made, tmp_path / "m.ts")
        made = torch.jit.load(tmp_path / "m.ts")
    return made


def _exported(program: bool):
    batch = torch.export.Dim("n")
    example = (torch.rand(2, 3, 8, 10),)
    made = torch.export.export(Net().eval(), example, dynamic_shapes=({0: batch},))
    return made if program else made.module()


KINDS = {
    "module": lambda _: Net(),
    "scripted": lambda p: _scripted(False, p),
    "TorchScript from a file": lambda p: _scripted(True, p),
    "frozen": lambda _: torch.jit.freeze(torch.jit.script(Net().eval())),
    "traced": lambda _: torch.jit.trace(Net().eval(), torch.rand(3, 3, 8, 10)),
    "exported": lambda _: _exported(True),
    "module of an exported": lambda _: _exported(False),
    "compiled": lambda _: torch.compile(Net(), backend="eager"),
    "DataParallel": lambda _: torch.nn.DataParallel(Net()),
    "returns nothing": lambda _: Stubborn("returns nothing"),
    "gives another": lambda _: Stubborn("gives another"),
    "refuses": lambda _: Stubborn("refuses").apply(lambda m: setattr(m, "training", False)),
    "partial": lambda _: functools.partial(Net().eval()),
    "object": lambda _: Holder(),
    "quantised": lambda _: torch.ao.quantization.quantize_dynamic(Net(), {torch.nn.Linear}),
    "half inside": lambda _: torch.nn.Sequential(Net()).requires_grad_(False),
    "made in inference mode": lambda _: torch.inference_mode()(Net)(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_every_kind_are_taken(tmp_path, lr, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, _ = network_for(KINDS[kind](tmp_path), CPU)
    model = AdaptedNetwork(network, ModelSpec("m", 2, "r"), 2)
    # BatchNorm of fresh statistics divides by the root of 1 + 1e-5.
    expected = quantise(double(lr) / np.sqrt(1 + 1e-5))
    assert (run_model(model, lr, 2).int() - expected.int()).abs().max() <= 1


def test_a_lazy_network_has_no_count_yet():
    network, parameters = network_for(torch.nn.LazyConv2d(3, 1), CPU)
    assert parameters is None and callable(network)
    assert network_for(Net(), CPU)[1] == 6
    assert network_for(double, CPU) == (double, None)


def test_torchscript_from_a_factory_has_a_row(tmp_path, capsys):
    """Case 07: and no other row is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(torch.nn.Upsample(scale_factor=8), torch.rand(1, 3, 16, 16))
        torch.jit.save(made, tmp_path / "m.ts")
    path = write_code(
        tmp_path,
        f"def build(scale): return torch.jit.load({str(tmp_path / 'm.ts')!r})\n"
        "def function(scale):\n    m = build(scale).eval()\n    return lambda x: m(x)",
    )
    models = f"bicubic,python:{path}:build@name=M,python:{path}:function@name=expected,lanczos"
    command = ["compare", "--models", models, "--metrics", "psnr", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[2:6]}
    assert rows["M"] == rows["expected"] and {"bicubic", "lanczos"} < set(rows)
    assert main(["check", f"python:{path}:build"]) == 0


@pytest.mark.parametrize(
    "body",
    [
        "class Net(torch.nn.Module):\n"
        "    def to(self, d): raise torch.cuda.OutOfMemoryError('full')\n"
        "def build(scale): return Net()",
        "class Net(torch.nn.Module):\n    def parameters(self): raise KeyError('p')\n"
        "def build(scale): return Net()",
        "class Net:\n    @property\n    def spec(self): raise TypeError('s')\n"
        "    def __call__(self, x): return x\ndef build(scale): return Net()",
        "class Meta(type):\n    def __call__(cls, *a): raise RuntimeError('meta')\n"
        "class build(metaclass=Meta): pass",
    ],
)
def test_an_exception_anywhere_in_loading_costs_that_row_only(tmp_path, capsys, body):
    path = write_code(tmp_path, body)
    command = ["compare", "--models", f"lanczos,python:{path}:build@name=M", "--metrics", "psnr"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().out
    assert "raised" in shown and "lanczos         2" in shown


class Image(torch.Tensor):
    """A subclass that only has a name."""


class Liar(torch.Tensor):
    """A subclass that answers every question with nonsense."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return "nonsense"


class Wrapper(torch.Tensor):
    """A tensor without memory of its own."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError("nothing can be computed with this")


@pytest.mark.parametrize(
    "kind",
    [
        lambda x: x.as_subclass(Image),
        lambda x: x.as_subclass(Liar),
        torch.nn.Parameter,
        lambda x: x.to(torch.float64),
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.clone().requires_grad_(),
    ],
)
def test_tensors_that_are_plain_underneath_are_taken(lr, kind):
    with torch.inference_mode(False):
        made = kind(double(lr).clone())
    model = AdaptedNetwork(lambda _: made, ModelSpec("m", 2, "r"), 2)
    assert torch.equal(run_model(model, lr, 2), quantise(double(lr)))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16"])
def test_floats_of_few_bits_are_floats(lr, dtype):
    made = double(lr).to(getattr(torch, dtype))
    model = AdaptedNetwork(lambda _: made, ModelSpec("m", 2, "r"), 2)
    assert torch.equal(run_model(model, lr, 2), quantise(made.float()))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (lambda x: x.to("meta"), "on the device 'meta'"),
        (Wrapper, "gave a Wrapper; a plain tensor is needed"),
        (lambda x: x.to_sparse(), r"gave a tensor of torch\.sparse_coo; a dense one"),
        (lambda x: x.to_mkldnn(), "a dense one"),
        (lambda x: x.to(torch.complex64), r"gave torch\.complex64"),
        (lambda x: x > 0, r"gave torch\.bool"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), r"gave torch\.quint8"),
        (lambda x: torch.nested.nested_tensor(list(x)), "m: "),
        (lambda x: x.numpy(), "gave a ndarray, not a tensor"),
        (lambda x: {"sr": x}, "gave a dict, not a tensor"),
        (lambda x: x[:0], "one whole factor"),
        (lambda x: torch.empty(0), "one whole factor"),
    ],
)
def test_tensors_that_are_none_are_errors_of_the_model(lr, kind, said):
    made = kind(double(lr))
    model = AdaptedNetwork(lambda _: made, ModelSpec("m", 2, "r"), 2)
    with pytest.raises(ModelError, match=said):
        run_model(model, lr, 2)


@pytest.mark.parametrize(
    "spec",
    [
        "{'scale': '2'}",
        "{'scale': 2.5}",
        "{'scale': True}",
        "{'scale': 0}",
        "{'scale': [2]}",
        "{'parameters': 'many'}",
        "{'parameters': -1}",
        "{'size_multiple': 0}",
        "{'size_multiple': '8'}",
        "{'value_range': 3}",
        "{'value_range': (0, 1, 2)}",
        "{'value_range': (1, 0)}",
        "{'value_range': ('0', '1')}",
        "{'value_range': (0, float('nan'))}",
        "{'value_range': torch.zeros(2)}",
        "{'licence': 3}",
        "{'note': b'x'}",
        "{'trained_on': 5}",
        "{'trained_on': [None]}",
        "{'trained_against': {1: 2}}",
        "{2: 3}",
        "[1, 2]",
        "'x2'",
        "lambda: {}",
        "affectbench.types.ModelSpec('m', '2', 'r')",
    ],
)
def test_wrong_specs_name_the_field_and_cost_the_row(tmp_path, spec):
    path = write_code(
        tmp_path,
        f"import affectbench.types\nspec = {spec}\n"
        f"def build(scale): return lambda x: {UP.format(2)}",
    )
    with pytest.raises(ModelError, match="its spec ") as caught:
        load_model(f"python:{path}:build", 2)
    assert "\n" not in str(caught.value)


def test_numbers_of_other_libraries_are_numbers(tmp_path):
    spec = (
        "{'scale': np.int64(2), 'parameters': np.int32(5), 'value_range': [np.float32(-1), 1], "
        "'trained_on': ['celeba']}"
    )
    path = write_code(
        tmp_path,
        f"import numpy as np\nspec = {spec}\ndef build(scale): return lambda x: {UP.format(2)}",
    )
    made = load_model(f"python:{path}:build", 2).spec
    assert (made.scale, made.parameters, made.value_range) == (2, 5, (-1.0, 1))
    assert {type(v) for v in (made.scale, made.parameters, *made.value_range)} == {int, float}
