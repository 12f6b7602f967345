"""Runs on a pool of workers: the same bytes as a local run, whatever the order and whoever dies."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from conftest import pattern
from PIL import Image
from pools import PoolExecutor

from affectbench import compare
from affectbench.api import Comparison
from affectbench.errors import ChangedError, InputError, MissingExtraError
from affectbench.run.cluster import Cluster
from affectbench.run.worker import Setup, Unit, Worker, versions

MODELS = """
import torch
from torch.nn.functional import interpolate
seen = []
def up(lr): return interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False)
def fine(scale): return up
def half(scale): return lambda lr: up(lr) / 2
def raises(scale):
    def model(lr): raise RuntimeError("no more ideas")
    return model
def dark(scale):
    def model(lr):
        if lr.mean() < 0.502: raise RuntimeError(f"too dark: {float(lr.mean()):.4f}")
        return up(lr)
    return model
def mixes(scale): return lambda lr: up(lr) + lr.mean() / 9
def unbuilt(scale): raise RuntimeError("cannot be built")
"""


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> type[PoolExecutor]:
    """Workers of this process instead of Ray's."""

    class Own(PoolExecutor):
        pools: ClassVar[list[Any]] = []

    monkeypatch.setattr("affectbench.run.session._ray_executor", Own)
    monkeypatch.setattr(Cluster, "require", lambda self: None)
    return Own


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """Models of which some fail, each in its own way."""
    path = tmp_path / "toy_models.py"
    path.write_text(MODELS)
    names = ("fine", "raises", "dark", "mixes", "unbuilt", "half")
    return ",".join(["bicubic", *(f"python:{path}:{name}@name={name}" for name in names)])


def run(faces: Path, out: Path, rows: str, executor: str = "ray", **more: Any) -> Comparison:
    given = {"hr_size": 64, "scale": 4, "batch_size": 2, "seed": 3, **more}
    return compare(rows, data={"toy": faces}, out=out, executor=executor, **given)


