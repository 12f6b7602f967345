"""Packed cells: the same numbers in few files, every change of them found, and a run goes on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench import compare
from affectbench.cli.main import main
from affectbench.errors import RecordError
from affectbench.records import parse_record, record_data
from affectbench.report.html.build import write_report
from affectbench.report.leaderboard import build, check
from affectbench.results.boards import pack
from affectbench.results.runs import load_run
from affectbench.results.views import build_views
from affectbench.run.lock import locked
from affectbench.store import Store, digest_of
from affectbench.types import content_id

HIDDEN = (".lock", ".faces.json")
LABELS = ["happy"] * 12 + ["sad"] * 12


@pytest.fixture
def loose(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A board of three rows, not packed yet; one lacks faces, and one metric failed."""
    (tmp_path / "published.csv").write_text("model,psnr\n")
    writer = RunWriter(tmp_path / "boards" / "celeba-x8")
    for row, role in (("a", "model"), ("b", "model"), ("bicubic", "anchor")):
        writer.add(row, "ecm", ecm_columns(rng.uniform(0.2, 0.6, 24), LABELS), role=role)
        columns = psnr_columns(rng.uniform(20, 30, 24))
        columns["psnr"][3] = np.nan
        writer.add(row, "psnr", columns, role=role, error="boom" if row == "b" else "")
    part = {name: column[2:] for name, column in psnr_columns(rng.uniform(0, 1, 24)).items()}
    part["ssim"] = part.pop("psnr")
    writer.add("a", "ssim", part, failed=[("000000", "lost"), ("000001", "lost")])
    writer.finish(["ecm", "psnr", "ssim"])
    return tmp_path


@pytest.fixture
def root(loose: Path) -> Path:
    """The same, packed."""
    build(loose)
    return loose


def board(root: Path) -> Path:
    return root / "boards" / "celeba-x8"


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in HIDDEN)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_few_files_hold_the_same_values_bit_by_bit(loose: Path) -> None:
    before = load_run(board(loose))
    values = [before.columns(r) for r in before.records if r.status == "ok"]
    build(loose)
    names = content(board(loose))
    assert len(names) == 2 + 3
    assert len(names["records.jsonl"].splitlines()) == len(before.cells) == 7
    after = load_run(board(loose))
    assert [r.values for r in after.records] == [r.values for r in before.records]
    for old, record in zip(values, (r for r in after.records if r.status == "ok"), strict=True):
        new = after.columns(record)
        assert list(new) == list(old)
        for name, column in old.items():
            assert new[name].dtype == column.dtype
            assert np.array_equal(new[name], column, equal_nan=column.dtype.kind == "f")
    assert list(check(loose)) == []


