"""Faces whose files have not changed are not read again to be identified; changed ones are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import pattern
from PIL import Image

from affectbench.cli.main import main
from affectbench.datasets import files, remembered

OLD = 1_700_000_000


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four faces; files count as settled at once."""
    monkeypatch.setattr(remembered, "SETTLED_NS", -(10**18))
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(4):
        written(folder / f"face{i}.bmp", i)
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the faces that are read."""
    found: list[str] = []
    read = files.read_image

    def noted(path: Path) -> object:
        found.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(files, "read_image", noted)
    return found


def written(path: Path, seed: int) -> None:
    """Every picture has the same size in bytes, and the same time."""
    Image.fromarray(pattern(seed)).save(path)
    os.utime(path, (OLD, OLD))


def compared(faces: Path, out: Path, *more: str) -> int:
    """A run of one model and one metric."""
    command = ["compare", "--models", "nearest", "--datasets", "mine", "--data", f"mine={faces}"]
    command += ["--hr-size", "64", "--scale", "4", "--metrics", "psnr", "--out", str(out), *more]
    return main(command)


def revision(out: Path) -> str:
    """The revision of the data set of the last run."""
    (cell, *_rest) = json.loads((out / "run.json").read_text())["cells"]
    return str(json.loads((out / "records" / f"{cell}.json").read_text())["cell"]["dataset"])


def test_a_second_run_reads_nothing(faces: Path, reads: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert compared(faces, out) == 0
    table, first = (out / "table.csv").read_bytes(), revision(out)
    assert sorted(reads) == sorted(path.name for path in faces.iterdir())
    reads.clear()
    assert compared(faces, out) == 0
    assert (reads, revision(out)) == ([], first)
    assert (out / "table.csv").read_bytes() == table
    assert compared(faces, out, "--verify") == 0
    assert len(reads) == 4
    reads.clear()
    assert compared(faces, out, "--rerun", "all") == 0
    assert len(reads) == 4
    assert (out / "table.csv").read_bytes() == table


def replaced(face: Path) -> None:
    """By a file of the same size and time, as `cp --preserve` does."""
    other = face.with_name("other.bmp")
    written(other, 77)
    other.replace(face)


def rewritten(face: Path) -> None:
    """In place, with the time set back."""
    other = face.with_name("other.bmp")
    written(other, 78)
    content = other.read_bytes()
    other.unlink()
    with face.open("r+b") as sink:
        sink.write(content)
    os.utime(face, (OLD, OLD))


def touched(face: Path) -> None:
    """With other pixels and a new time."""
    Image.fromarray(pattern(79)).save(face)


@pytest.mark.parametrize("change", [replaced, rewritten, touched])
def test_a_changed_face_is_read_and_makes_another_set(
    faces: Path, reads: list[str], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    assert compared(faces, out) == 0
    first = revision(out)
    reads.clear()
    change(faces / "face2.bmp")
    assert compared(faces, out) == 0
    assert reads[0] == "face2.bmp"  # to be identified; the others once, to be measured
    assert sorted(reads) == [f"face{i}.bmp" for i in range(4)]
    assert revision(out) != first


def test_another_protocol_crop_or_model_reads_what_it_needs(
    faces: Path, reads: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert compared(faces, out) == 0
    reads.clear()
    assert compared(faces, out, "--scale", "8") == 0
    assert len(reads) == 4
    reads.clear()
    assert compared(faces, out) == 0  # both protocols are remembered
    assert reads == []
    assert compared(faces, out, "--models", "bicubic") == 0
    assert len(reads) == 4  # once, to be measured


def test_what_was_just_written_is_read_again(
    faces: Path, reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "SETTLED_NS", 10**18)
    for _ in range(2):
        reads.clear()
        assert compared(faces, tmp_path / "out") == 0
        assert len(reads) == 4


def test_a_file_that_lies_about_its_times_is_found_when_it_is_read(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a file system without times of change: never another face under the old revision."""
    out = tmp_path / "out"
    assert compared(faces, out) == 0
    stat = Path.stat
    states = {path: stat(path) for path in faces.iterdir()}
    replaced(faces / "face1.bmp")
    monkeypatch.setattr(Path, "stat", lambda path, **given: states.get(path) or stat(path, **given))
    assert compared(faces, out, "--models", "bicubic") == 2
    assert "face1.bmp: is not what an earlier run read" in (error := capsys.readouterr().err)
    assert "run again with --verify" in error
    assert compared(faces, out, "--models", "bicubic", "--verify") == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "sets": {}}', None])
def test_a_damaged_memory_is_no_memory(
    faces: Path, reads: list[str], tmp_path: Path, text: str | None
) -> None:
    out = tmp_path / "out"
    assert compared(faces, out) == 0
    first = revision(out)
    path = out / ".faces.json"
    path.write_text(path.read_text().replace("0", "1", 9) if text is None else text)
    reads.clear()
    assert compared(faces, out) == 0
    assert len(reads) == 4
    assert revision(out) == first
