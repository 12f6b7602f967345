"""What comes from outside: odd names, odd streams, odd numbers. A message, never a traceback."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, affectbench_here, pattern
from PIL import Image

from affectbench import compare, load_judge
from affectbench.arguments import names, usable_path, whole
from affectbench.assets.download import fetch, first_use_sha256
from affectbench.cli.main import main
from affectbench.datasets.labels import read_label_table
from affectbench.devices import usable_device
from affectbench.errors import AffectBenchError, InputError, StorageError
from affectbench.report.render import to_csv
from affectbench.texts import parse_json, printable, shown_json, unicode_text

LONG = "x" * 300
ESCAPES = ("\x1b[2J", "\x9b2J", "\x07", "\r", "\n", "\u202e", "\u2028", "\x7f", "\udce9")
BARE = os.fsdecode(b"caf\xe9")
"""A name as Python holds it whose bytes are no UTF-8."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures with names that terminals, JavaScript and UTF-8 take amiss."""
    folder = tmp_path_factory.mktemp("outside") / BARE
    folder.mkdir()
    for number, name in enumerate((BARE, "b\x1b[2J", "constructor")):
        Image.fromarray(pattern(number)).save(folder / f"{name}.png")
    return folder


def shell(command: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`affectbench ARGUMENTS` with the redirections of a shell."""
    script = f'"$0" -m affectbench.cli.main "$@" {command}'
    return subprocess.run(
        ["bash", "-c", script, sys.executable, *map(os.fsencode, map(str, arguments))],
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
    )


def scored(folder: Path, *more: object) -> list[object]:
    return ["score", "--sr", folder, "--hr", folder, "--metrics", "psnr", *more]


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_that_a_terminal_obeys_is_left(escape: str) -> None:
    shown = printable(f"a{escape}b")
    assert shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")
    assert json.loads(shown_json(json.dumps([escape], ensure_ascii=False))) == [escape]
    assert escape not in shown_json(json.dumps([f"a{escape}"], ensure_ascii=False))


def test_text_of_people_stays() -> None:
    for text in ("ü ↓ † 顔 🙂", "नमस्ते", "a\u200db"):
        assert printable(text) == text == unicode_text(text)


def printed(arguments: list[object], encoding: str) -> str:
    """What the command prints on a stdout of that encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with redirect_stdout(stream):
        assert main([str(argument) for argument in arguments]) == 0
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "ascii", "cp037", "shift_jis"])
def test_any_encoding_of_stdout(toy_faces: Path, tmp_path: Path, encoding: str) -> None:
    arguments = ["compare", "--models", "nearest@name=ü\U0001f642", "--datasets", "toy"]
    arguments += ["--data", f"toy={toy_faces}", "--hr-size", "64", "--metrics", "psnr"]
    text = printed([*arguments, "--out", tmp_path], encoding)
    assert "psnr" in text and "reference" in text
    rows = json.loads(printed([*arguments, "--out", tmp_path, "--json"], encoding))
    assert rows[0]["model"] == "ü\U0001f642"


def test_a_terminal_in_ascii(toy_faces: Path) -> None:
    done = shell("", *scored(toy_faces), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert b"psnr ^" in done.stdout and b"Traceback" not in done.stderr


def test_lists_in_ascii() -> None:
    assert printed(["assets", "list"], "ascii").isascii()
    wanted = json.loads(affectbench_here("assets", "list", "--json").stdout)
    assert json.loads(printed(["assets", "list", "--json"], "ascii")) == wanted


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models", "--json"]])
@pytest.mark.parametrize("kind", [">/dev/full", ">&-"])
def test_a_stdout_that_takes_nothing(arguments: list[str], kind: str) -> None:
    done = shell(kind, *arguments)
    if kind == ">&-" and arguments[0].startswith("--"):
        assert done.returncode == 0 and b"affectbench" in done.stderr  # argparse's other place
        return
    assert done.returncode == 2
    assert done.stderr.startswith(b"affectbench: error: standard output")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "kind",
    [">/dev/full", *[pytest.param(k, marks=pytest.mark.slow) for k in (">&-", ">&- <&-", "| :")]],
)
def test_results_are_kept_where_stdout_is_lost(toy_faces: Path, tmp_path: Path, kind: str) -> None:
    done = shell(kind, *scored(toy_faces, "--out", tmp_path))
    assert (tmp_path / "table.csv").exists()
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    if "|" not in kind:
        assert done.returncode == 2
        assert f"results: {tmp_path}".encode() in done.stderr