def test_packing_is_deterministic(loose: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = shutil.copytree(loose, tmp_path_factory.mktemp("other") / "root")
    for folder in (loose, other):
        build(folder)
    assert content(loose) == content(other)
    first = content(loose)
    build(loose)
    assert content(loose) == first
    lines = first["boards/celeba-x8/records.jsonl"].splitlines()
    cells = [json.loads(line)["cell"] for line in lines]
    assert cells == sorted(cells)


def test_faces_in_another_order_and_bytes_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = RunWriter(tmp_path)
    first = writer.add("a", "psnr", psnr_columns(np.arange(24.0)))
    turned = {name: column[::-1].copy() for name, column in psnr_columns(np.arange(24.0)).items()}
    turned["ssim"], turned["raw"] = turned.pop("psnr"), np.array([b"\x00\xff"] * 24, dtype=object)
    writer.add("a", "ssim", turned)
    store.pack({})
    assert not first.exists()
    for cell, wanted in zip(writer.cells, (psnr_columns(np.arange(24.0)), turned), strict=True):
        found = store.columns(cell, store.record(cell))
        assert digest_of(found) == digest_of(wanted)
        assert found["id"].tolist() == wanted["id"].tolist()


def lines_of(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (board(root) / "records.jsonl").read_text().splitlines()]


def write_lines(root: Path, lines: list[dict[str, Any]], fit: bool = False) -> None:
    for line in lines:
        if fit:
            line["record"]["sha256"] = ""
            line["record"] = record_data(parse_record(line["record"], "a test"))
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (board(root) / "records.jsonl").write_text(text)


def values_of(root: Path, name: str) -> Path:
    """The values of a row; of the anchor for `bicubic`."""
    cell = next(line["cell"] for line in lines_of(root) if line["record"]["row"] == name)
    return Store(board(root)).values_path(cell)


def edit_values(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = values_of(root, "a")
    columns = pq.read_table(path).to_pydict()
    change(columns)
    pq.write_table(pa.table(columns), path)


def psnr_of(columns: dict[str, Any]) -> str:
    return next(name for name in columns if name.endswith("/psnr"))


def one_value(root: Path) -> None:
    edit_values(root, lambda columns: columns[psnr_of(columns)].__setitem__(5, 25.0))


def a_lost_value(root: Path) -> None:
    edit_values(root, lambda columns: columns[psnr_of(columns)].__setitem__(5, None))


def other_ids(root: Path) -> None:
    edit_values(root, lambda columns: columns.update(id=columns["id"][::-1]))


def a_lost_column(root: Path) -> None:
    edit_values(root, lambda columns: columns.pop(psnr_of(columns)))


def a_swapped_model(root: Path) -> None:
    one, other = values_of(root, "a"), values_of(root, "bicubic")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def one_byte(root: Path) -> None:
    path = values_of(root, "a")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def no_values(root: Path) -> None:
    values_of(root, "a").unlink()


def a_mean(root: Path) -> None:
    lines = lines_of(root)
    next(x for x in lines if x["record"]["values"])["record"]["values"]["mean"] += 0.001
    write_lines(root, lines)


def a_mean_that_fits(root: Path) -> None:
    lines = lines_of(root)
    next(x for x in lines if x["record"]["values"])["record"]["values"]["mean"] += 0.001
    write_lines(root, lines, fit=True)


def another_model(root: Path) -> None:
    lines = lines_of(root)
    record = next(x for x in lines if x["record"]["row"] == "a")["record"]
    record["model"]["revision"] = record["cell"]["model"] = "another"
    record["id"] = content_id(record["cell"])
    write_lines(root, lines, fit=True)


def swapped_lines(root: Path) -> None:
    lines = lines_of(root)
    lines[0]["record"], lines[1]["record"] = lines[1]["record"], lines[0]["record"]
    write_lines(root, lines)


def a_missing_line(root: Path) -> None:
    write_lines(root, lines_of(root)[1:])


def a_line_twice(root: Path) -> None:
    write_lines(root, [*lines_of(root), lines_of(root)[0]])


def half_a_line(root: Path) -> None:
    path = board(root) / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-100])


def a_line_more(root: Path) -> None:
    lines = lines_of(root)
    write_lines(root, [*lines, {**lines[0], "cell": f"{lines[0]['cell']}0"}])


def a_file_more(root: Path) -> None:
    path = values_of(root, "a")
    path.with_name("left.parquet").write_bytes(path.read_bytes())


def a_column_more(root: Path) -> None:
    edit_values(root, lambda columns: columns.update({"left-0/x": columns[psnr_of(columns)]}))


REFUSED = {
    one_value: "SHA-256 is another",
    a_lost_value: "the per-image values",
    other_ids: "SHA-256 is another",
    a_lost_column: "it has no values of the cell",
    a_swapped_model: "cannot be read|SHA-256 is another",
    one_byte: "cannot be read|SHA-256 is another",
    no_values: "cannot be read",
    a_mean: "its SHA-256 is another",
    swapped_lines: "names the per-image values of another cell",
    a_missing_line: "cannot be read",
    a_line_twice: "line 8 is damaged .*twice",
    half_a_line: "line 7 is damaged",
}
FOUND = {
    a_mean_that_fits: "'mean' is",
    another_model: "is of another model than the rest of its row",
    a_line_more: "is not part of the board's run.json",
    a_file_more: "belongs to no record",
    a_column_more: "belongs to no record",
}


@pytest.mark.parametrize("change", [*REFUSED, *FOUND])
def test_what_is_changed_in_packed_files_is_found(
    root: Path, change: Callable[[Path], None]
) -> None:
    says = {**REFUSED, **FOUND}[change]
    before = content(board(root))
    change(root)
    changed = content(board(root))
    assert changed != before
    problems = list(check(root))
    assert any(re.search(says, problem) for problem in problems), problems
    if change in REFUSED:
        with pytest.raises(RecordError, match=says):
            build(root)  # it does not bless what it finds
        assert content(board(root)) == changed


