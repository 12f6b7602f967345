"""Models, judges and numbers as Python objects, passed to `compare` and `emotion_consistency`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from affectbench import compare, load_model
from affectbench.adapters.objects import name_of
from affectbench.errors import InputError, UnknownNameError


class Tiny(nn.Module):
    """x8, with a bias that decides what it gives, and BatchNorm that must be in evaluation mode."""

    def __init__(self, bias: float = 0.5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        enlarged = nn.functional.interpolate(self.norm(lr), scale_factor=8.0)
        return (0.5 * enlarged + self.bias).clamp(0, 1)


def enlarge(lr: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(lr, scale_factor=8)


def run(models: Any, **options: Any) -> Any:
    return compare(models, **{"metrics": "psnr", **options})


def revisions(result: Any) -> dict[str, str]:
    return {r.row: r.model["revision"] for r in result.run.records if r.role == "model"}


def test_a_module_is_a_row_beside_a_name() -> None:
    table = run([Tiny(), "bicubic,nearest", enlarge, lambda lr: 1.0 * enlarge(lr)]).table
    models = table[table.role == "model"].set_index("model").psnr
    assert list(models.index) == ["Tiny", "bicubic", "nearest", "enlarge", "lambda"]
    assert models["nearest"] == models["enlarge"] == models["lambda"]
    assert models["Tiny"] < models["bicubic"]


def test_the_module_is_left_as_it_was() -> None:
    net = Tiny().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    run(net)
    assert net.training and net.bias.requires_grad
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def changed_bias(net: Tiny) -> None:
    with torch.no_grad():
        net.bias.add_(0.1)


def changed_buffer(net: Tiny) -> None:
    net.norm.running_mean.add_(0.1)  # type: ignore[operator, union-attr]


def changed_code(net: Tiny) -> None:
    net.forward = lambda lr: enlarge(lr) * 0.9  # type: ignore[method-assign]


def changed_attribute(net: Tiny) -> None:
    net.norm.eps = 0.3


@pytest.mark.parametrize("change", [changed_bias, changed_buffer, changed_code, changed_attribute])
def test_a_number_is_never_that_of_another_model(
    change: Callable[[Tiny], None], tmp_path: Path
) -> None:
    net = Tiny()
    first = run([net], out=tmp_path)
    again = run([net], out=tmp_path)
    assert first.outcome.computed > 0
    assert again.outcome.computed == 0
    assert again.table.psnr[0] == first.table.psnr[0]
    change(net)
    other = run([net], out=tmp_path)
    assert other.outcome.computed == 1
    assert other.table.psnr[0] != first.table.psnr[0]


def test_what_a_function_encloses_is_part_of_it(tmp_path: Path) -> None:
    def scaled(by: float) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda lr: by * enlarge(lr)

    values = revisions(run({"a": scaled(0.5), "b": scaled(0.6), "c": scaled(0.5)}))
    assert values["a"] == values["c"] != values["b"]
    assert name_of(functools.partial(enlarge)) == "enlarge"


def test_code_without_a_file_is_hashed_too() -> None:
    def typed(text: str) -> Any:
        names: dict[str, Any] = {"torch": torch, "__name__": "__main__"}
        exec(f"def up(lr): return {text}", names)  # as in a notebook's cell
        return names["up"]

    plain = "torch.nn.functional.interpolate(lr, scale_factor=8)"
    values = revisions(run({"a": typed(plain), "b": typed(f"0.5 * {plain}"), "c": typed(plain)}))
    assert values["a"] == values["c"] != values["b"]


def test_what_cannot_be_hashed_is_computed_again_and_says_so(tmp_path: Path) -> None:
    calls = []

    def noisy(lr: torch.Tensor) -> torch.Tensor:
        calls.append(1)  # keeps state from call to call
        return enlarge(lr)

    notes: list[str] = []
    run(noisy, out=tmp_path, note=notes.append)
    assert any(note.startswith("noisy: is computed again, ") for note in notes)
    assert run(noisy, out=tmp_path).outcome.computed == 1


def test_a_mapping_names_the_rows() -> None:
    table = run({"small": Tiny(0.4), "large": Tiny(0.5), "cubic": "bicubic"}).table
    assert list(table[table.role == "model"].model) == ["small", "large", "cubic"]


@pytest.mark.parametrize(
    "kind",
    [
        lambda net: torch.jit.trace(net, torch.rand(1, 3, 16, 16)),
        torch.jit.script,
        nn.Sequential,
        nn.DataParallel,
        lambda net: torch.export.export(net, (torch.rand(2, 3, 16, 16),), dynamic_shapes=_ANY),
    ],
    ids=["traced", "scripted", "sequential", "parallel", "exported"],
)
def test_modules_of_every_kind(kind: Callable[[nn.Module], Any]) -> None:
    net = Tiny().eval()
    result = run({"plain": net, "other": kind(net)})
    assert result.failed == ()
    plain, other = result.table.psnr[:2]
    assert other == pytest.approx(plain, abs=1e-3)


_ANY = ({0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")},)


def test_what_a_module_declares_is_used() -> None:
    class Signed(nn.Module):
        spec = {"value_range": (-1, 1), "licence": "MIT", "trained_on": "demo"}  # noqa: RUF012

        def forward(self, lr: torch.Tensor) -> torch.Tensor:
            return enlarge(lr)

    result = run([Signed(), "nearest"])
    assert result.table.psnr[0] == pytest.approx(result.table.psnr[1], abs=1e-3)
    record = result.run.records[0]
    assert (record.model["licence"], record.model["trained_on"]) == ("MIT", ["demo"])


def test_a_loaded_model_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "import torch\n\nspec = {'value_range': (-1, 1)}\n\n\ndef build():\n"
        "    return torch.nn.Upsample(scale_factor=8)\n"
    )
    loaded = load_model(f"python:{tmp_path / 'm.py'}:build@name=up")
    table = run([load_model("lanczos"), loaded, "nearest"], out=tmp_path / "o").table
    assert list(table.model[:3]) == ["lanczos", "up", "nearest"]
    assert table.psnr[1] == pytest.approx(table.psnr[2], abs=1e-3)
    assert run([loaded], out=tmp_path / "o").outcome.computed == 0


def test_an_object_that_fails_costs_its_row_alone(tmp_path: Path) -> None:
    def broken(lr: torch.Tensor) -> torch.Tensor:
        raise ValueError("no weights")

    result = run([broken, "bicubic"], out=tmp_path)
    assert result.failed == ("broken on demo: broken: raised ValueError: no weights",)
    assert result.table.psnr[1] > 18


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([Tiny(), Tiny()], r"both be called 'Tiny'; name them: \{'NAME': model\}"),
        ([Tiny], "Tiny is a class, not a model; pass an instance"),
        (3, "int is no kind of model"),
        ([None], "NoneType is no kind of model"),
        ([Path("x.onnx")], "Path is no kind of model; .* 'checkpoint:x4.pth'"),
        ({"": Tiny()}, "has no name"),
        ({"a@b=c": "bicubic"}, "cannot be the name of a row"),
        ({"a": "bicubic@name=b"}, "is named twice"),
        ([], "no models"),
        ({}, "no models"),
        ("object:Tiny", "was an object of another Python process"),
    ],
)
def test_what_is_no_model(models: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        run(models)


def test_an_object_stays_in_its_process() -> None:
    for options in ({"isolate": True}, {"timeout": 5}, {"executor": "ray", "workers": 1}):
        with pytest.raises(InputError, match=r"Tiny: is an object of this process"):
            run(Tiny(), **options)


def test_a_name_beside_an_object_is_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bicubic'"):
        run([Tiny(), "bicubik"])


def test_numbers_of_numpy() -> None:
    table = run(Tiny(), scale=np.int64(8), seed=np.float64(1), batch_size=np.uint8(1)).table
    assert table.psnr[0] == run(Tiny()).table.psnr[0]