@pytest.mark.parametrize(
    "kind",
    ["2>&-", *[pytest.param(k, marks=pytest.mark.slow) for k in ("2>&- <&-", "2>/dev/full")]],
)
def test_notes_never_get_into_the_result(toy_faces: Path, tmp_path: Path, kind: str) -> None:
    done = shell(kind, *scored(toy_faces, "--json", "--out", tmp_path))
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["n"] == 8
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_bytes())
    failed = shell(kind, "check", "nothing")
    assert (failed.returncode, failed.stdout) == (2, b"")


def test_names_that_are_not_utf8_or_obeyed(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / BARE
    done = shell("", *scored(pictures, "--save-images", "--out", out))
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"caf\\xe9" in done.stdout
    table = (out / "table.csv").read_text(encoding="utf-8")
    assert "1,caf\\xe9,model,caf\\xe9,3,inf" in table
    done = shell("", "report", out, "--html", tmp_path / f"{BARE}.html", "--faces", "all")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / f"{BARE}.html").read_text(encoding="utf-8")
    assert "pictures of 3 of 3 faces" in page
    run = json.loads((out / "run.json").read_bytes())
    assert "caf\\xe9" in run["command"]


def test_pairs_are_found_by_names_that_are_not_utf8(pictures: Path, tmp_path: Path) -> None:
    result = compare(
        f"images:{pictures}", "set", data={"set": pictures}, metrics="psnr", hr_size=64
    )
    assert list(result.table[["model", "n", "failed"]].iloc[0]) == ["caf\\xe9", 3, 0]
    assert set(result.images("caf\\xe9", "set", "psnr").id) == {
        "caf\\xe9",
        "b\x1b[2J",
        "constructor",
    }


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "{}"],
        ["check", "checkpoint:{}.pth"],
        ["check", "bicubic", "--device", "{}"],
        ["compare", "--models", "bicubic", "--datasets", "{}"],
        ["compare", "--models", "bicubic", "--metrics", "{}"],
        ["compare", "--models", "bicubic", "--convention", "{}"],
        ["compare", "--models", "bicubic", "--data", "{}"],
        ["score", "--sr", "{}", "--hr", "{}"],
        ["report", "{}"],
        ["leaderboard", "build", "--root", "{}"],
        ["assets", "path", "{}"],
        ["{}"],
        ["compare", "--{}"],
    ],
)
def test_an_error_shows_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], escape: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word.format(f"a{escape}b") for word in arguments]
    try:
        done = affectbench_here(*words)
    except SystemExit as stop:
        assert stop.code == 2
        return
    assert done.returncode == 2 and done.stdout == ""
    assert escape not in done.stderr.rstrip("\n")
    assert done.stderr.startswith("affectbench: error: ")


