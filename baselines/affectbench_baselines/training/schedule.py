"""The training queue, run one job at a time, most valuable first; stopped jobs are resumed.

    python -m affectbench_baselines.training.schedule --data ZIP --landmarks NPZ --vgg16 FILE
    python -m affectbench_baselines.training.schedule --list

Restart it after a stop: finished jobs are skipped, the others resume from their last checkpoint.
`--only rrdbnet/base,affectsrnet/` selects jobs whose folder starts with one of these; `--until
HH:MM` starts no job after that time. Runs are stored under `--runs` (default `runs/baselines`), one
folder per job.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from affectbench_baselines import train
from affectbench_baselines.training import freeze
from affectbench_baselines.training.files import CHECKPOINT, DONE
from affectbench_baselines.variants import VARIANTS

_LOG = logging.getLogger("affectbench_baselines")
SEEDS = (0, 1, 2)
SEEDED = ("affectsrnet", "affectsrnet-noemotion")
"""The claim and its closest control; their last stage runs with each seed."""

CONTROLS = ("rrdbnet-emotion", "wnet-emotion", "fadn-emotion")
"""Other architectures with the same emotion loss."""

PRECISION = ("--precision", "bf16-mixed")
"""Three times as fast as float32 on a CPU with AMX."""
PUBLISHED = ("--backbone", "real-esrgan-anime")
"""The start of the networks at x4."""

ABLATION_FACES = (20_000, 10_000)
ABLATIONS = (
    "affectsrnet",
    "affectsrnet-no-prior",
    "affectsrnet-no-gcn",
    "affectsrnet-no-msaf",
    "affectsrnet-one-scale",
)


@dataclass(frozen=True)
class Entry:
    """A job of the queue: its folder below the runs' folder, and its own arguments."""

    folder: str
    variant: str
    arguments: tuple[str, ...] = ()
    init: str = ""


def queue() -> Iterator[Entry]:
    """Yield all jobs, the most valuable first."""
    for family in ("rrdbnet", "affectsrnet"):
        yield Entry(f"{family}/base", family)
    yield _last("rrdbnet", 0)
    for seed in SEEDS:
        yield from (_last(name, seed) for name in SEEDED)
    for family in ("wnet", "fadn", "sadn"):
        yield Entry(f"{family}/base", family)
        yield _last(family, 0)
    yield from (_last(name, 0) for name in CONTROLS)
    yield from _at_x4()
    yield from _ablations()


def _last(name: str, seed: int) -> Entry:
    before = VARIANTS[name].base or name
    return Entry(
        f"{name}/last-{seed}", name, ("--stage", "last", "--seed", str(seed)), f"{before}/base"
    )


def _at_x4() -> Iterator[Entry]:
    for name in ("rrdbnet-x4", "affectsrnet-x4", "rrdbnet-x4-chance"):
        yield Entry(f"{name}/base", name, () if name.endswith("chance") else PUBLISHED)
        yield _last(name, 0)
    yield _last("rrdbnet-x4-emotion", 0)


def _ablations() -> Iterator[Entry]:
    base, last = (str(faces) for faces in ABLATION_FACES)
    for name in ABLATIONS:
        folder = f"ablations/{name}"
        yield Entry(f"{folder}/base", name, ("--faces", base))
        yield Entry(f"{folder}/last", name, ("--stage", "last", "--faces", last), f"{folder}/base")
    # Without the emotion loss, the base stage is the same as for the whole network.
    yield Entry(
        "ablations/affectsrnet-noemotion/last",
        "affectsrnet-noemotion",
        ("--stage", "last", "--faces", last),
        "ablations/affectsrnet/base",
    )


def command(entry: Entry, options: argparse.Namespace) -> list[str]:
    """Return the arguments of `affectbench_baselines.train` for a job."""
    runs = options.runs
    out = [entry.variant, "--data", str(options.data), "--landmarks", str(options.landmarks)]
    out += ["--out", str(runs / entry.folder), "--cache", str(runs / "cache"), "--resume"]
    out += [*PRECISION, *entry.arguments]
    if "last" in entry.arguments:
        out += ["--no-perceptual"] if options.vgg16 is None else ["--vgg16", str(options.vgg16)]
    if entry.init:
        out += ["--init", str(runs / entry.init)]
    if options.threads:
        out += ["--threads", str(options.threads)]
    return out


def state(entry: Entry, runs: Path) -> str:
    """Return `done` with the figures of the last row, `started`, or `waiting`."""
    folder = runs / entry.folder
    if (folder / DONE).is_file():
        figures = json.loads((folder / DONE).read_text(encoding="utf-8"))["figures"]
        shown = ("psnr", "ssim", "ecm_macro_mini-xception", "ecm_macro_face-api")
        return "done " + ", ".join(f"{k} {figures[k]:.4f}" for k in shown if k in figures)
    return "started" if (folder / CHECKPOINT).is_file() else "waiting"


def run_queue(entries: Sequence[Entry], options: argparse.Namespace) -> int:
    """Run the unfinished jobs; return the number that failed."""
    failed = 0
    for entry in entries:
        if _finished(entry.folder, options.runs):
            continue
        if options.until and datetime.now().strftime("%H:%M") >= options.until:
            _LOG.info("it is %s: %s and what follows are left", options.until, entry.folder)
            break
        if entry.init and not _finished(entry.init, options.runs):
            _LOG.error("%s: waits for %s, which is not finished", entry.folder, entry.init)
            failed += 1
            continue
        _LOG.info("== %s", entry.folder)
        began = time.monotonic()
        code = train.main(command(entry, options))
        failed += code != 0
        _LOG.info("== %s: code %d, %.1f min", entry.folder, code, (time.monotonic() - began) / 60)
    return failed


def _finished(folder: str, runs: Path) -> bool:
    """Return whether a job is finished; frozen weights of a base stage count as its run."""
    run = runs / folder
    return (run / DONE).is_file() or freeze.thaw(folder.removesuffix("/base"), run)


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="python -m affectbench_baselines.training.schedule",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="ZIP")
    parser.add_argument("--landmarks", type=Path, metavar="NPZ")
    parser.add_argument("--vgg16", type=Path, metavar="FILE", help="without it: no perceptual loss")
    parser.add_argument("--runs", type=Path, default=Path("runs/baselines"))
    parser.add_argument("--only", default="", metavar="FOLDERS")
    parser.add_argument("--until", metavar="HH:MM")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--list", action="store_true", help="say what is done, and stop")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or list the queue; return 1 if a job failed."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    entries = list(queue())
    wanted = tuple(text.strip() for text in options.only.split(","))
    entries = [entry for entry in entries if entry.folder.startswith(wanted)]
    if options.list:
        for entry in entries:
            _LOG.info("%-40s %s", entry.folder, state(entry, options.runs))
        return 0
    if options.data is None or options.landmarks is None:
        parser().error("--data and --landmarks are needed")
    return 1 if run_queue(entries, options) else 0


if __name__ == "__main__":
    sys.exit(main())
