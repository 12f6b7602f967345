"""What workers on Ray cost and gain on this machine: the section "Measured" of docs/scaling.md.

Each candidate runs twice, over few faces and over many, in processes of its own with one thread
each: the difference gives the time of a face, and what is left the time to start.

    python tests/bench/scaling.py --faces 2000 --workers 1,2
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import made_faces
import rounds

_RUN = """
import sys
from affectbench import compare
faces, limit, out, workers = sys.argv[1:5]
more = {"executor": "ray", "workers": int(workers)} if int(workers) else {}
result = compare(
    sys.argv[5], data={"made": faces}, metrics=sys.argv[6], limit=int(limit), out=out, **more
)
assert not result.failed, result.failed
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak)
"""


@dataclass(frozen=True)
class Taken:
    """Seconds, the peak memory of the process that was started in MB, and the table's bytes."""

    seconds: float
    peak: float
    table: bytes


def measure(faces: Path, limit: int, workers: int, models: str, metrics: str) -> Taken:
    """Run a comparison on so many workers; 0: in its own process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as out:
        given = [str(faces), str(limit), f"{out}/run", str(workers), models, metrics]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _RUN, *given],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - began
        table = (Path(out) / "run" / "table.csv").read_bytes()
    return Taken(seconds, int(done.stdout.split()[-1]) / 1024, table)


def report(work: Path, count: int, workers: list[int], models: str, metrics: str) -> str:
    """Return the section: a row for this process, and one for each number of workers."""
    faces = made_faces.write_faces(work / "faces", count)
    few, rows, first, tables = max(32, count // 8), [], 0.0, set()
    for number in (0, *workers):
        short = measure(faces, few, number, models, metrics)
        long = measure(faces, count, number, models, metrics)
        tables.add(long.table)
        each = (long.seconds - short.seconds) / (count - few)
        start = short.seconds - few * each
        first = first or each
        name = f"Ray, {number} worker{'s' * (number > 1)}" if number else "local"
        cells = (f"{1000 * each:.2f}", f"{first / each:.2f}", f"{start:.1f} s")
        rows.append((name, *cells, f"{short.peak:,.0f} MB", f"{long.peak:,.0f} MB"))
    header = ("executor", "ms a face", "speed, local = 1", "start")
    header += (f"memory, {few:,} faces", f"{count:,} faces")
    same = "The tables are the same" if len(tables) == 1 else "THE TABLES DIFFER"
    return (
        f"{count:,} faces of 128 px, models {models}, metrics {metrics}, one thread a process; "
        f"{os.cpu_count()} cores, {platform.machine()}. Memory: of the process that was started.\n"
        f"\n{rounds.table(header, rows)}\n{same}, byte for byte.\n"
    )


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--models", default="nearest,bicubic,lanczos")
    parser.add_argument("--metrics", default="ecm,psnr,ssim")
    given = parser.parse_args()
    numbers = [int(number) for number in given.workers.split(",")]
    with tempfile.TemporaryDirectory() as work:
        print(report(Path(work), given.faces, numbers, given.models, given.metrics))


if __name__ == "__main__":
    main()
