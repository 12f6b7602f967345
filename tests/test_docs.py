"""What README and docs show: every block runs, every table shown is the one printed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, affectbench
from pages import PAGES, arguments, blocks, differences, write_distribution, write_workshop

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

    metrics = filled((ROOT / "docs" / "metrics.md").read_text())
    assert set(re.findall(r"^### `(.+)`$", metrics, re.MULTILINE)) == set(METRICS.names())
    conventions = filled((ROOT / "docs" / "why-numbers-differ.md").read_text())
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
        run = _beside_plugin(_install(tmp_path / "plugin", tmp_path / "site"))
    printed = ""
    for block in blocks(page):
        if block.language == "python" and not block.reason:
            capsys.readouterr()
            exec(compile(block.text, str(page), "exec"), {})
            printed = capsys.readouterr().out
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


def _beside_plugin(site: Path) -> Callable[[str], str]:
    import os

    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(command: str) -> str:
        done = affectbench(*arguments(command), env=environment)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    return run


@pytest.mark.slow
def test_the_website_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "cache"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    built = {path.stem for path in (tmp_path / "html").glob("*.html")}
    assert built >= {page.stem for page in (ROOT / "docs").glob("*.md")}
    for name in METRICS.names():
        assert f">{name}<" in (tmp_path / "html" / "metrics.html").read_text()
