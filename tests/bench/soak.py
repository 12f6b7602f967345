"""A long run that is killed again and again: its table must be that of a local run.

Made faces and three models, first in one process, then on Ray. Meanwhile workers are killed at
random, and now and then the process that gives them work, which is then started again. Prints the
time of a face, the kills, and how the memory of that process grows.

    python tests/bench/soak.py --faces 20000 --every 60 --drivers 3
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import made_faces
import numpy as np
import rounds

MODELS = "nearest,bicubic,lanczos"


@dataclass
class Course:
    """What happened in a run: seconds, kills, and memory in MB by second."""

    seconds: float = 0.0
    workers: int = 0
    drivers: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)


def run(command: list[str], rng: np.random.Generator, every: float, drivers: int) -> Course:
    """Run a command to its end, and kill at random; `every`: mean seconds between kills (0: none).

    `drivers` kills hit the command itself, which is then run again.
    """
    course, began = Course(), time.monotonic()
    while True:
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        killed = _watch(process, course, began, rng, every, drivers)
        if not killed:
            break
    course.seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return course


def _watch(
    process: subprocess.Popen[bytes],
    course: Course,
    began: float,
    rng: np.random.Generator,
    every: float,
    drivers: int,
) -> bool:
    """Watch a process until it ends; return whether it was killed here."""
    due = time.monotonic() + rng.exponential(every) if every else float("inf")
    while process.poll() is None:
        time.sleep(0.5)
        course.memory.append((time.monotonic() - began, _memory(process.pid)))
        if time.monotonic() < due:
            continue
        due = time.monotonic() + rng.exponential(every)
        if course.drivers < drivers and rng.random() < 0.3:
            process.kill()
            process.wait()
            course.drivers += 1
            return True
        if found := workers_below(process.pid):
            with suppress(ProcessLookupError):
                os.kill(int(rng.choice(found)), signal.SIGKILL)
                course.workers += 1
    return False


def workers_below(pid: int) -> list[int]:
    """Return the processes of workers that a process has started, directly or not."""
    parents, workers = {}, []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            number = int(entry.name)
            parents[number] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::RayWorker"):
                workers.append(number)
    return [worker for worker in workers if pid in _ancestors(worker, parents)]


def _ancestors(pid: int, parents: dict[int, int]) -> list[int]:
    found = []
    while pid in parents and parents[pid] != pid:
        pid = parents[pid]
        found.append(pid)
    return found


def _memory(pid: int) -> float:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0


def command(faces: Path, out: Path, metrics: str, *more: str) -> list[str]:
    """Return the command of a comparison."""
    given = ["compare", "--models", MODELS, "--data", f"made={faces}", "--metrics", metrics]
    return [sys.executable, "-m", "affectbench.cli.main", *given, "--out", str(out), *more]


def curve(course: Course, points: int = 8) -> str:
    """Return the memory at evenly spaced times."""
    places = np.linspace(0, len(course.memory) - 1, points).astype(int)
    return ", ".join(f"{course.memory[i][1]:,.0f}" for i in places) if course.memory else "-"


def main() -> None:
    """Run both, compare their tables, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--metrics", default="ecm,psnr,ssim")
    parser.add_argument("--every", type=float, default=60.0, help="mean seconds between kills")
    parser.add_argument("--drivers", type=int, default=3, help="kills of the run itself")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as work:
        faces = made_faces.write_faces(Path(work) / "faces", given.faces)
        outs = Path(work) / "local", Path(work) / "ray"
        local = run(command(faces, outs[0], given.metrics), rng, 0.0, 0)
        more = ("--executor", "ray", "--workers", str(given.workers))
        cluster = run(
            command(faces, outs[1], given.metrics, *more), rng, given.every, given.drivers
        )
        tables = {(out / "table.csv").read_bytes() for out in outs}
    rows = [
        (
            name,
            f"{course.seconds:,.0f} s",
            f"{1000 * course.seconds / given.faces:.1f}",
            f"{course.workers} and {course.drivers}",
            curve(course),
        )
        for name, course in (("local", local), (f"Ray, {given.workers} workers", cluster))
    ]
    header = ("executor", "time", "ms a face", "workers and runs killed", "memory over time, MB")
    print(f"{given.faces:,} made faces, models {MODELS}, metrics {given.metrics}.\n")
    print(rounds.table(header, rows))
    print("The tables are the same, byte for byte." if len(tables) == 1 else "THE TABLES DIFFER.")
    sys.exit(len(tables) != 1)


if __name__ == "__main__":
    main()
