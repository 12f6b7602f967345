"""The command: exit codes, streams, help without torch, and errors a user can act on."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import affectbench, pattern
from PIL import Image

from affectbench.cli.main import main


def test_importing_and_help_load_no_torch() -> None:
    code = (
        "import sys, affectbench\n"
        "from affectbench.cli.main import main\n"
        "for arguments in ['--help'], ['compare', '--help'], ['models'], ['metrics'], "
        "['judges'], ['datasets']:\n"
        "    try: main(arguments)\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_demo_prints_a_table_and_keeps_it(tmp_path: Path) -> None:
    done = affectbench("compare", "--models", "nearest,bicubic,lanczos", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lanczos" in done.stdout
    assert "n too small" in done.stdout
    wanted = ["results: affectbench-out", "look at them: affectbench report affectbench-out"]
    assert done.stderr.splitlines() == wanted
    table = pd.read_csv(tmp_path / "affectbench-out" / "table.csv")
    start = "rank,model,role,dataset,n,ecm,ecm_low,ecm_high,agreement,psnr,ssim,missing"
    assert ",".join(table.columns).startswith(start)
    assert set(table.model[:3]) == {"nearest", "bicubic", "lanczos"}
    assert list(table["rank"][:3]) == [1, 2, 3]
    assert (table.n == 2).all()
    for name in ("long.csv", "table.md", "table.tex", "cost.csv", "run.json"):
        assert (tmp_path / "affectbench-out" / name).stat().st_size > 0


def test_a_folder_alone_is_the_data_set_and_its_framing_counts(
    tmp_path: Path, toy_faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {}
    for framing in (None, "celeba", "whole"):
        out = tmp_path / str(framing)
        more = ["--framing", framing] if framing else []
        given = ["compare", "--models", "bicubic", "--data", f"toy={toy_faces}", "--hr-size", "64"]
        assert main([*given, *more, "--out", str(out)]) == 0
        framing_line = f", framing {framing or 'unknown'}\n"
        assert capsys.readouterr().out.partition(framing_line)[0].startswith("toy: a folder of")
        tables[framing] = pd.read_csv(out / "table.csv").iloc[0]
    assert {row.dataset for row in tables.values()} == {"toy"}
    assert len({row.ecm for row in tables.values()}) == 3
    assert len({row.psnr for row in tables.values()}) == 1


def test_a_terminal_shows_progress(tmp_path: Path, toy_faces: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = [
        "compare",
        "--models",
        "nearest",
        "--datasets",
        "toy",
        "--data",
        f"toy={toy_faces}",
    ]
    arguments += ["--hr-size", "64", "--batch-size", "2", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "affectbench.cli.main", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an input/output error
        while block := os.read(ours, 4096):
            shown += block
    assert process.wait() == 0, shown.decode()
    assert b"8/8" in shown
    assert b"reading 8 faces" in shown


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    done = affectbench("compare", "--models", "bicubic", "--json", "--out", tmp_path)
    rows = json.loads(done.stdout)
    assert [row["model"] for row in rows if row["role"] == "model"] == ["bicubic"]


def test_scoring_a_folder_with_itself(tmp_path: Path, toy_faces: Path) -> None:
    done = affectbench("score", "--sr", toy_faces, "--hr", toy_faces, "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)[0]
    assert row["ecm"] == 0
    assert row["ssim"] == 1
    assert row["psnr"] in ("inf", float("inf"))
    assert (tmp_path / "table.csv").exists()


def test_scoring_pictures_of_several_sizes(tmp_path: Path) -> None:
    for side in (48, 64, 80):
        Image.fromarray(pattern(side, side)).save(tmp_path / f"{side}.png")
    assert main(["score", "--sr", str(tmp_path), "--hr", str(tmp_path)]) == 0


def pair_folders(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "sr", tmp_path / "hr"
    for folder in folders:
        folder.mkdir()
        for i in range(12):
            Image.fromarray(pattern(i)).save(folder / f"p{i:02}.png")
    return folders


def test_folders_that_do_not_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sr, hr = pair_folders(tmp_path)
    for i in range(11):
        (sr / f"p{i:02}.png").unlink()
    Image.fromarray(pattern(0)).save(sr / "other.png")
    assert main(["score", "--sr", str(sr), "--hr", str(hr)]) == 2
    error = capsys.readouterr().err
    assert "11 originals without a result: p00, p01" in error
    assert "p09 and 1 more" in error
    assert "1 results without an original: other" in error


def test_sizes_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sr, hr = pair_folders(tmp_path)
    Image.fromarray(pattern(3, 32)).save(sr / "p03.png")
    assert main(["score", "--sr", str(sr), "--hr", str(hr)]) == 2
    assert "p03" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "--models", "bicubik"], "did you mean 'bicubic'"),
        (["compare", "--models", "bicubic", "--metrics", "psrn"], "did you mean 'psnr'"),
        (["compare", "--models", "bicubic", "--datasets", "cileba"], "did you mean 'celeba'"),
        (["compare", "--models", "bicubic", "--judges", "face-ap"], "did you mean 'face-api'"),
        (["compare", "--models", "bicubic", "--convention", "rgbb"], "did you mean 'rgb'"),
        (["compare", "--models", "bicubic", "--datasets", "celeba"], "--data"),
        (["compare", "--models", "bicubic", "--versus", "nearest"], "--versus nearest"),
        (["compare", "--models", "bicubic", "--scale", "3"], "scale"),
        (["compare", "--models", "bicubic", "--limit", "0"], "--limit"),
        (["compare", "--models", "bicubic", "--device", "cuda:7"], "--device cuda:7"),
        (["compare", "--models", "bicubic", "--data", "celeba"], "NAME=DIR"),
        (
            ["compare", "--models", "bicubic", "--datasets", "demo", "--data", "mine=x"],
            "--data mine=...: is none of the --datasets demo",
        ),
        (["compare", "--models", "bicubic", "--framing", "celebra"], "known: celeba"),
        (["compare", "--models", "bicubic", "--framing", "ffhq"], "'demo' has its own, celeba"),
        (["compare", "--models", ","], "no models"),
        (["compare", "--models", "checkpoint:nowhere.pth"], "nowhere.pth"),
        (["score", "--sr", "nowhere", "--hr", "nowhere"], "nowhere"),
        (["datasets", "verify", "celeba", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("affectbench: error: ")
    assert says in streams.err
    assert "Traceback" not in streams.err


def test_debug_shows_the_traceback() -> None:
    done = affectbench("compare", "--models", "bicubik", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_out_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    assert main(["compare", "--models", "bicubic", "--out", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_check_says_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "bicubic", "--scale", "4"]) == 0
    shown = capsys.readouterr()
    assert "determin" in shown.out
    assert "bicubic, made faces of 16x16 to 64x64: keeps the contract (10 checks)" in shown.err


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_no_word_of_a_listing_is_broken(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["judges", "--json"]) == 0
    specs = json.loads(capsys.readouterr().out)
    assert main(["judges"]) == 0
    words = set(capsys.readouterr().out.split())
    for spec in specs:
        assert words >= {
            word for name in ("name", "title", "licence") for word in spec[name].split()
        }


def test_interrupted_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_a: object, **_k: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("affectbench.api.compare", interrupt)
    assert main(["compare", "--models", "bicubic"]) == 130


def test_x4_at_256(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(3):
        Image.fromarray(pattern(i, 256)).save(faces / f"{i}.png")
    arguments = ["compare", "--models", "lanczos", "--datasets", "mine", "--data", f"mine={faces}"]
    arguments += ["--scale", "4", "--hr-size", "256", "--out", str(tmp_path / "out"), "--json"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)
    assert np.isfinite(rows[0]["psnr"])
