"""The built wheel, away from the checkout: what it holds, and that it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what is committed or lies in the tree."""
    out = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    source = out / "source"
    for name in listed.stdout.decode().splitlines():
        if name.startswith(("affectbench/", "pyproject.toml", "README.md", "LICENSE")):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_it_holds_weights_and_licences_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "affectbench/judges/weights/mini_xception.safetensors" in names
    assert "affectbench/judges/weights/face_api_expression.safetensors" in names
    assert "affectbench/judges/weights/resnet_ferplus.safetensors" in names
    assert "affectbench/judges/weights/resnet_ferplus.md" in names
    assert not [name for name in names if "resnet_fer." in name or "resnet_fer/" in name]
    assert "affectbench/faces/weights/face_recognition.safetensors" in names
    assert "affectbench/faces/weights/face_mesh.safetensors" in names
    assert "affectbench/py.typed" in names
    assert "affectbench/datasets/demo/astronaut.png" in names
    assert "affectbench/report/html/templates/page.html.j2" in names
    assert "affectbench/report/html/assets/base.css" in names
    licences = [name for name in names if ".dist-info/licenses/" in name]
    assert sum(name.endswith("NOTICE.md") for name in licences) >= 3
    assert any(name.endswith("LICENSE") for name in licences)
    assert not [
        name for name in names if name.startswith(("tests/", "tools/", "leaderboards/", "runs/"))
    ]
    pictures = [name for name in names if name.endswith((".png", ".jpg", ".npz", ".zip"))]
    assert {Path(name).name for name in pictures} == {"astronaut.png", "grace_hopper.png"}
    assert wheel.stat().st_size < 20_000_000


def test_it_runs_outside_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target"]
    subprocess.run([*command, str(target), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    where = [sys.executable, "-c", "import affectbench; print(affectbench.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert found.stdout.decode().startswith(str(target))
    arguments = ["-m", "affectbench.cli.main", "compare", "--models", "nearest,bicubic,lanczos"]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    table = pd.read_csv(tmp_path / "affectbench-out" / "table.csv")
    assert set(table.model[:3]) == {"nearest", "bicubic", "lanczos"}
    assert table.ecm.notna().all()