def tables(out: Path) -> dict[str, bytes]:
    """The bytes of everything that a run shows and keeps by face."""
    kept = [out / "table.csv", out / "long.csv", *sorted((out / "images").rglob("*.parquet"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def errors(result: Comparison) -> list[tuple[str, str, str]]:
    return sorted((r.row, r.metric["name"], r.error) for r in result.run.records)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    for i in range(9):
        Image.fromarray(pattern(i)).save(folder / f"face{i}.png")
    return folder


def specs(result: Comparison) -> dict[tuple[str, str], Any]:
    return {(r.row, r.metric["name"]): (r.model, r.status, r.n) for r in result.run.records}


def test_the_same_bytes_as_a_local_run(tmp_path: Path, faces: Path, rows: str, pool: Any) -> None:
    local = run(faces, tmp_path / "local", rows, "local", metrics="ecm,psnr,ssim,fed")
    assert {r.row for r in local.outcome.failed} == {"raises", "dark", "mixes", "unbuilt"}
    for seed in range(2):
        pool.seed = seed
        found = run(faces, tmp_path / f"pool{seed}", rows, metrics="ecm,psnr,ssim,fed")
        assert tables(found.folder) == tables(local.folder)
        assert errors(found) == errors(local)
        assert specs(found) == specs(local)
        assert not (found.folder / ".partial").exists()


def test_every_unit_is_computed_once(tmp_path: Path, faces: Path, pool: Any) -> None:
    done: list[tuple[str, int, int]] = []
    run(faces, tmp_path / "out", "bicubic,nearest", progress=lambda *now: done.append(now))
    numbers = [(unit.number, part.row) for unit in pool.pools[0].computed for part in unit.parts]
    assert len(numbers) == len(set(numbers))
    assert [now[1:] for now in done[:5]] == sorted({now[1:] for now in done[:5]})
    assert done[4] == done[-1] == ("toy", 9, 9)


@pytest.mark.parametrize("size", [1, 12])
def test_few_batches_and_many_workers(tmp_path: Path, faces: Path, pool: Any, size: int) -> None:
    local = run(faces, tmp_path / "local", "bicubic,nearest,lanczos", "local")
    pool.size = size
    found = run(faces, tmp_path / "pool", "bicubic,nearest,lanczos", batch_size=2)
    assert tables(found.folder) == tables(local.folder)
    widths = {len(unit.parts) for unit in pool.pools[0].computed}
    assert max(widths) == (5 if size == 1 else 2)


def deadly(*numbers: int, times: int = 1, alone: bool = False) -> Any:
    """Workers die so often of these batches; with `alone`, only of row 1."""
    left = dict.fromkeys(numbers, times)

    def dies(unit: Unit) -> bool:
        if not left.get(unit.number) or (alone and all(part.row != 1 for part in unit.parts)):
            return False
        left[unit.number] -= 1
        return True

    return staticmethod(dies)


def test_deaths_cost_nothing(tmp_path: Path, faces: Path, rows: str, pool: Any) -> None:
    local = run(faces, tmp_path / "local", rows, "local", metrics="psnr")
    messages: list[str] = []
    pool.dies = deadly(0, 1, 2, 3, 4, times=2)
    found = run(faces, tmp_path / "pool", rows, metrics="psnr", note=messages.append)
    assert tables(found.folder) == tables(local.folder)
    assert errors(found) == errors(local)
    assert sum("a worker died; what it had not finished" in line for line in messages) >= 5


def test_a_row_that_kills_its_workers_fails_alone(tmp_path: Path, faces: Path, pool: Any) -> None:
    local = run(faces, tmp_path / "local", "bicubic,lanczos", "local", metrics="psnr")
    pool.dies = deadly(2, times=99, alone=True)
    found = run(faces, tmp_path / "pool", "bicubic,nearest,lanczos", metrics="psnr")
    assert [r.row for r in found.outcome.failed] == ["nearest"]
    assert "nearest: 3 workers died of the same batch" in found.failed[0]
    kept = {k: v for k, v in tables(found.folder).items() if k.endswith(".parquet")}
    assert kept == {k: v for k, v in tables(local.folder).items() if k.endswith(".parquet")}


class Killed(BaseException):
    """The end of the process that gives out units."""


@pytest.mark.parametrize(("first", "then"), [("local", "ray"), ("ray", "local"), ("ray", "ray")])
def test_resumed_in_either_direction(
    tmp_path: Path, faces: Path, rows: str, pool: Any, first: str, then: str
) -> None:
    whole = run(faces, tmp_path / "whole", rows, "local", metrics="ecm,psnr")

    def stop(_name: str, done: int, _total: int) -> None:
        if done >= 4:
            raise Killed

    out = tmp_path / "out"
    with pytest.raises(Killed):
        run(faces, out, rows, first, metrics="ecm,psnr", progress=stop)
    assert not (out / "table.csv").exists()
    assert (out / ".partial").is_dir()
    pool.pools.clear()
    found = run(faces, out, rows, then, metrics="ecm,psnr")
    assert tables(out) == tables(whole.folder)
    assert errors(found) == errors(whole)
    if then == "ray":
        again = {
            unit.number for unit in pool.pools[0].computed for part in unit.parts if part.row == 0
        }
        assert 0 not in again or first == "ray"
        assert len(again) < 5


def test_images_are_saved_by_workers(tmp_path: Path, faces: Path, rows: str, pool: Any) -> None:
    def saved(out: Path) -> dict[str, bytes]:
        """The images but those of rows that fail half way: later batches may be there already."""
        whole = [p for p in out.rglob("*.png") if not p.parent.name.startswith(("dark", "mixes"))]
        return {str(p.relative_to(out)): p.read_bytes() for p in whole}

    local = run(faces, tmp_path / "local", rows, "local", metrics="psnr", save_images=True)
    found = run(faces, tmp_path / "pool", rows, metrics="psnr", save_images=True)
    assert saved(found.folder) == saved(local.folder)
    for path in list(found.folder.rglob("*.png"))[::3]:
        path.unlink()
    before = tables(found.folder)
    run(faces, found.folder, rows, metrics="psnr", save_images=True)
    assert saved(found.folder) == saved(local.folder)
    assert tables(found.folder) == before


def test_no_pixels_travel(tmp_path: Path, faces: Path, pool: Any, monkeypatch: Any) -> None:
    run(faces, tmp_path / "out", "bicubic", metrics="psnr")
    assert len(pool.pools[0]._plan) < 40_000  # 9 faces of 64x64 are 110,592 bytes


def test_a_face_that_changes_meanwhile(tmp_path: Path, pool: Any, monkeypatch: Any) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(pattern(i)).save(folder / f"{i}.png")
    begin = pool.run

    def swapped(self: Any, *given: Any) -> None:
        Image.fromarray(pattern(7)).save(folder / "2.png")
        begin(self, *given)

    monkeypatch.setattr(pool, "run", swapped)
    with pytest.raises(ChangedError, match=r"2\.png: changed while the run"):
        run(folder, tmp_path / "out", "bicubic", metrics="psnr")


def test_what_a_worker_must_share(tmp_path: Path, faces: Path) -> None:
    plan = SimpleNamespace(device="cpu", cells=())
    here = Setup(str(tmp_path), (str(faces),), {}, versions(), 1, None)
    for change, problem in [
        ({"paths": ("/no/such/folder",)}, "/no/such/folder is not there"),
        ({"folder": "/no/such/place"}, "/no/such/place is not there"),
        ({"versions": {**versions(), "torch": "0.1"}}, "and the run was started with 0.1"),
    ]:
        assert problem in Worker().begin(plan, replace(here, **change)).problem  # type: ignore[arg-type]
    greeting = Worker().begin(replace_device(plan, "cuda:99"), here)
    assert "cuda:99" in greeting.problem


def replace_device(plan: Any, device: str) -> Any:
    return SimpleNamespace(**{**vars(plan), "device": device})


def test_options(tmp_path: Path, faces: Path) -> None:
    for option in ("address", "workers", "gpus_per_worker"):
        with pytest.raises(InputError, match="needs --executor ray"):
            run(faces, tmp_path, "bicubic", "local", **{option: 1})
    for given in ({"workers": 0}, {"gpus_per_worker": -1}, {"gpus_per_worker": 1.5}):
        with pytest.raises(InputError):
            run(faces, tmp_path, "bicubic", **given)
    with pytest.raises(InputError, match="--executor slurm: is none of local, ray"):
        run(faces, tmp_path, "bicubic", "slurm")


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"affectbench\[ray\]"):
        compare("bicubic", executor="ray")
