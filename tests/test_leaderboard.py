"""Leaderboards: built from records, and every kind of tampering is found."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from run_writer import RunWriter, ecm_columns, edit_columns, edit_record, psnr_columns

from affectbench.cli.main import main
from affectbench.errors import InputError, RecordError
from affectbench.report.leaderboard import build, check


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with one board that agrees with itself."""
    (tmp_path / "published.csv").write_text("model,psnr\n")
    board = tmp_path / "boards" / "celeba-x8"
    board.mkdir(parents=True)
    writer = RunWriter(board)
    labels = ["happy"] * 12 + ["sad"] * 12
    for row, role in (("a", "model"), ("bicubic", "anchor")):
        writer.add(row, "ecm", ecm_columns(rng.uniform(0.2, 0.6, 24), labels), role=role)
        writer.add(row, "psnr", psnr_columns(rng.uniform(20, 30, 24)), role=role)
    writer.finish(["ecm", "psnr"])
    build(tmp_path)
    return tmp_path


def test_a_board_agrees_with_itself(root: Path) -> None:
    assert list(check(root)) == []
    table = pd.read_csv(root / "celeba-x8.csv")
    assert list(table.model) == ["a", "bicubic"]
    wanted = {"revision", "licence", "parameters", "convention", "judges", "crop", "date", "torch"}
    assert wanted <= set(table.columns)


def test_one_flipped_value_is_found(root: Path) -> None:
    def flip(columns: dict[str, np.ndarray]) -> None:
        values = columns["psnr"].copy()
        values[7] = np.nextafter(values[7], 100) + 1e-6
        columns["psnr"] = values

    edit_columns(next((root / "boards").rglob("psnr-*.json")), flip)
    assert any("'value' is" in problem for problem in check(root))


def test_a_changed_digit_is_found(root: Path) -> None:
    path = root / "celeba-x8.csv"
    text = path.read_text()
    position = text.index("0.", text.index("\n"))
    changed = "1" if text[position + 2] != "1" else "2"
    path.write_text(text[: position + 2] + changed + text[position + 3 :])
    assert [p for p in check(root) if "not what its records give" in p]


def test_a_changed_record_is_found(root: Path) -> None:
    path = next((root / "boards").rglob("ecm-*.json"))
    sound = path.read_text()
    content = json.loads(sound)
    content["values"]["value"] += 0.01
    path.write_text(json.dumps(content))
    assert any("its SHA-256 is another" in problem for problem in check(root))
    edit_record(path, lambda _content: None)
    assert any("'value' is" in problem for problem in check(root))
    edit_record(path, lambda content: content["cell"]["metric"].update(name="another"))
    assert any("is not that of the cell" in problem for problem in check(root))


@pytest.mark.parametrize(
    ("part", "field", "value", "says"),
    [
        ("model", "revision", "another", "says of its model"),
        ("dataset", "revision", "f" * 16, "is of other faces of 'celeba'"),
        ("protocol", "scale", 4, "says of its protocol"),
        ("metric", "direction", "higher", "the metric's direction"),
        ("metric", "identity", {"name": "ecm", "judge": "mini-xception"}, "says of its metric"),
        ("", "role", "published", "'role' is not one of model, anchor"),
    ],
)
def test_a_record_says_what_its_cell_says(
    root: Path, part: str, field: str, value: object, says: str
) -> None:
    path = next((root / "boards").rglob("ecm-*.json"))
    edit_record(path, lambda r: (r[part] if part else r).update({field: value}))
    with contextlib.suppress(RecordError):
        build(root)
    assert any(says in problem for problem in check(root))


def test_a_board_may_hold_a_failed_cell(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "published.csv").write_text("model,psnr\n")
    board = tmp_path / "boards" / "celeba-x8"
    board.mkdir(parents=True)
    writer = RunWriter(board)
    for row, error in (("a", ""), ("b", "boom")):
        writer.add(row, "psnr", psnr_columns(rng.uniform(20, 30, 24)), error=error)
    writer.finish(["psnr"])
    build(tmp_path)
    assert list(check(tmp_path)) == []
    table = pd.read_csv(tmp_path / "celeba-x8.csv").set_index("model")
    assert table.loc["b", "mark"] == "failed: boom"


def test_a_lost_column_is_found(root: Path) -> None:
    record = next((root / "boards").rglob("ecm-*.json"))
    edit_columns(record, lambda columns: columns.pop("p_k"))
    assert any("lacks the column p_k" in problem for problem in check(root))


def test_missing_files_are_found(root: Path) -> None:
    next((root / "boards").rglob("ecm-*.parquet")).unlink()
    assert any("cannot be read" in problem for problem in check(root))
    (root / "published.csv").unlink()
    assert any("published.csv" in problem for problem in check(root))


def test_the_command_says_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "check", "--root", str(root)]) == 0
    (root / "celeba-x8.csv").write_text("")
    assert main(["leaderboard", "check", "--root", str(root)]) == 1
    assert "celeba-x8.csv" in capsys.readouterr().out


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no boards"):
        build(tmp_path)


def test_published_rows_are_those_of_the_sources() -> None:
    published = pd.read_csv(ROOT / "leaderboards" / "published.csv")
    assert {"model", "dataset", "psnr", "ssim", "convention", "url"} <= set(published.columns)
    assert not published.duplicated(["model", "dataset", "url"]).any()
