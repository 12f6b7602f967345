"""Tables to take away: LaTeX that compiles, chosen columns, and conditions that fail a build."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from run_writer import RunWriter, ecm_columns, psnr_columns

from affectbench.cli.main import main
from affectbench.errors import InputError, UnknownNameError
from affectbench.metrics import METRICS
from affectbench.report.cells import Choice, lay_out
from affectbench.report.latex import to_latex
from affectbench.report.render import to_markdown, to_terminal
from affectbench.results.compare import compared
from affectbench.results.frame import Frame
from affectbench.results.gates import failures, parse_limit
from affectbench.results.runs import load_run

N = 40
LABELS = ["happy"] * 20 + ["sad"] * 20
ROWS = {"ours": (0.2, 31.0), "theirs": (0.3, 33.0), "third_one": (0.4, 29.0)}


def write(folder: Path, n: int = N) -> Path:
    """Three models of two data sets, and bicubic."""
    writer, rng = RunWriter(folder), np.random.default_rng(0)
    for dataset in ("celeba", "helen"):
        for row, (ecm, psnr) in {**ROWS, "bicubic": (0.35, 30.0)}.items():
            role = "anchor" if row == "bicubic" else "model"
            values = np.clip(ecm + rng.normal(0, 0.05, n), 0, 1)
            columns = ecm_columns(values, LABELS[:n])
            writer.add(row, "ecm", columns, role=role, dataset=dataset)
            psnrs = psnr_columns(psnr + rng.normal(0, 0.5, n))
            writer.add(row, "psnr", psnrs, role=role, dataset=dataset)
    writer.finish(["ecm", "psnr"])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def frame(folder) -> Frame:
    return compared(load_run(folder))


def test_latex_is_a_float_that_says_what_it_needs(frame):
    text = to_latex(lay_out(frame))
    lines = text.splitlines()
    assert lines[0] == r"% Needs in the preamble: \usepackage{booktabs,graphicx}"
    assert lines[1] == r"\begin{table}[t]"
    assert r"Model & $n$ & ECM $\downarrow$ & PSNR $\uparrow$ \\" in lines
    ours, theirs = (next(x for x in lines if x.startswith(name)) for name in ("ours", "theirs"))
    assert r"\textbf{0.197" in ours and r"\underline{31" in ours
    assert r"\underline{0.3" in theirs and r"\textbf{32.9" in theirs
    assert r"third\_one" in text
    caption = next(line for line in lines if line.startswith(r"\caption"))
    assert "Bold: best of the models; underlined: second best" in caption
    assert r"95\,\% intervals" in caption and "italic: points of reference" in caption.lower()
    assert "dagger" not in caption
    plain = to_latex(lay_out(frame, Choice(intervals=False, anchors=False)), two_columns=True)
    assert r"\begin{table*}[t]" in plain and r"\end{table*}" in plain
    assert "[0." not in plain and "bicubic &" not in plain and r"textit{bicubic" not in plain
    assert "intervals" not in plain.split(r"\label")[0]


def test_columns_and_digits_are_those_of_every_format(frame):
    layout = lay_out(frame, Choice(("psnr",), intervals=False, anchors=False, digits=1))
    for text in (to_latex(layout), to_markdown(layout), to_terminal(layout, 200)):
        body = text.split("protocol")[0] if text.startswith("celeba") else text
        assert "33.0" in body and "33.00" not in text
        assert "ecm ↓" not in text and "ECM $" not in text
        assert "[33" not in text
    both = lay_out(frame, Choice(("psnr", "ecm")))
    assert list(both.heads) == ["psnr", "ecm"]
    with pytest.raises(UnknownNameError, match=r"--columns lpips: is no column.*ecm, psnr"):
        lay_out(frame, Choice(("lpips",)))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
@pytest.mark.parametrize("choice", [Choice(), Choice(intervals=False, anchors=False, digits=2)])
@pytest.mark.parametrize("two_columns", [False, True])
def test_latex_compiles_and_fits(frame, tmp_path, choice, two_columns):
    table = to_latex(lay_out(frame, choice), two_columns)
    page = "\n".join(
        [
            r"\documentclass[twocolumn]{article}",
            r"\usepackage{booktabs,graphicx}",
            r"\begin{document}",
            table,
            r"\end{document}",
        ]
    )
    (tmp_path / "page.tex").write_text(page)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_no_name_or_number_is_cut_in_a_narrow_terminal(frame, width):
    wide = to_terminal(lay_out(frame), 400)
    narrow = to_terminal(lay_out(frame, Choice(intervals=False)), width)
    assert "…" not in narrow
    for row in ("third_one", "bicubic"):
        line = next(line for line in narrow.splitlines() if row in line)
        expected = next(line for line in wide.splitlines() if row in line)
        assert set(line.split()) <= set(expected.replace("[", " [").split())
        assert len(line.split()) == 4


def test_a_piped_table_keeps_its_columns(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    writer, rng = RunWriter(tmp_path), np.random.default_rng(0)
    names = [name for name in METRICS.names() if name.startswith(("psnr", "ssim", "mae", "rmse"))]
    for metric in names:
        columns = psnr_columns(rng.normal(20, 1, 8))
        columns[metric] = columns.pop("psnr")
        writer.add("a_model_with_a_long_name", metric, columns)
    writer.finish(names)
    assert main(["table", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "a_model_with_a_long_name" in line)
    assert "…" not in out and len(row.split()) == 2 + len(names)


def test_limits_fail_a_build(frame):
    assert failures(frame, [parse_limit("ecm>0.5"), parse_limit("psnr <= 20")], []) == []
    reasons = failures(frame, [parse_limit("ecm>=0.35")], [])
    assert [reason.split(":")[0] for reason in reasons] == [
        "third_one on celeba",
        "third_one on helen",
    ]
    for wrong in ("ecm", "ecm=0.3", "ecm>x", ">3", "ecm>nan", "ecm>0.3>0.2"):
        with pytest.raises(InputError, match="is no condition"):
            parse_limit(wrong)
    with pytest.raises(UnknownNameError, match="there is no column 'lpips'"):
        failures(frame, [parse_limit("lpips>1")], [])


def test_a_model_that_is_worse_by_the_paired_test_fails_a_build(frame, tmp_path):
    assert {r.split(" on ")[0] for r in failures(frame, [], ["bicubic"])} == {"third_one"}
    assert {r.split(" on ")[0] for r in failures(frame, [], ["theirs:psnr"])} == {
        "ours",
        "third_one",
    }
    assert failures(frame, [], ["third_one:ecm"]) == []
    with pytest.raises(UnknownNameError, match="there is no row 'nobody'"):
        failures(frame, [], ["nobody"])
    few = compared(load_run(write(tmp_path, n=4)))
    with pytest.raises(InputError, match="fewer than 6 faces, too few for a test"):
        failures(few, [], ["bicubic"])


def test_exit_codes_of_the_command(folder, capsys):
    assert main(["table", str(folder), "--format", "latex", "--columns", "ecm"]) == 0
    assert r"\begin{tabular}" in capsys.readouterr().out
    assert main(["table", str(folder), "--fail-if", "ecm>0.35"]) == 1
    assert "not good enough: third_one on celeba: ecm 0.4" in capsys.readouterr().err
    assert main(["table", str(folder), "--fail-if-worse-than", "bicubic:psnr"]) == 1
    assert "psnr is worse than that of bicubic by 0.98" in capsys.readouterr().err
    assert main(["table", str(folder), "--fail-if", "ecm~0.3"]) == 2
    assert main(["table", str(folder), "--columns", "lpips"]) == 2
