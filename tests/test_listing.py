"""Which files of a folder are faces, under which ids, and what is said about the others."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import affectbench, affectbench_here, pattern
from PIL import Image

from affectbench.datasets import load_dataset
from affectbench.errors import InputError
from affectbench.images.listing import by_id, face_id, list_folder

NFC, NFD = "Zo\u00eb", "Zoe\u0308"
NOT_UTF8 = os.fsdecode(b"ren\xe9")


def faces(folder: Path, names: list[str], blur: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        image = Image.fromarray(pattern(i))
        if blur:
            image = image.resize((16, 16), Image.Resampling.BICUBIC).resize((64, 64))
        with (folder / name).open("wb") as sink:
            image.save(sink, "PNG")
    return folder


def scored(tmp_path: Path, *more: object) -> tuple[int, str, pd.DataFrame]:
    """Exit code and stderr of `score`, and its table."""
    done = affectbench_here(
        *("score", "--sr", tmp_path / "sr", "--hr", tmp_path / "hr"),
        *("--metrics", "psnr", "--out", tmp_path / "out", *more),
    )
    table = tmp_path / "out" / "table.csv"
    return done.returncode, done.stderr, pd.read_csv(table) if table.exists() else pd.DataFrame()


# other files


def test_other_files_are_counted_and_named(tmp_path):
    names = [f"{i}.png" for i in range(6)]
    faces(tmp_path / "hr", names)
    faces(tmp_path / "sr", names, blur=True)
    for name in ("README.txt", "notes", "scan.pdf"):
        (tmp_path / "hr" / name).write_text("no image")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "hr" / name).write_text("quiet")
    (tmp_path / "hr" / "more").mkdir()
    (tmp_path / "sr" / "log.txt").write_text("no image")
    code, said, table = scored(tmp_path)
    assert code == 0
    assert table.n[0] == 6
    assert "3 files are no images of a format that is read: README.txt, notes, scan.pdf" in said
    assert "sr: 1 file is no image of a format that is read: log.txt" in said
    assert "DS_Store" not in said
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert len(settings["remarks"]) == 2
    assert "README.txt" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize("odd", ["0.jfif", "0.JPE", "0.happy", "0.gif", "0.jp2", "0.pgm"])
def test_a_pair_of_an_unusual_suffix_is_a_pair(tmp_path, odd):
    names = [odd, *(f"{i}.png" for i in range(1, 8))]
    faces(tmp_path / "hr", names)
    faces(tmp_path / "sr", names, blur=True)
    code, _, table = scored(tmp_path)
    assert code == 0
    assert table.n[0] == 8


def test_results_without_a_face_and_faces_without_a_result_are_said(tmp_path):
    faces(tmp_path / "hr", [f"{i}.png" for i in range(8)])
    faces(tmp_path / "sr", [f"{i}.png" for i in range(7)], blur=True)
    extra = faces(tmp_path / "more", ["zz.png"]) / "zz.png"
    extra.rename(tmp_path / "sr" / "zz.png")
    done = affectbench_here(
        *("compare", "--models", f"bicubic,images:{tmp_path / 'sr'}@name=mine"),
        *("--datasets", "p", "--data", f"p={tmp_path / 'hr'}", "--hr-size", 64),
        *("--metrics", "psnr", "--out", tmp_path / "out"),
    )
    assert "p: mine: 1 of 8 faces have no result: 7" in done.stderr
    assert "p: mine: 1 results belong to no face: zz" in done.stderr
    code, said, _ = scored(tmp_path)
    assert code == 2
    assert "1 originals without a result: 7; 1 results without an original: zz" in said


def test_a_folder_without_images_names_what_it_holds(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(InputError, match=r"holds no images \(formats: .*no image.*a\.heic"):
        list_folder(tmp_path)


def test_a_damaged_image_is_never_left_out(tmp_path):
    faces(tmp_path / "hr", [f"{i}.png" for i in range(3)])
    (tmp_path / "hr" / "3.png").write_text("not at all")
    (tmp_path / "hr" / "4").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    assert load_dataset("p", tmp_path / "hr").ids == ("0", "1", "2", "3", "4")


# ids


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a"),
        ("a.PNG", "a"),
        ("a.jfif", "a"),
        ("a.b.png", "a.b"),
        ("subject01.happy", "subject01.happy"),
        ("a", "a"),
        (f"{NFD}.png", NFC),
        (f"{NOT_UTF8}.png", r"ren\xe9"),
    ],
)
def test_ids(name, expected):
    assert face_id(name) == expected
    face_id(name).encode()


@pytest.mark.parametrize(
    ("one", "other"), [("a.png", "a.jfif"), ("a.jpg", "a.JPG"), ("a", "a.png"), ("a.tif", "a.avif")]
)
def test_two_images_of_one_name_are_refused(one, other):
    with pytest.raises(InputError) as caught:
        by_id([Path("x") / one, Path("x") / other])
    assert one in str(caught.value)
    assert other in str(caught.value)


@pytest.mark.skipif(sys.platform == "darwin", reason="has one spelling")
@pytest.mark.parametrize(("hr", "sr"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_two_spellings_of_one_name_are_one(tmp_path, hr, sr):
    others = [f"{i}.png" for i in range(5)]
    faces(tmp_path / "hr", [f"{hr}.png", *others])
    faces(tmp_path / "sr", [f"{sr}.png", *others], blur=True)
    code, said, table = scored(tmp_path)
    assert (code, table.n[0]) == (0, 6)
    assert "note" not in said


@pytest.mark.skipif(sys.platform == "darwin", reason="has one spelling")
def test_both_spellings_in_one_folder_are_shown_apart(tmp_path):
    faces(tmp_path / "hr", [f"{NFC}.png", f"{NFD}.png"])
    with pytest.raises(InputError, match=r"'Zo\\xeb\.png' and|'Zoe\\u0308\.png' and") as caught:
        load_dataset("p", tmp_path / "hr")
    assert r"Zoe\u0308" in str(caught.value)
    assert r"Zo\xeb" in str(caught.value)


def test_helens_list_in_another_spelling_and_with_a_mark(tmp_path):
    faces(tmp_path, [f"{NFD}.png", "b.png", "c.png"])
    (tmp_path / "testnames.txt").write_text(f"\ufeffb\n{NFC}.jpg\n", encoding="utf-8")
    assert set(load_dataset("helen", tmp_path).ids) == {NFC, "b"}


def test_a_partition_with_a_mark_is_read_from_its_first_line(tmp_path):
    images = tmp_path / "img_align_celeba"
    images.mkdir()
    for name in ("000001.jpg", "000002.jpg"):
        Image.new("RGB", (178, 218)).save(images / name)
    lines = "000001.jpg 2\n000002.jpg 2\n"
    (tmp_path / "list_eval_partition.txt").write_text(lines, encoding="utf-8-sig")
    assert load_dataset("celeba-official", tmp_path).ids == ("000001", "000002")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode")
def test_names_that_are_not_utf8_are_scored_and_reported(tmp_path):
    names = [f"{NOT_UTF8}.png", *(f"{i}.png" for i in range(5))]
    faces(tmp_path / "hr", names)
    faces(tmp_path / "sr", names, blur=True)
    (tmp_path / "hr" / f"{NOT_UTF8}.txt").write_text("no image")
    done = affectbench(
        *("score", "--sr", tmp_path / "sr", "--hr", tmp_path / "hr", "--metrics", "psnr"),
        *("--save-images", "--out", tmp_path / "out"),
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert r"ren\xe9.txt" in done.stderr
    assert affectbench_here("report", tmp_path / "out").returncode == 0
    values = pd.read_parquet(next((tmp_path / "out" / "images" / "hr" / "sr").glob("psnr*")))
    assert r"ren\xe9" in set(values["id"])


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode")
def test_a_damaged_file_of_such_a_name_is_one_line(tmp_path):
    faces(tmp_path / "hr", ["0.png"])
    (tmp_path / "hr" / f"{NOT_UTF8}.png").write_text("not at all")
    done = affectbench(
        *("compare", "--models", "bicubic", "--datasets", "p", "--data", f"p={tmp_path / 'hr'}"),
        *("--out", tmp_path / "out"),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