def test_a_loose_cell_replaces_the_packed_one(root: Path, rng: np.random.Generator) -> None:
    writer = RunWriter(board(root))
    writer.add("a", "psnr", psnr_columns(np.full(24, 33.0)))
    (cell,) = writer.cells
    assert cell in Store(board(root)).names()
    run = load_run(board(root))
    record = next(r for r in run.records if (r.row, r.metric["name"]) == ("a", "psnr"))
    assert record.values["value"] == 33.0
    assert (run.columns(record)["psnr"] == 33.0).all()
    pack(board(root))
    assert not (board(root) / "records").exists()
    assert Store(board(root)).record(cell).values["value"] == 33.0
    others = [line for line in lines_of(root) if line["cell"] != cell]
    assert len(others) == 6


def test_values_of_a_cell_that_is_gone_are_packed_away(root: Path) -> None:
    sound = content(board(root))
    a_column_more(root)
    build(root)
    assert list(check(root)) == []
    assert content(board(root)) == sound


def test_a_pack_that_was_cut_short_goes_on(loose: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shutil.copytree(loose, loose.parent / f"{loose.name}-whole")
    build(whole)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "_remove_loose", lambda *_a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(loose)
    load_run(board(loose))
    next((board(loose) / "records").rglob("psnr-*.json")).unlink()
    build(loose)
    assert content(board(loose)) == content(board(whole))


def test_a_comparison_goes_on_in_a_packed_folder(tmp_path: Path, toy_faces: Path) -> None:
    out = tmp_path / "boards" / "toy"
    given: dict[str, Any] = {"data": {"toy": toy_faces}, "metrics": "psnr,ecm", "hr_size": 64}
    first = compare("nearest,lanczos", out=out, **given)
    pack(out)
    before = content(out)
    again = compare("nearest,lanczos", out=out, **given)
    assert again.outcome.computed == 0
    assert again.table.equals(first.table)
    assert content(out) == before
    more = compare("nearest,lanczos,bicubic", out=out, **given)
    assert more.outcome.computed == 2
    pack(out)
    assert len(list((out / "values" / "toy").iterdir())) == 6
    every = compare("nearest,lanczos", out=out, rerun="all", **given)
    assert every.outcome.computed == again.outcome.computed + len(every.run.records)
    assert every.table.equals(first.table)
    write_report(out, tmp_path / "page.html", faces="none")


def test_other_conventions_are_seen_in_a_packed_folder(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    for name, gain, last_call in (("rgb", 0.0, True), ("dic", 1.5, False)):
        columns = psnr_columns(np.arange(24.0) + gain)
        writer.add("a", "psnr", columns, convention=name, last_call=last_call)
    writer.finish(["psnr"])

    def seen() -> list[tuple[str, float]]:
        views = build_views(load_run(tmp_path))
        return [(view.convention, view.frame.rows[0].number("psnr")) for view in views]

    before = seen()
    assert [name for name, _ in before] == ["rgb", "dic"]
    Store(tmp_path).pack({})
    assert not (tmp_path / "records").exists()
    assert seen() == before


def test_damaged_packed_values_are_computed_again(tmp_path: Path, toy_faces: Path) -> None:
    out, told = tmp_path / "boards" / "toy", []
    given: dict[str, Any] = {"data": {"toy": toy_faces}, "metrics": "psnr", "hr_size": 64}
    first = compare("nearest,lanczos", out=out, **given)
    pack(out)
    path = out / "values" / "toy" / "nearest.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    again = compare("nearest,lanczos", out=out, note=told.append, **given)
    assert again.outcome.computed == 1
    assert any("is damaged or not whole, its cell is computed again" in text for text in told)
    assert again.table.equals(first.table)


def test_a_folder_in_use_is_not_packed(loose: Path) -> None:
    before = content(board(loose))
    with locked(board(loose)):
        assert main(["leaderboard", "build", "--root", str(loose)]) == 2
    assert content(board(loose)) == before
    assert main(["leaderboard", "build", "--root", str(loose)]) == 0
    assert main(["leaderboard", "check", "--root", str(loose)]) == 0