def test_the_findings_of_a_hostile_file_are_shown(tmp_path: Path) -> None:
    model = tmp_path / "m.py"
    model.write_text("def build(scale):\n    raise ValueError('\\x1b[2J\\x1b[1;1H all is well')\n")
    done = affectbench_here("check", f"python:{model}:build")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout and "x1b[2J" in done.stdout
    arguments = ["compare", "--models", f"python:{model}:build", "--metrics", "psnr"]
    done = affectbench_here(*arguments, "--out", tmp_path / "out")
    assert "\x1b" not in done.stdout + done.stderr
    for name in ("table.csv", "long.csv", "table.md", "table.tex"):
        assert "\x1b" not in (tmp_path / "out" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "--models", "bicubic", "--seed", "-1"],
        ["compare", "--models", "bicubic", "--seed", str(2**63)],
        ["compare", "--models", "bicubic", "--seed", "9" * 400],
        ["compare", "--models", "bicubic", "--batch-size", "0"],
        ["compare", "--models", "bicubic", "--limit", "-3"],
        ["compare", "--models", "bicubic", "--hr-size", "-8"],
        ["compare", "--models", "bicubic", "--device", "meta"],
        ["compare", "--models", "bicubic", "--device", "x"],
        ["compare", "--models", "bicubic", "--device", ""],
        ["check", "bicubic", "--device", "x"],
        ["check", "bicubic", "--device", "meta"],
        ["check", "bicubic", "--device", "cuda:99"],
        *[["compare", "--models", model.format(LONG)] for model in (
            "{}", "checkpoint:{}", "onnx:{}", "images:{}", "python:{}.py:f", "python:{}:f",
            "checkpoint:a/{}/b.pth", "python:a.py:f@weights={}", "python:a.py:f@note={}", "{}:x",
        )],
        ["compare", "--models", "bicubic", "--out", LONG],
        ["compare", "--models", "bicubic", "--out", "y/" * 2100],
        ["compare", "--models", "bicubic", "--datasets", LONG],
        ["compare", "--models", "bicubic", "--datasets", LONG, "--data-root", "."],
        ["compare", "--models", "bicubic", "--datasets", "p", "--data", f"p={LONG}"],
        ["compare", "--models", "bicubic", "--data-root", LONG],
        *[["compare", "--models", "bicubic", f"--{name}", LONG] for name in (
            "judges", "metrics", "convention", "versus", "kernel", "crop", "device", "rerun",
        )],
        ["score", "--sr", LONG, "--hr", LONG],
        ["report", LONG],
        ["report", ".", "--html", LONG],
        ["report", ".", "--figures", LONG],
        ["leaderboard", "check", "--root", LONG],
        ["leaderboard", "site", "--out", LONG],
        ["leaderboard", "site", "--out", ".", "--cards", LONG],
        ["validate", "--faces", LONG, "--labels", LONG],
        ["validate", "--faces", ".", "--labels", LONG],
        ["datasets", "verify", LONG, "."],
        ["datasets", "verify", "celeba", LONG],
        ["assets", "path", LONG],
        [LONG],
    ],
)  # fmt: skip
def test_a_word_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        done = affectbench_here(*arguments)
    except SystemExit as stop:
        assert stop.code == 2
        return
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("affectbench: error: ") and done.stderr.count("\n") == 1


def test_a_long_name_of_a_row_is_only_a_name(toy_faces: Path, tmp_path: Path) -> None:
    result = compare(
        f"nearest@name={LONG}", "toy", data={"toy": toy_faces}, metrics="psnr", hr_size=64,
        out=tmp_path,
    )  # fmt: skip
    assert result.table.model[0] == LONG
    assert main(["report", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"metrics": "psnr"},
        {"metrics": "psnr, ssim"},
        {"metrics": np.array(["psnr"])},
        {"metrics": ["psnr"], "scale": np.int64(8), "hr_size": np.int32(64)},
        {"metrics": ["psnr"], "seed": np.uint8(1), "limit": np.int16(8)},
        {"metrics": ["psnr"], "batch_size": np.array(3), "save_images": np.bool_(False)},
        {"metrics": "psnr", "scale": 8.0, "seed": np.float32(1), "limit": torch.tensor(8.0)},
        {"metrics": ["ecm", "psnr"], "judges": "mini-xception"},
        {"metrics": ["ecm", "psnr"], "judges": "mini-xception,face-api"},
    ],
)
def test_arguments_of_other_types(toy_faces: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    options = {"hr_size": 64, **options}
    result = compare("bicubic", "toy", data={"toy": toy_faces}, out=tmp_path, **options)
    plain = compare("bicubic", "toy", data={"toy": toy_faces}, metrics=["psnr"], hr_size=64)
    assert result.table.psnr[0] == plain.table.psnr[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": 8.5}, "--scale 8.5: has to be a whole number"),
        ({"scale": np.float64("inf")}, r"--scale .*inf.*: has to be a whole number"),
        ({"scale": np.bool_(True)}, "--scale .*True.*: has to be a whole number"),
        ({"scale": np.array([8, 8])}, "--scale .*: has to be a whole number"),
        ({"seed": "1"}, "--seed '1'"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**64}, "--seed 18446744073709551616"),
        ({"batch_size": True}, "--batch-size True"),
        ({"limit": 0}, "--limit 0"),
        ({"hr_size": np.nan}, "--hr-size nan"),
        ({"metrics": [1]}, "1 is not a name"),
        ({"crop": "crop/9"}, "--crop crop/9: is none of"),
        ({"rerun": "some"}, "--rerun some: is none of"),
        ({"device": "meta"}, "--device meta: cannot be used"),
        ({"data": {"demo": "a\0b"}}, "holds a NUL"),
        ({"out": "a\0b"}, "holds a NUL"),
        ({"out": "a\ud800b"}, "a lone surrogate"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says.replace("?", r"\?")):
        compare("bicubic", **{"metrics": "psnr", **options})


def test_small_checks_of_arguments() -> None:
    assert whole("n", np.int8(3)) == 3 and type(whole("n", np.int8(3))) is int
    assert names(["a,b", " c "]) == ("a", "b", "c")
    assert usable_path("a/b") == Path("a/b")
    with pytest.raises(InputError, match="has a part of 400 bytes"):
        usable_path("é" * 200)
    assert usable_device("auto").type in ("cpu", "cuda")
    for device in ("meta", "x", "cuda:99", 5.5, None):
        with pytest.raises(InputError, match="cannot be used"):
            load_judge("mini-xception", device)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "start",
    ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", " =",
     "\u00a0=", "\u200b=", "\ufeff\uff1d", "\t=", "﹢", "﹦", "\x00=", "\u2007@"],
)  # fmt: skip
def test_no_text_of_a_csv_begins_a_formula(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    table = pd.DataFrame(
        {"model": [text, "fine", "a=b", "ümlaut"], f"{text}[x]": [1.0, -2.0, 3, 4]}
    )
    read = pd.read_csv(io.StringIO(to_csv(table)), lineterminator="\n")
    assert read.iloc[1:, 0].tolist() == ["fine", "a=b", "ümlaut"]
    assert to_csv(table).lstrip('"').startswith("model")
    for cell in (read.columns[1], read.iloc[0, 0]):
        assert str(cell).startswith("'")
    assert read.iloc[1, 1] == -2.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 500 + "]" * 500, "nested too deeply"),
        ('{"a": 1, "a": 2}', "there twice"),
        ("[NaN]", "not a number"),
        ("[-Infinity]", "not a number"),
        ("[1e999]", "too large"),
        (f"[{10**30}]", "too large"),
        ("[" + "1" * 5000 + "]", None),
        ('["\\ud800"]', "not Unicode"),
        (b'["\xff"]', None),
        ("", None),
    ],
)
def test_json_that_is_refused(text: str | bytes, says: str | None) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(text)


