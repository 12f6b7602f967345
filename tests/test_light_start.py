"""Printing help, and a run that finds everything finished, load only what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_CODE = """
import sys
from affectbench.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as exit:
    code = exit.code
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def loaded(*arguments: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    command = [sys.executable, "-c", _CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("verb", [[], ["table"], ["report"], ["run"], ["leaderboard"], ["assets"]])
def test_help_loads_nothing_that_measures(verb: list[str]) -> None:
    heavy = {"numpy", "pandas", "torch", "PIL", "rich", "http.client", "importlib.metadata", "ssl"}
    assert not loaded(*verb, "--help") & heavy


def test_a_finished_run_needs_no_torch(tmp_path: Path) -> None:
    options = ["--metrics", "ecm,psnr,ssim,psnr_mouth,identity,nme", "--out", str(tmp_path / "run")]
    command = ["compare", "--models", "bicubic", *options]
    assert "torch" in loaded(*command)
    assert "torch" not in loaded(*command)
