"""Command lines of odd words: a result or a message, never a traceback."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from conftest import affectbench_here

WORDS = (
    *(
        "",
        "-1",
        "0",
        "1",
        "8",
        "3.5",
        "1e3",
        "nan",
        "inf",
        "9" * 400,
        str(2**63),
        "0x10",
        "٣",
        "+4",
    ),
    *(
        "x" * 300,
        "y/" * 2100,
        "../" * 50,
        "a" * 256 + "/b",
        "/dev/null",
        "/dev/full",
        ".",
        "/",
        "~",
    ),
    *(
        "\x1b[2J",
        "\udcff",
        os.fsdecode(b"caf\xe9"),
        "ü🙂",
        "\u202e",
        "a\nb",
        " ",
        "\t",
        "'",
        '"',
        "$x",
    ),
    *(
        "=1+1",
        "%s%n",
        "{}",
        "{0}",
        "[1]",
        "*",
        "a=b",
        "a@b=c",
        "@",
        "@=",
        "@name=",
        ":",
        "=",
        ",",
        ",,",
    ),
    *("bicubic", "nearest", "bicubik", "psnr", "all", "fidelity", "panel", "demo", "celeba", "rgb"),
    *("cpu", "meta", "cuda:99", "cpu:-1", "cpu:999", "crop/9", "constructor", "__proto__", "None"),
    *(
        "checkpoint:x",
        "onnx:.",
        "python:x:y",
        "python::",
        "images:.",
        "images:",
        "checkpoint:/dev/null",
    ),
    *("nearest@then=x", "nearest@x=y", "nearest@name=a@name=b", "nearest@scale=", "nearest@\x00=1"),
)
_SHARED = ("metrics", "convention", "crop", "judges", "scale", "batch-size", "device", "seed")
OPTIONS = {
    "compare": (
        *("models", "datasets", "data-root", "data", "hr-size", "kernel", "versus", "limit"),
        *("rerun", *_SHARED),
    ),
    "score": ("sr", "hr", "framing", "as", *_SHARED),
    "report": ("html", "figures", "faces"),
    "validate": ("faces", "labels", "judges", "framing", "name", "seed"),
    "check": ("scale", "lr-size", "device"),
}
HEAVY = ("--lr-size", "--hr-size")
"""Options whose large numbers are work, not mistakes."""


def command(verb: str, faces: Path, rng: random.Random) -> list[str]:
    """A command that would do, with some of its words exchanged."""
    base = {
        "compare": ["--models", "nearest", "--datasets", "toy", "--data", f"toy={faces}",
                    "--hr-size", "64", "--metrics", "psnr", "--out", "out"],
        "score": ["--sr", str(faces), "--hr", str(faces), "--metrics", "psnr", "--out", "out"],
        "report": ["out"],
        "validate": ["--faces", str(faces), "--labels", "labels.csv"],
        "check": ["nearest"],
    }[verb]  # fmt: skip
    words = list(base)
    for _ in range(rng.choice([1, 1, 2, 3])):
        word = rng.choice(WORDS)
        if rng.random() < 0.4:
            at = rng.randrange(len(words))
            if words[at - 1] not in ("--out", *HEAVY):
                words[at] = word
        else:
            option = f"--{rng.choice(OPTIONS[verb])}"
            words += [option, "8" if option in HEAVY and len(word) < 5 else word]
    return [verb, *words]


@pytest.mark.parametrize("count", [60, pytest.param(900, marks=pytest.mark.slow)])
def test_odd_command_lines(
    toy_faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    rng = random.Random(9)
    monkeypatch.chdir(tmp_path)
    codes = []
    for _ in range(count):
        words = command(rng.choice(list(OPTIONS)), toy_faces, rng)
        try:
            done = affectbench_here(*words)
        except SystemExit as stop:
            codes.append(stop.code)
            continue
        except Exception as error:
            raise AssertionError(f"{words} raises") from error
        codes.append(done.returncode)
        assert "Traceback" not in done.stderr, words
        assert (done.returncode != 2) or done.stderr.count("affectbench: error: ") == 1, words
    assert set(codes) <= {0, 1, 2} and len(set(codes)) > 1
    assert {path.name for path in toy_faces.iterdir()} == {f"face{i}.png" for i in range(8)}
