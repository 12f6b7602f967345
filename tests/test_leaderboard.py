"""Leaderboards: built from records, and every kind of tampering is found."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, affectbench_here
from run_writer import RunWriter, ecm_columns, edit_columns, edit_record, psnr_columns

from affectbench import compare
from affectbench.api import rerun_leaderboard
from affectbench.cli.main import main
from affectbench.datasets.manifest import Face
from affectbench.errors import InputError, RecordError
from affectbench.records import read_columns, write_columns
from affectbench.report.leaderboard import build, check
from affectbench.report.site.build import write_site
from affectbench.types import content_id


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with one board that agrees with itself, its cells in loose files."""
    (tmp_path / "published.csv").write_text("model,psnr\n")
    board = tmp_path / "boards" / "celeba-x8"
    board.mkdir(parents=True)
    writer = RunWriter(board)
    labels = ["happy"] * 12 + ["sad"] * 12
    for row, role in (("a", "model"), ("bicubic", "anchor")):
        writer.add(row, "ecm", ecm_columns(rng.uniform(0.2, 0.6, 24), labels), role=role)
        writer.add(row, "psnr", psnr_columns(rng.uniform(20, 30, 24)), role=role)
    writer.finish(["ecm", "psnr"])
    write_tables(tmp_path)
    return tmp_path


def write_tables(root: Path) -> None:
    """Build a copy, and put its tables beside the boards, which stay loose."""
    for path in build(shutil.copytree(root, root / "packed")):
        shutil.copy(path, root)


def test_a_board_agrees_with_itself(root: Path) -> None:
    assert list(check(root)) == []
    table = pd.read_csv(root / "celeba-x8.csv")
    assert list(table.model) == ["a", "bicubic"]
    assert len(table.columns) <= 20
    about = json.loads((root / "celeba-x8.json").read_text())
    assert {"datasets", "protocol", "convention", "judges", "crops", "rows"} <= set(about)
    of_row = {"revision", "licence", "parameters", "trained_on", "date", "torch"}
    assert all(of_row <= set(row) for row in about["rows"])


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


@pytest.mark.parametrize("name", ["celeba-x8.csv", "celeba-x8-long.csv", "celeba-x8.json"])
def test_each_file_of_a_board_is_checked(root: Path, name: str) -> None:
    sound = (root / name).read_bytes()
    (root / name).write_bytes(sound.replace(b"bicubic", b"bicubik", 1))
    (problem,) = check(root)
    assert problem.startswith(f"{root / name}: is not what its records give")
    (root / name).unlink()
    (problem,) = check(root)
    assert problem.startswith(f"{root / name}: is missing")


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
    assert table.loc["b", "marks"] == "failed: boom"


def records_of(root: Path, metric: str) -> list[Path]:
    return sorted((root / "boards").rglob(f"{metric}-*.json"))


def images_of(record: Path) -> Path:
    return Path(str(record).replace("/records/", "/images/")).with_suffix(".parquet")


