"""What README and docs show: every block runs, every table shown is the one printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pages import PAGES, arguments, blocks, differences, write_distribution, write_workshop

from affectbench import __version__ as affectbench_version
from affectbench.cli.main import build_parser, main
from affectbench.metrics import METRICS
from affectbench.metrics.conventions import CONVENTIONS

sys.path.insert(0, str(ROOT / "docs"))

SHOWN = {"", "python", "text", "toml", "bibtex"}
"""The languages that a page may use: blocks of commands have none, `text` is what they print."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)


@each_page
def test_blocks_are_of_a_kind_that_is_tested(page: Path) -> None:
    for block in blocks(page):
        assert block.language in SHOWN or block.language.startswith("{"), block.language
        strange = [c for c in block.commands if not c.startswith(("affectbench ", "#"))]
        assert block.reason or not strange, strange


def test_few_blocks_are_left_out() -> None:
    left_out = [b for page in PAGES for b in blocks(page) if b.reason]
    installing = [b for b in left_out if b.text == "pip install .\n"]
    assert len(left_out) - len(installing) <= 8


@each_page
def test_commands_are_understood(page: Path) -> None:
    for block in blocks(page):
        for command in block.commands:
            if command.startswith("affectbench "):
                build_parser().parse_args(arguments(command))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_readme_has_both_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make compare" in text[:1500]
    assert "make test" in text[:1500]


def test_every_metric_and_convention_is_in_the_reference() -> None:
    from generated import filled

    for path in (ROOT / "docs").glob("*.md"):
        assert path.read_text() == filled(path.read_text()), "run python docs/generated.py"
    metrics = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"^### `(.+)`$", metrics, re.MULTILINE)) == set(METRICS.names())
    conventions = (ROOT / "docs" / "why-numbers-differ.md").read_text()
    assert set(re.findall(r"^\| `([^`]+)` \|", conventions, re.MULTILINE)) >= set(CONVENTIONS)


def test_differences_are_seen() -> None:
    shown = "bicubic  2  ~0.2206  18.85\n"
    assert differences(shown, "bicubic 2  ~0.2207  18.84\n") == []
    assert differences(shown, "bicubic 2  ~0.2208  18.85\n")
    assert differences(shown, "bicubic 2  0.2206  18.85\n")
    assert differences(shown, shown + "more\n")


@pytest.mark.slow
@each_page
def test_pages_do_what_they_show(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_workshop(tmp_path / "workshop"))
    run = _in_this_process(capsys)
    if write_distribution(page, tmp_path / "plugin"):
        run = _beside_plugin(_install(tmp_path / "plugin", tmp_path / "site"), page)
    printed = ""
    for block in blocks(page):
        if block.language == "python" and not block.reason:
            capsys.readouterr()
            exec(compile(block.text, str(page), "exec"), {})
            printed = capsys.readouterr().out
        elif named := re.match(r"# (\S+\.toml)\n", block.text):
            Path(named[1]).write_text(block.text)
        elif block.language == "text":
            assert differences(block.text, printed) == []
        elif not block.reason:
            for command in block.commands:
                printed = run(command) if command.startswith("affectbench ") else printed


def _in_this_process(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    def run(command: str) -> str:
        capsys.readouterr()
        code = main(arguments(command))
        captured = capsys.readouterr()
        assert code == 0, f"{command}\n{captured.err}"
        return captured.out

    return run


def _install(source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return target


def _beside_plugin(site: Path, page: Path) -> Callable[[str], str]:
    """All commands of the page, run one after another in one process that sees the plug-in."""
    commands = [
        arguments(command)
        for block in blocks(page)
        if not block.reason
        for command in block.commands
        if command.startswith("affectbench ")
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        env={**os.environ, "PYTHONPATH": str(site)},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = iter(json.loads(done.stdout))
    return lambda _command: next(answers)


COMMANDS = """
import contextlib, io, json, sys
from affectbench.cli.main import main

answers = []
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(arguments) == 0, arguments
    answers.append(printed.getvalue())
print(json.dumps(answers))
"""


def test_low_resolution_faces_of_other_rules_have_the_numbers_shown() -> None:
    import torch

    from affectbench.datasets import load_dataset
    from affectbench.images.resizing import enlarge, resize
    from affectbench.images.tensors import pixels, quantise, stack, unit_range
    from affectbench.metrics.fidelity import psnr, ssim

    faces = load_dataset("demo")
    hr = [resize(faces.read(name), 128, 128, "pil-bicubic") for name in faces.ids]

    def by_torch(antialias: bool) -> list[np.ndarray]:
        options = {"mode": "bicubic", "align_corners": False, "antialias": antialias}
        lr = torch.nn.functional.interpolate(unit_range(stack(hr)), (16, 16), **options)
        return list(pixels(quantise(lr)))

    rules = [
        *([resize(f, 16, 16, k) for f in hr] for k in ("pil-bicubic", "matlab-bicubic")),
        [resize(face, 16, 16, "opencv-area") for face in hr],
        by_torch(True),
        by_torch(False),
    ]
    page = (ROOT / "docs" / "why-numbers-differ.md").read_text()
    table = re.findall(r"^\| .+ \| (\d+\.\d\d) \| (0\.\d{4}) \|$", page, re.MULTILINE)
    assert len(table) == len(rules)
    for lr, (decibels, similarity) in zip(rules, table, strict=True):
        sr = [enlarge(face, 128, 128, "bicubic") for face in lr]
        assert float(psnr(sr, hr).mean()) == pytest.approx(float(decibels), abs=0.01)
        assert float(ssim(sr, hr).mean()) == pytest.approx(float(similarity), abs=2e-4)
    enlarged = np.stack([enlarge(face, 128, 128, "bicubic") for face in rules[0]])
    pooled = 10 * np.log10(255**2 / np.square(enlarged.astype(float) - np.stack(hr)).mean())
    assert f"pooled error {pooled:.2f} dB" in page


def test_the_citation_has_what_cff_asks_for() -> None:
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["message"] and cited["title"]
    assert cited["version"] == affectbench_version and cited["type"] == "software"
    assert cited["authors"] == [{"name": "The affectbench authors"}]
    for reference in cited["references"]:
        assert {"type", "title", "authors"} <= set(reference)
    assert "arXiv:2502.09932" in str(cited["references"])


def test_the_figure_is_small() -> None:
    assert (ROOT / "docs" / "figures" / "readme.png").stat().st_size < 200_000


@pytest.mark.slow
def test_the_figure_is_the_one_that_its_script_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(ROOT / "docs" / "figures"))
    from PIL import Image
    from readme import TARGET, draw

    draw(tmp_path / "readme.png")
    with Image.open(TARGET) as shown, Image.open(tmp_path / "readme.png") as drawn:
        assert shown.size == drawn.size
        difference = np.asarray(shown, dtype=int) - np.asarray(drawn, dtype=int)
    # Fonts are drawn a little differently by other releases of matplotlib.
    assert np.abs(difference).mean() < 0.5
