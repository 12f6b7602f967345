"""`make bench`: every benchmark in one process, two threads for everybody; writes performance.md.

python tests/bench/performance.py [--only fidelity,suite,own,process] [--out FILE]
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import platform
import sys
import tempfile
from pathlib import Path

import fidelity_speed
import process_speed
import suite_speed
import torch

SECTIONS = {
    "fidelity": fidelity_speed.report,
    "suite": suite_speed.report,
    "own": suite_speed.report_own_cost,
    "process": process_speed.report,
}
_PACKAGES = (
    "torch",
    "numpy",
    "pillow",
    "piq",
    "torchmetrics",
    "scikit-image",
    "opencv-python-headless",
)
SCRIPT = """\
## The plain script

```{literalinclude} ../tests/bench/plain_script.py
:language: python
```
"""


def main() -> None:
    """Run the chosen sections, print them and write them down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    parts = [_head(arguments.threads)]
    for name in arguments.only.split(","):
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="affectbench-bench-") as work:
            parts.append(SECTIONS[name](Path(work)))
        print(parts[-1], flush=True)
    parts.append(SCRIPT)
    if arguments.out:
        arguments.out.write_text("\n".join(parts), encoding="utf-8")


def _head(threads: int) -> str:
    versions = ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name)))
    return (
        "# Performance\n\nMade by `make bench`; do not edit. Candidates take turns in one process, "
        f"{threads} threads for everybody; medians of at least 7 rounds unless said otherwise.\n\n"
        f"{_processor()}, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}, "
        f"Python {platform.python_version()}, {versions}.\n"
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


if __name__ == "__main__":
    main()
