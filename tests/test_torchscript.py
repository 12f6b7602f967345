"""`torchscript:FILE`: programs that compute are run, others are refused before torch opens them."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from affectbench import compare, load_model
from affectbench.adapters import parse_model
from affectbench.adapters.torchscript_archive import _require_harmless, checked_archive
from affectbench.assets.untrusted import read_weights
from affectbench.errors import AffectBenchError, InputError, UnknownNameError, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Up(nn.Module):
    """x8 with a convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.PReLU())
        self.up = nn.Upsample(scale_factor=8.0, mode="bilinear", align_corners=False)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return (self.up(lr + 0.1 * self.body(lr))).clamp(0.0, 1.0)


class Writes(nn.Module):
    """Writes a file when it is called."""

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        torch.save(lr, "written.pt")
        return lr


class WritesWhenLoaded(nn.Module):
    """Writes a file while it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:  # type: ignore[override]
        return self.kept, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.kept = state[0]
        self.training = state[1]
        torch.save(self.kept, "written.pt")

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return lr


class Maps(nn.Module):
    """Maps a file of the machine."""

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return lr + torch.from_file("/etc/hosts", False, 4, dtype=torch.uint8)


def save(module: nn.Module, path: Path, traced: bool = False) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(module, torch.rand(1, 3, 16, 16)) if traced else None
        torch.jit.save(program or torch.jit.script(module), str(path))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("traced", [True, False])
def test_a_program_is_the_network(traced: bool, here: Path) -> None:
    save(Up().eval(), here / "up.pt", traced)
    result = compare({"file": "torchscript:up.pt", "object": Up()}, metrics="psnr", out=here / "o")
    assert result.failed == ()
    assert result.table.psnr[0] == pytest.approx(result.table.psnr[1], abs=1e-4)
    spec = load_model("torchscript:up.pt").spec
    assert (spec.scale, spec.note, spec.revision_lacks) == (8, "TorchScript x8", "")
    assert spec.parameters == sum(p.numel() for p in Up().parameters())
    save(Up().eval(), here / "up.pt", traced)
    with torch.no_grad():
        other = Up().eval()
        other.body[0].weight.add_(0.1)  # type: ignore[union-attr, operator]
    save(other, here / "up.pt", traced)
    assert load_model("torchscript:up.pt").spec.revision != spec.revision


def test_options_are_those_of_onnx(here: Path) -> None:
    save(nn.Upsample(scale_factor=4.0), here / "x4.ts")
    with pytest.raises(InputError, match="is a x4 model and x8 is asked for; add @then=bicubic"):
        load_model("torchscript:x4.ts")
    loaded = load_model("torchscript:x4.ts@then=bicubic@range=-1:1")
    assert loaded.spec.value_range == (-1, 1)  # type: ignore[union-attr]
    lr = torch.rand(1, 3, 8, 8)
    assert loaded(lr).shape == (1, 3, 64, 64)  # type: ignore[operator]


def test_a_program_in_its_own_process(here: Path) -> None:
    save(Up().eval(), here / "up.ts")
    plain, apart = (
        compare("torchscript:up.ts", metrics="psnr", isolate=isolate) for isolate in (False, True)
    )
    assert plain.table.psnr[0] == apart.table.psnr[0]


@pytest.mark.parametrize("kind", [Writes, WritesWhenLoaded, Maps])
def test_programs_that_do_more_are_refused_unopened(kind: Any, here: Path) -> None:
    save(kind(), here / "evil.pt")
    Path("written.pt").unlink(missing_ok=True)
    with pytest.raises(WeightsError, match=r"refused: its program uses '(save|from_file)'"):
        load_model("torchscript:evil.pt")
    assert not Path("written.pt").exists()


def edited(source: Path, target: Path, edit: Any) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = edit(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch written.pt",)


def test_no_pickle_is_executed(here: Path) -> None:
    save(Up().eval(), here / "up.pt")

    def poisoned(name: str, content: bytes) -> bytes:
        return pickle.dumps(Evil(), 2) if name.endswith("/data.pkl") else content

    edited(here / "up.pt", here / "evil.pt", poisoned)
    with pytest.raises(WeightsError, match=r"torch cannot load it \(.*Unknown type name"):
        load_model("torchscript:evil.pt")
    assert not Path("written.pt").exists()


@pytest.mark.parametrize(
    "line",
    [
        "torch.save(x, y)",
        "torch . save (x)",
        "ops.mine.run(x)",
        "ops . mine . run(x)",
        "torch.ops.mine.run(x)",
        "ops\n.mine.run(x)",
        'getattr(torch, "sa" "ve")(x)',
        'getattr(torch, "sigmoid")(x)',
        'getattr(self, "sa\\x76e")(x)',
        "x: __torch__.torch.classes.mine.Loader",
        "rpc_async(x)",
    ],
)
def test_what_a_source_may_not_name(line: str) -> None:
    with pytest.raises(WeightsError, match="refused: its program uses"):
        _require_harmless(f"def forward(self, x):\n    {line}\n", "a.pt")


@pytest.mark.parametrize(
    "line",
    [
        'getattr(self.body, "0").forward(x)',
        "ops.prim.NumToTensor(torch.size(x, 2))",
        "torch.conv2d(x, self.saved, self.classes, self.ops)",
        'ops.prim.RaiseException("ops.mine of classes", "builtins.ValueError")',
        "x: __torch__.torch.classes.quantized.Conv2dPackedParamsBase",
    ],
)
def test_what_a_source_may_name(line: str) -> None:
    _require_harmless(f"def forward(self, x):\n    {line}\n", "a.pt")


def test_files_of_other_kinds(here: Path) -> None:
    (here / "text.pt").write_text("no program")
    torch.save({"a": torch.zeros(1)}, here / "weights.pt")
    exported = torch.export.export(Up().eval(), (torch.rand(1, 3, 16, 16),))
    torch.export.save(exported, here / "exported.pt2")
    save(Up().eval(), here / "up.pt")
    (here / "cut.pt").write_bytes((here / "up.pt").read_bytes()[:-200])
    for name, says in (
        ("text.pt", "is not a TorchScript program"),
        ("weights.pt", r"is not a TorchScript program .*checkpoint:PATH"),
        ("exported.pt2", r"torch.export, and reading one can run Python .*python:FILE:build"),
        ("cut.pt", "is damaged"),
        ("none.pt", "no such file"),
    ):
        with pytest.raises(WeightsError, match=says):
            load_model(f"torchscript:{name}")


def test_torch_reads_what_was_checked_and_no_other_archive(here: Path) -> None:
    """A file with a second archive: torch takes offsets as they stand, Python corrects them."""
    good, evil = save(Up().eval(), here / "up.pt"), save(Writes(), here / "evil.pt")
    both = evil.read_bytes() + good.read_bytes()
    with zipfile.ZipFile(here / "up.pt") as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    anew = checked_archive(both, "both.pt")
    (here / "anew.pt").write_bytes(anew)
    with zipfile.ZipFile(here / "anew.pt") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
    assert anew.count(b"torch.save") == 0
    (here / "both.pt").write_bytes(both)
    load_model("torchscript:both.pt")(torch.rand(1, 3, 16, 16))  # type: ignore[operator]
    assert not Path("written.pt").exists()


def test_limits_of_an_archive(here: Path) -> None:
    save(Up().eval(), here / "up.pt")
    with zipfile.ZipFile(here / "up.pt", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("up/extra/zeros", bytes(200 << 20))
    with pytest.raises(WeightsError, match="unpacks to"):
        checked_archive((here / "up.pt").read_bytes(), "up.pt")
    deep = b"\x80\x02" + b"(" * 2000 + b"t" * 2000 + b"."
    edited(
        save(Up().eval(), here / "b.pt"),
        here / "deep.pt",
        lambda name, content: deep if name.endswith("constants.pkl") else content,
    )
    with pytest.raises(WeightsError, match="refused"):
        checked_archive((here / "deep.pt").read_bytes(), "deep.pt")


def test_a_network_that_fails_says_so(here: Path) -> None:
    save(nn.Linear(7, 7), here / "linear.pt")
    with pytest.raises(AffectBenchError, match=r"linear.pt: fails on \(1, 3, 16, 16\)"):
        load_model("torchscript:linear.pt")
    with pytest.raises(InputError, match="there is no option @size="):
        parse_model("torchscript:linear.pt@size=3")


def test_hints_lead_to_it(here: Path) -> None:
    save(Up().eval(), here / "up.ts")
    with pytest.raises(UnknownNameError, match=r"did you mean 'torchscript:up\.ts'"):
        parse_model("up.ts")
    save(Up().eval(), here / "up.pt")
    with pytest.raises(WeightsError, match="or run the program: torchscript:"):
        read_weights(here / "up.pt")