def exchanged(root: Path) -> None:
    one, other = map(images_of, records_of(root, "psnr"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def copied(root: Path) -> None:
    one, other = map(images_of, records_of(root, "psnr"))
    one.write_bytes(other.read_bytes())


def permuted(root: Path) -> None:
    path = images_of(records_of(root, "ecm")[0])
    columns = read_columns(path)
    write_columns({**columns, "id": columns["id"][::-1].copy()}, path)


def altered(root: Path) -> None:
    path = images_of(records_of(root, "ecm")[0])
    columns = read_columns(path)
    write_columns({**columns, "ecm": columns["ecm"] + 1e-12}, path)


def one_byte(root: Path) -> None:
    path = images_of(records_of(root, "ecm")[1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("change", [exchanged, copied, permuted, altered, one_byte])
def test_values_that_are_not_those_of_their_record(
    root: Path, tmp_path_factory: pytest.TempPathFactory, change: Callable[[Path], None]
) -> None:
    change(root)
    assert any("SHA-256 is another" in problem for problem in check(root))
    with pytest.raises(RecordError, match="SHA-256 is another"):
        build(root)  # it does not bless what it finds
    with pytest.raises(RecordError, match="SHA-256 is another"):
        write_site(root, tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("kind", ["one id", "all ids of a record", "one face less"])
def test_foreign_faces_are_found_although_all_hashes_fit(root: Path, kind: str) -> None:
    def change(columns: dict[str, np.ndarray]) -> None:
        ids = columns["id"].astype(object)
        if kind == "one id":
            ids[3] = "stranger"
        elif kind == "all ids of a record":
            ids = np.array([f"x{i}" for i in ids], dtype=object)
        columns["id"] = ids
        if kind == "one face less":
            columns.update({name: column[1:] for name, column in columns.items()})

    record = records_of(root, "psnr")[0]
    edit_columns(record, change)
    if kind == "one face less":
        edit_record(record, lambda content: content.update(n=23))
        edit_record(record, lambda content: content["values"].update(n=23))
    with pytest.raises(RecordError, match="the faces of celeba are not those") as caught:
        build(root)
    assert str(record.parent.parent.parent) in str(caught.value)
    assert any("the faces of celeba are not those" in problem for problem in check(root))


def test_a_failed_face_is_one_of_the_set(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "published.csv").write_text("model,psnr\n")
    writer = RunWriter(tmp_path / "boards" / "b")
    every = psnr_columns(rng.uniform(20, 30, 24))
    writer.add("a", "psnr", every)
    part = {name: column[2:] for name, column in every.items()}
    failed = [(str(i), "lost") for i in every["id"][:2]]
    record = writer.add("b", "psnr", part, failed=failed)
    writer.finish(["psnr"])
    write_tables(tmp_path)
    assert list(check(tmp_path)) == []
    edit_record(record, lambda content: content["failed"][0].__setitem__(0, "another"))
    assert any(
        "are not those of" in problem and "another" in problem for problem in check(tmp_path)
    )
    edit_record(record, lambda content: content["failed"].pop())
    assert any("22 values and 1 failures for 24" in problem for problem in check(tmp_path))


def test_faces_of_a_manifest_are_those_of_the_manifest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = tuple(Face(f"{i:06d}", "", "") for i in range(24))
    known = SimpleNamespace(revision="0" * 16, faces=faces)
    for record in [*records_of(root, "psnr"), *records_of(root, "ecm")]:
        edit_record(record, lambda r: r["protocol"].update(hr_size=128, kernel="pil-bicubic"))
    monkeypatch.setattr("affectbench.results.boards.committed", lambda *_a: known)
    assert not any("manifest" in problem for problem in check(root))
    known.faces = faces[1:]
    assert any("not those of its manifest: 000000" in problem for problem in check(root))


def test_a_row_is_one_model(root: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["cell"]["model"] = record["model"]["revision"] = "another"
        record["id"] = content_id(record["cell"])

    edit_record(records_of(root, "ecm")[0], change)
    assert any("is of another model than the rest of its row" in problem for problem in check(root))


def test_old_records_get_their_hashes_and_must_have_them(root: Path) -> None:
    for path in [*records_of(root, "psnr"), *records_of(root, "ecm")]:
        content = json.loads(path.read_text())
        del content["sha256"], content["images_sha256"]
        path.write_text(json.dumps(content))
    problems = list(check(root))
    assert len([p for p in problems if "has no SHA-256; affectbench leaderboard build" in p]) == 4
    build(root)
    assert list(check(root)) == []
    packed = root / "boards" / "celeba-x8"
    assert (packed / "records.jsonl").read_bytes() == (
        root / "packed" / "boards" / "celeba-x8" / "records.jsonl"
    ).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in packed.rglob("*.*")}
    build(root)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_belongs_to_no_record_is_found(root: Path) -> None:
    path = images_of(records_of(root, "ecm")[0])
    path.with_name("left.parquet").write_bytes(path.read_bytes())
    assert any("belongs to no record" in problem for problem in check(root))


def test_every_damaged_file_is_named(root: Path) -> None:
    for path in records_of(root, "ecm"):
        path.write_bytes(path.read_bytes()[:100])
    assert len([p for p in check(root) if "the record is damaged" in p]) == 2
    (root / "celeba-x8.csv").write_bytes(b"\xff\xfe")
    assert affectbench_here("leaderboard", "check", "--root", root).returncode == 1


def test_a_csv_that_is_no_text(root: Path) -> None:
    (root / "celeba-x8.csv").write_bytes(b"\xff\xfe")
    assert any("is not what its records give" in problem for problem in check(root))


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


@pytest.fixture
def rerunnable(tmp_path: Path, toy_faces: Path) -> tuple[Path, Path]:
    """A board of two data sets that is there to be run again, and where its faces are."""
    root, data = tmp_path / "root", tmp_path / "data"
    for name in ("one", "two"):
        shutil.copytree(toy_faces, data / name)
    board = root / "boards" / "both"
    options: dict[str, Any] = {"metrics": "psnr", "hr_size": 64, "batch_size": 4}
    compare("nearest,lanczos", "one,two", data_root=data, out=board, **options)
    return root, data


def test_every_data_set_of_a_board_is_run_again(rerunnable: tuple[Path, Path]) -> None:
    root, data = rerunnable
    assert rerun_leaderboard(root, data) == []
    record = next((root / "boards" / "both" / "records" / "two" / "lanczos").glob("psnr-*.json"))
    edit_columns(record, lambda columns: columns.update(psnr=columns["psnr"] + 0.01))
    (problem,) = rerun_leaderboard(root, data)
    assert problem.startswith("two: lanczos, psnr: 8 of 8 faces differ")


def test_a_model_without_its_weights_costs_its_own_row(
    rerunnable: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`real-esrgan` is published weights that a fresh cache does not hold."""
    root, data = rerunnable
    path = root / "boards" / "both" / "run.json"
    run = json.loads(path.read_text())
    run["settings"]["arguments"].append("real-esrgan")
    path.write_text(json.dumps(run))
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path / "cache"))
    found = rerun_leaderboard(root, data)
    start = "real-esrgan was not run again: "
    assert [text.partition(start)[:2] for text in found] == [("one: ", start), ("two: ", start)]
    assert all("affectbench assets fetch real-esrgan-x4plus" in text for text in found)
    record = next((root / "boards" / "both" / "records" / "two" / "lanczos").glob("psnr-*.json"))
    edit_columns(record, lambda columns: columns.update(psnr=columns["psnr"] + 0.01))
    assert any(text.startswith("two: lanczos, psnr") for text in rerun_leaderboard(root, data))


def test_a_packed_board_is_run_again(rerunnable: tuple[Path, Path]) -> None:
    root, data = rerunnable
    record = next((root / "boards" / "both" / "records" / "two" / "lanczos").glob("psnr-*.json"))
    edit_columns(record, lambda columns: columns.update(psnr=columns["psnr"] + 0.01))
    build(root)
    assert not list((root / "boards").rglob("psnr-*"))
    (problem,) = rerun_leaderboard(root, data)
    assert problem.startswith("two: lanczos, psnr: 8 of 8 faces differ")


def test_the_boards_are_few_files() -> None:
    """Seven boards, of up to 18 rows, shall have at most 150 files."""
    boards = [path.parent for path in (ROOT / "leaderboards" / "boards").glob("*/run.json")]
    for board in boards:
        files = [path for path in board.rglob("*.*") if path.is_file() and path.name[0] != "."]
        rows = len(list((board / "values").rglob("*.parquet")))
        assert len(files) == 2 + rows <= 20


@pytest.fixture(params=["resnet-fer alone", "beside another"])
def old(request: pytest.FixtureRequest, tmp_path: Path, toy_faces: Path) -> tuple[Path, Path]:
    """A board as one whose first judge came with the library then, and where its faces are."""
    root, data = tmp_path / "root", tmp_path / "data"
    (root / "published.csv").parent.mkdir()
    (root / "published.csv").write_text("model,psnr\n")
    shutil.copytree(toy_faces, data / "one")
    board = root / "boards" / "board"
    options: dict[str, Any] = {"metrics": "ecm,psnr", "hr_size": 64, "batch_size": 4}
    judges = ["face-api"] if "alone" in request.param else ["face-api", "mini-xception"]
    compare("nearest,lanczos", "one", data_root=data, out=board, judges=judges, **options)
    retired = {"judge": "resnet-fer", "judge_revision": "1a9b5a5d781e951e"}
    run = (board / "run.json").read_text()
    for path in records_of(root, "ecm-face-api"):
        record = json.loads(path.read_text())
        record["metric"]["identity"] |= retired
        record["cell"]["metric"] |= retired
        record["id"] = content_id(record["cell"])
        edit_record(path, lambda content, record=record: content.update(record))
    (board / "run.json").write_text(run.replace('"face-api"', '"resnet-fer"'))
    return root, data


def test_a_board_of_a_judge_that_is_gone_is_built_checked_and_shown(
    old: tuple[Path, Path], tmp_path: Path
) -> None:
    root, _ = old
    build(root)
    assert list(check(root)) == []
    assert pd.read_csv(root / "board.csv")["ecm"].notna().all()
    judges = json.loads((root / "board.json").read_text())["judges"]
    assert next(iter(judges.items())) == ("resnet-fer", "1a9b5a5d781e951e")
    pages = write_site(root, tmp_path / "site")
    assert any("resnet-fer" in page.read_text(encoding="utf-8") for page in pages)


def test_cells_of_a_judge_that_is_gone_are_named_and_the_others_run_again(
    old: tuple[Path, Path],
) -> None:
    root, data = old
    gone = (
        "one: judge 'resnet-fer' no longer comes with affectbench; 'resnet-ferplus' took its "
        "place: its cells were not run again"
    )
    assert rerun_leaderboard(root, data) == [gone]
    changed = [p for p in (root / "boards").rglob("lanczos/*.json") if "face-api" not in p.name]
    for path in changed:
        metric = path.name.partition("-")[0]
        edit_columns(path, lambda columns, m=metric: columns.update({m: columns[m] + 0.01}))
    found = rerun_leaderboard(root, data)
    assert found[0] == gone
    assert [line.partition(",")[0] for line in found[1:]] == ["one: lanczos"] * len(changed)


def test_a_row_that_cannot_be_run_again_is_named(rerunnable: tuple[Path, Path]) -> None:
    root, data = rerunnable
    path = root / "boards" / "both" / "run.json"
    run = json.loads(path.read_text())
    sound = json.dumps(run)
    run["settings"]["arguments"].remove("nearest")
    path.write_text(json.dumps(run))
    problems = rerun_leaderboard(root, data)
    assert [p.partition(" was not run again")[0] for p in problems] == [
        "one: nearest",
        "two: nearest",
    ]
    del run["settings"]["arguments"]
    path.write_text(json.dumps(run))
    assert all("do not say how they were made" in p for p in rerun_leaderboard(root, data))
    path.write_text(sound)
    shutil.rmtree(data / "two")
    assert [p for p in rerun_leaderboard(root, data) if "two is not there" in p]
