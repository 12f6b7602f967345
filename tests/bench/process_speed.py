"""What whole processes take: peak memory, `--help`, and a comparison that is already there."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import made_faces
import rounds

FACES = 1130
FEW, MANY = 1000, 20_000
ROWS = (8, 30, 60)
ROOT = Path(__file__).resolve().parents[2]
_MEMORY = """
import sys, tempfile
from pathlib import Path
from affectbench.adapters import parse_models
from affectbench.run.plan import RunRequest
from affectbench.run.session import run_comparison
request = RunRequest(
    models=tuple(parse_models("nearest")), datasets=(("made", Path(sys.argv[1])),),
    metrics=("psnr",), anchors=(), limit=int(sys.argv[2]), device="cpu",
)
with tempfile.TemporaryDirectory() as out:
    outcome = run_comparison(request, Path(out))
assert not outcome.failed and outcome.computed == 1
# Not ru_maxrss: a process starts with its parent's.
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak)
"""


def report(work: Path) -> str:
    """The section of performance.md."""
    return "## Processes\n\n" + _memory(work) + "\n" + _commands(work)


def _memory(work: Path) -> str:
    folder = made_faces.write_faces(work / "many", MANY)
    peaks = {}
    for count in (FEW, MANY):
        command = [sys.executable, "-c", _MEMORY, str(folder), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[count] = int(done.stdout) / 1024
    rows = [(f"{count:,}", f"{peak:,.0f} MB") for count, peak in peaks.items()]
    return rounds.table(("faces (`nearest`, `psnr`)", "peak memory"), rows)


def _commands(work: Path) -> str:
    folder = made_faces.write_faces(work / "again", FACES)
    command = ["compare", "--models", "nearest,bicubic", "--datasets", "made"]
    command += ["--data", f"made={folder}", "--out", str(work / "again-out")]
    _affectbench(*command)  # the first one computes
    verify = _median(*command, "--verify")
    saving = _affectbench(*command, "--save-images")
    site = ["leaderboard", "site", "--root", str(ROOT / "leaderboards")]
    rows = [
        ("`leaderboard site`", f"{_affectbench(*site, '--out', str(work / 'site')):.2f} s"),
        ("`leaderboard check`", f"{_affectbench(*site[:1], 'check', *site[2:]):.2f} s"),
        ("the same `compare` with `--verify`", f"{verify:.2f} s"),
        ("the same `compare` with `--save-images`", f"{saving:.2f} s"),
        *_by_rows(work),
        ("`affectbench --help`", f"{_median('--help'):.2f} s"),
        (f"second `compare` over {FACES:,} faces, default metrics", f"{_median(*command):.2f} s"),
    ]
    return rounds.table(("command", "time"), rows)


def _by_rows(work: Path) -> list[tuple[str, str]]:
    """A second `compare`, which makes the tests anew, and `report`, with more and more rows."""
    folder = made_faces.write_faces(work / "rows", FEW)
    found = []
    for count in ROWS:
        models = ",".join(f"nearest@name=row{i}" for i in range(count))
        out = str(work / f"rows-{count}")
        command = ["compare", "--models", models, "--datasets", "made", "--metrics", "psnr,ecm"]
        command += ["--data", f"made={folder}", "--out", out]
        _affectbench(*command)
        again, page = _affectbench(*command), _affectbench("report", out)
        found.append((f"second `compare`, {count} rows x {FEW:,} faces", f"{again:.2f} s"))
        found.append((f"`report`, {count} rows x {FEW:,} faces", f"{page:.2f} s"))
    return found


def _median(*arguments: str) -> float:
    return statistics.median(_affectbench(*arguments) for _ in range(rounds.ROUNDS))


def _affectbench(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "affectbench.cli.main", *arguments],
        capture_output=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    return time.perf_counter() - began