@pytest.mark.parametrize("name", ["run.json", "config.json"])
def test_deep_json_is_a_message(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"a":' * 100_000)
    if name == "run.json":
        assert affectbench_here("report", tmp_path).returncode == 2
        return
    configs = pytest.importorskip("affectbench_baselines.configs")
    with pytest.raises(AffectBenchError, match="nested too deeply"):
        configs.load_config("affectsrnet", str(tmp_path / name))


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_says_who_may_read(toy_faces: Path, tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        arguments = scored(toy_faces, "--save-images", "--out", tmp_path)
        assert main([str(argument) for argument in arguments]) == 0
        assert main(["report", str(tmp_path), "--faces", "all"]) == 0
    finally:
        os.umask(before)
    (tmp_path / ".lock").unlink()
    assert modes(tmp_path) == {mode}


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"w")

    def refuse(path: Path, *_a: object, **_k: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(StorageError, match="AFFECTBENCH_CACHE"):
        first_use_sha256(weights)
    monkeypatch.setattr("affectbench.assets.download._blocks", lambda *_a: iter([b"w"]))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match="cannot be written"):
        fetch("https://example.org/x", tmp_path / "x")


def test_a_file_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_a: object, **_k: object) -> None:
        raise PermissionError(13, "Permission denied", os.fsencode(tmp_path))

    monkeypatch.setattr("affectbench.datasets.load_dataset", refuse)
    done = affectbench_here("datasets", "verify", "celeba", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"affectbench: error: {tmp_path}: Permission denied\n"


@pytest.mark.parametrize("kind", [AffectBenchError, InputError, StorageError])
def test_a_message_quotes_what_is_outside_and_a_terminal_does_not_obey_it(
    kind: type[AffectBenchError],
) -> None:
    for escape in ESCAPES:
        message = str(kind(f"a{escape}b"))
        assert message == "a" + printable(escape, keep="\n") + "b"
    assert str(kind("two\nlines")) == "two\nlines"


def test_the_api_escapes_what_a_file_says(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,emotion\nx.png,sad\x1b[2J\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_label_table(table)
    assert "\\x1b" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    with pytest.raises(AffectBenchError) as caught:
        compare(["nearest"], datasets=["a\x1b[2J"], out=tmp_path / "out")
    assert "\x1b" not in str(caught.value)


def test_only_one_module_of_the_command_prints() -> None:
    for path in (ROOT / "affectbench" / "cli").glob("*.py"):
        assert not re.search(r"(?<![.\w])print\(", path.read_text(encoding="utf-8")), path
