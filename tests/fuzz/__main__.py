"""Throw damaged inputs at affectbench: `python -m fuzz --seed 0 --cases 3000`, or `--minutes 30`.

Prints how many cases of each kind were refused and taken. The first case that does what no input
may do ends the run; `--only N` repeats it, since each case is made from the seed and its number.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from .kinds import KINDS, Workshop
from .watch import watched


def _case(seed: int, number: int, shop: Workshop, room: Path) -> tuple[str, bool]:
    """Make case `number` of a seed and open it: its kind, and whether it was refused."""
    rng = np.random.default_rng([seed, number])
    shares = [share for _, share in KINDS]
    kind = KINDS[int(rng.choice(len(KINDS), p=np.array(shares) / sum(shares)))][0]
    room.mkdir()
    try:
        with watched(room), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind.__name__, kind(rng, shop, room)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--minutes", type=float, help="go on as long, however many cases that are")
    parser.add_argument("--only", type=int, help="the number of one case")
    parser.add_argument("--keep-going", action="store_true", help="list all failures")
    arguments = parser.parse_args()
    os.environ["AFFECTBENCH_OFFLINE"] = "1"
    sys.dont_write_bytecode = True
    counts: Counter[tuple[str, str]] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shop = Workshop(Path(folder))
        began, number = time.monotonic(), arguments.only or 0
        while True:
            try:
                kind, refused = _case(arguments.seed, number, shop, Path(folder) / "room")
                counts[kind, "refused" if refused else "taken"] += 1
            except BaseException:
                print(f"case {number} of seed {arguments.seed}:", file=sys.stderr)
                traceback.print_exc()
                failures += 1
                if not arguments.keep_going:
                    return 1
            number += 1
            enough = time.monotonic() - began > 60 * (arguments.minutes or 0)
            if arguments.only is not None or (enough and number >= arguments.cases):
                break
        os.chdir("/")
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{kind:17} {outcome:8} {count:6}")
    print(f"{number} cases, {failures} failures, {time.monotonic() - began:.0f} s")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
