"""Files that change while a run is under way: what was hashed is what is scored, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import pattern
from PIL import Image
from test_run import toy

from affectbench.cli.main import main
from affectbench.datasets import pairs
from affectbench.results.runs import load_run

MODELS = """
import pathlib, shutil
from torch.nn.functional import interpolate

def swaps(scale, folder, other):
    calls = []
    def model(lr):
        calls.append(0)
        if len(calls) == 4:  # the second batch: the first, and two faces of it alone, came before
            change(pathlib.Path(folder), pathlib.Path(other))
        return interpolate(lr, scale_factor=4)
    return model
"""
CHANGES = {
    "content": "shutil.copy(other / 'face6.png', folder / 'face6.png')",
    "removed": "(folder / 'face6.png').unlink()",
    "damaged": "(folder / 'face6.png').write_bytes(b'no picture')",
    "replaced": "[shutil.copy(path, folder) for path in other.iterdir()]",
}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Eight pictures that a test may change."""
    return drawn(tmp_path / "faces", 0)


def drawn(folder: Path, seed: int) -> Path:
    """A folder of eight pictures."""
    folder.mkdir()
    for i in range(8):
        Image.fromarray(pattern(seed + i)).save(folder / f"face{i}.png")
    return folder


def meddler(tmp_path: Path, how: str, link: Path) -> str:
    """A model that changes the files behind a link; the link is not there when it is planned."""
    path = tmp_path / "meddler.py"
    path.write_text(f"{MODELS}\ndef change(folder, other):\n    {CHANGES[how]}\n")
    other = drawn(tmp_path / "other", 50)
    return f"python:{path}:swaps@folder={link}@other={other}@name=meddler"


@pytest.mark.parametrize("how", CHANGES)
def test_results_that_change_fail_their_row(tmp_path: Path, faces: Path, how: str) -> None:
    results, whole = drawn(tmp_path / "results", 20), drawn(tmp_path / "whole", 20)
    rows = f"{meddler(tmp_path, how, results)},images:{results}@name=mine@mismatch=allow,nearest"
    out = tmp_path / "out"
    assert main(toy(faces, out, rows, "--metrics", "psnr")) == 1
    table = pd.read_csv(out / "table.csv").set_index(["role", "model"])
    mark = table.loc[("model", "mine"), "marks"]
    assert "changed while the run was under way" in mark
    assert str(results / ("face2.png" if how == "replaced" else "face6.png")) in mark
    assert np.isnan(table.loc[("model", "mine"), "psnr"])
    assert table.loc[("model", "nearest"), "psnr"] > 0
    # As they are by now they are other results, with a number of their own.
    main(toy(faces, out, f"images:{results}@name=mine@mismatch=allow", "--metrics", "psnr"))
    found = pd.read_csv(out / "table.csv").set_index("model").loc["mine"]
    assert found["missing"] == (how in ("removed", "damaged"))
    first = load_run(out).records[0].model["revision"]
    main(toy(faces, out, f"images:{whole}@name=mine@mismatch=allow", "--metrics", "psnr"))
    assert load_run(out).records[0].model["revision"] != first


def test_results_that_come_during_a_run_are_no_part_of_it(tmp_path: Path, faces: Path) -> None:
    results = drawn(tmp_path / "results", 20)
    late = (results / "face6.png").rename(tmp_path / "late.png")
    path = tmp_path / "late.py"
    change = f"shutil.copy({str(late)!r}, folder / 'face6.png')"
    path.write_text(f"{MODELS}\ndef change(folder, other):\n    {change}\n")
    model = f"python:{path}:swaps@folder={results}@other=x@name=late"
    rows = f"{model},images:{results}@name=mine@mismatch=allow"
    out = tmp_path / "out"
    assert main(toy(faces, out, rows, "--metrics", "psnr")) == 0
    record = next(r for r in load_run(out).records if r.row == "mine")
    assert [image_id for image_id, _ in record.failed] == ["face6"]


def test_results_that_change_before_they_are_loaded(
    tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from affectbench.run import execute

    results = drawn(tmp_path / "results", 20)
    load = execute.load_source

    def later(*given: object) -> object:
        (results / "face2.png").write_bytes((faces / "face2.png").read_bytes())
        return load(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(execute, "load_source", later)
    arguments = toy(
        faces, tmp_path / "out", f"images:{results}@name=mine@mismatch=allow", "--metrics", "psnr"
    )
    assert main(arguments) == 1
    record = load_run(tmp_path / "out").records[0]
    assert record.status == "failed"
    assert "was changed meanwhile" in record.error


@pytest.mark.parametrize("how", CHANGES)
def test_originals_that_change_end_the_run(
    tmp_path: Path,
    faces: Path,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Beyond what is kept in memory: here nothing is."""
    monkeypatch.setattr(pairs, "KEPT_BYTES", 0)
    out = tmp_path / "out"
    rows = f"{meddler(tmp_path, how, faces)},nearest"
    assert main(toy(faces, out, rows, "--metrics", "psnr")) == 2
    error = capsys.readouterr().err
    assert str(faces / "face") in error
    assert "Traceback" not in error
    assert not (out / "table.csv").exists()
    assert not list((out / "records").rglob("*.json"))


@pytest.mark.parametrize("how", CHANGES)
def test_originals_in_memory_stay_what_they_were(
    tmp_path: Path, faces: Path, how: str, toy_faces: Path
) -> None:
    rows = f"{meddler(tmp_path, how, faces)},nearest"
    assert main(toy(faces, tmp_path / "out", rows, "--metrics", "psnr")) == 0
    assert main(toy(toy_faces, tmp_path / "right", "nearest", "--metrics", "psnr")) == 0
    tables = [
        pd.read_csv(tmp_path / name / "table.csv").set_index(["role", "model"])
        for name in ("out", "right")
    ]
    values = [table.loc[("model", "nearest"), "psnr"] for table in tables]
    assert values[0] == values[1]


@pytest.mark.parametrize("anchor", ["wrong-face", "one-face"])
def test_originals_that_an_anchor_shows(
    tmp_path: Path,
    faces: Path,
    anchor: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are read once more for it, out of their turn."""
    from affectbench.run import sources

    monkeypatch.setattr(pairs, "KEPT_BYTES", 0)
    change: Callable[[], object] = lambda: [  # noqa: E731
        path.write_bytes((drawn_once / path.name).read_bytes()) for path in faces.iterdir()
    ]
    drawn_once = drawn(tmp_path / "later", 70)
    kind = sources.WrongFaceSource if anchor == "wrong-face" else None
    if kind is not None:
        produce = kind.produce

        def after(self: sources.WrongFaceSource, batch: sources.Batch) -> sources.Produced:
            change()
            return produce(self, batch)

        monkeypatch.setattr(kind, "produce", after)
    else:
        from affectbench.run import execute

        best = execute.best_constant_face

        def chosen(*given: object, **options: object) -> int:
            change()
            return best(*given, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(execute, "best_constant_face", chosen)
    assert main(toy(faces, tmp_path / "out", "nearest", "--metrics", "ecm")) == 2
    assert "changed while the run was under way" in capsys.readouterr().err
