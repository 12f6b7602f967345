"""Three thousand damaged inputs of every kind: see `tests/fuzz`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_damaged_inputs_are_refused_or_read():
    """No traceback, no hang, nothing run and nothing written outside of the case's folder."""
    command = [sys.executable, "-m", "fuzz", "--seed", "0", "--cases", "3000"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "3000 cases, 0 failures" in done.stdout
