"""`python:FILE:NAME` for metrics and judges: nothing is installed, the code is in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, affectbench_here

from affectbench import compare, emotion_consistency, list_metrics, load_judge, load_metric
from affectbench.errors import InputError, UnknownNameError

EXAMPLES = ROOT / "docs" / "examples"
MEAN = """
from by import BY

def gap(sr, hr):
    return BY * (sr.double() - hr.double()).abs().mean((1, 2, 3))

gap.spec = {"direction": "lower", "name": "NAME"}
"""
JUDGE = """
import torch

def build():
    torch.manual_seed(1)
    layers = torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 3)
    net = torch.nn.Sequential(*layers)
    net.spec = {"classes": ["happy", "neutral", "sad"], "input_size": 32}
    return net
"""


def write(folder: Path, name: str, by: int = 1) -> str:
    (folder / "by.py").write_text(f"BY = {by}\n")
    (folder / "own.py").write_text(MEAN.replace("NAME", name))
    return f"python:{folder / 'own.py'}:gap"


def test_the_example_of_the_docs_needs_no_installation(tmp_path: Path) -> None:
    metric = f"python:{EXAMPLES / 'gradient_error.py'}:GRADIENT_ERROR"
    options = ["--models", "nearest,bicubic", "--metrics", f"psnr,{metric}", "--out", tmp_path]
    done = affectbench_here("compare", *options)
    assert done.returncode == 0, done.stderr
    assert "gradient_error ↓" in done.stdout
    assert "0.0506" in done.stdout


def test_a_function_is_a_metric_and_its_code_counts(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    metric = write(tmp_path / "code", "gap_one")
    first = compare("bicubic", metrics=[metric, "mae"], out=tmp_path / "o")
    assert first.table.gap_one[0] == pytest.approx(255 * first.table.mae[0])
    assert compare("bicubic", metrics=[metric, "mae"], out=tmp_path / "o").outcome.computed == 0
    write(tmp_path / "code", "gap_one", by=2)  # a module that it imports
    again = compare("bicubic", metrics=[metric, "mae"], out=tmp_path / "o")
    assert again.table.gap_one[0] == pytest.approx(2 * first.table.gap_one[0])
    assert {r.metric["name"] for r in again.run.records} == {"gap_one", "mae"}


def test_it_can_be_loaded_and_is_listed(tmp_path: Path) -> None:
    metric = load_metric(write(tmp_path, "gap_two"))
    black = torch.zeros(1, 3, 8, 8)
    assert float(metric(black, black + 1)) == 255
    assert not metric.higher_is_better
    assert "gap_two" in [spec.name for spec in list_metrics()]


def test_the_judge_of_the_docs(tmp_path: Path) -> None:
    judge = f"python:{EXAMPLES / 'committee.py'}:COMMITTEE"
    result = compare("bicubic", metrics="ecm", judges=[judge, "face-api"], out=tmp_path)
    assert result.run.settings["judges"] == ["committee", "face-api"]
    assert result.table.ecm[0] == pytest.approx(0.6758, abs=1e-3)
    assert compare("bicubic", metrics="ecm", judges=judge, out=tmp_path).outcome.computed == 0


def test_a_factory_of_a_module_is_a_judge(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(JUDGE)
    name = f"python:{tmp_path / 'tiny.py'}:build"
    result = compare("nearest", metrics="ecm", judges=name, out=tmp_path / "o")
    assert result.run.settings["judges"] == ["tiny"]
    assert compare("nearest", metrics="ecm", judges=name, out=tmp_path / "o").outcome.computed == 0
    revision = load_judge(name).spec.revision
    (tmp_path / "tiny.py").write_text(JUDGE.replace("manual_seed(1)", "manual_seed(2)"))
    assert load_judge(name).spec.revision != revision
    assert compare("nearest", metrics="ecm", judges=name, out=tmp_path / "o").outcome.computed > 0
    faces = torch.rand(2, 3, 32, 32)
    assert float(emotion_consistency(faces, faces, name)) == 0


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("", "x", "has no 'x'"),
        ("x = 3", "x", "is a int; a MetricPlugin is needed"),
        ("def x(a, b): pass", "x", r"x.spec = \{'direction': 'lower'\}"),
        ("def x(a, b): pass\nx.spec = {}", "x", "not complete or wrong: .*'direction'"),
        (
            "def x(a, b): pass\nx.spec = {'direction': 'up'}",
            "x",
            "not complete or wrong: direction",
        ),
        ("def x(a, b): pass\nx.spec = {'directoin': 'lower'}", "x", "did you mean 'direction'"),
        ("def x(a, b): pass\nx.spec = {'direction': 'lower', 'name': 'psnr'}", "x", "is installed"),
        ("1/0", "x", r"cannot be imported \(ZeroDivisionError"),
        ("import sys; sys.exit(3)", "x", r"cannot be imported \(SystemExit"),
        ("import nothing_there", "x", "cannot be imported"),
    ],
)
def test_what_is_no_metric(text: str, name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(InputError, match=says):
        compare("bicubic", metrics=f"python:{tmp_path / 'own.py'}:{name}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 3", "is a int; a JudgePlugin is needed"),
        ("def x(): return 3", "returned a int, not a module"),
        ("def x(): raise ValueError('no')", "raised ValueError: no"),
        ("def x(): return lambda faces: faces", "logits"),
    ],
)
def test_what_is_no_judge(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(InputError, match=says):
        load_judge(f"python:{tmp_path / 'own.py'}:x")


def test_files_and_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_metric(f"python:{tmp_path / 'none.py'}:x")
    with pytest.raises(InputError, match=r"python:own\.py: write python:FILE_OR_MODULE"):
        load_metric("python:own.py")
    with pytest.raises(UnknownNameError):
        load_metric("pythn:own.py:x")


def test_a_metric_that_raises_fails_its_cells(tmp_path: Path) -> None:
    text = "def broken(a, b): raise ValueError('oh')\nbroken.spec = {'direction': 'lower'}"
    (tmp_path / "own.py").write_text(text)
    result: Any = compare("bicubic", metrics=["psnr", f"python:{tmp_path / 'own.py'}:broken"])
    assert "raised ValueError: oh" in result.failed[0]
    assert result.table.psnr[0] > 18


def test_workers_of_a_cluster_need_installed_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="installed on every machine"):
        compare("bicubic", metrics=write(tmp_path, "gap_far"), executor="ray")
