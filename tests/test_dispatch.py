"""Runs on a pool of workers: the same bytes as a local run, whatever the order and whoever dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import pattern
from PIL import Image
from pools import PoolExecutor

from affectbench import compare
from affectbench.api import Comparison
from affectbench.errors import ChangedError, InputError, MissingExtraError
from affectbench.run.cluster import Cluster
from affectbench.run.worker import Unit

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
        pools = []

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
    kept = [out / "table.csv", *sorted((out / "images").rglob("*.parquet"))]
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
    local = run(faces, tmp_path / "local", rows, "local", metrics="ecm,psnr,ssim")
    assert {r.row for r in local.outcome.failed} == {"raises", "dark", "mixes", "unbuilt"}
    for seed in range(2):
        pool.seed = seed
        found = run(faces, tmp_path / f"pool{seed}", rows, metrics="ecm,psnr,ssim")
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
