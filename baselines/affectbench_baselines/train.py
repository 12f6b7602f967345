"""Train one stage of a network: `python -m affectbench_baselines.train MODEL --data ... --out ...`.

    python -m affectbench_baselines.train rrdbnet --data celeba_train.zip \\
        --landmarks celeba_train.npz --out runs/baselines/rrdbnet/base
    python -m affectbench_baselines.train rrdbnet --stage last --vgg16 vgg16.safetensors \\
        --init runs/baselines/rrdbnet/base --data ... --landmarks ... --out runs/.../last-0

`--resume` continues a stopped run. `--devices`, `--num-nodes`, `--strategy` and `--precision` are
passed to Fabric; multiple CPU processes are tested, GPUs and multiple nodes have not been run.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from affectbench.cli.progress import reporter
from affectbench.errors import AffectBenchError, InputError
from affectbench.registry import Late
from affectbench_baselines.configs import load_config
from affectbench_baselines.restorers.catalogue import RESTORERS
from affectbench_baselines.training.settings import (
    EMOTION_KIND,
    EMOTION_KINDS,
    STAGES,
    Job,
    make_job,
)
from affectbench_baselines.variants import VARIANTS, variant

_LOG = logging.getLogger("affectbench_baselines")
STARTS = ", ".join(r.name for r in RESTORERS if r.published)
_CONFIGS = {8: "compact", 4: "x4"}
_train = Late("affectbench_baselines.training.stage:train")


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="python -m affectbench_baselines.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=", ".join(VARIANTS))
    parser.add_argument(
        "--config", help="a config's name or a JSON file; default: compact, or x4 of networks at x4"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="ZIP")
    parser.add_argument("--landmarks", type=Path, metavar="NPZ")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cache", type=Path, help="for decoded faces; default: beside DIR")
    parser.add_argument("--stage", choices=STAGES, default="base")
    parser.add_argument("--init", type=Path, help="folder or weights of the stage before")
    parser.add_argument(
        "--backbone", metavar="NAME", help="start the RRDBNet from published weights: " + STARTS
    )
    parser.add_argument(
        "--faces", type=int, help="default: 45,000 (base), 15,000 (last); at x4 a third"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=Job.size, help="side of HR in pixels")
    parser.add_argument("--resume", action="store_true", help="go on, if there is a checkpoint")
    parser.add_argument("--vgg16", type=Path, metavar="FILE", help="for the perceptual loss")
    parser.add_argument("--no-perceptual", action="store_true", help="leave that loss out")
    parser.add_argument("--emotion-weight", type=float)
    parser.add_argument("--emotion-kind", choices=EMOTION_KINDS, default=EMOTION_KIND)
    parser.add_argument("--measure-faces", type=int, default=7_500)
    parser.add_argument("--no-validation", action="store_true")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--num-nodes", type=int, default=1)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--precision", default=Job.precision)
    parser.add_argument("--balance", type=float, default=Job.balance, help="0: all faces alike")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return 0 if the stage is complete, 2 for an input error, 1 if training failed."""
    options = parser().parse_args(arguments)
    with reporter() as bars:
        # Inside the progress bar, so that on a terminal log lines appear above it.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
        try:
            _train(job_of(options), options, bars.advance)
        except AffectBenchError as error:
            _LOG.error("error: %s", error)
            return error.exit_code
    return 0


def job_of(options: argparse.Namespace) -> Job:
    """Return the job that a command line requests."""
    chosen = variant(options.model)
    config = load_config(chosen.family, options.config or _CONFIGS[chosen.scale])
    learned = any(config.loss_weights.get(name) for name in ("landmarks", "edges", "parsing"))
    if options.landmarks is None and learned:
        raise InputError(f"{options.model} learns from landmarks; name them with --landmarks NPZ")
    job = make_job(
        options.model,
        chosen,
        config,
        options.stage,
        faces=options.faces,
        seed=options.seed,
        emotion_weight=options.emotion_weight,
        emotion_kind=options.emotion_kind,
        batch_size=options.batch_size,
        size=options.size,
        precision=options.precision,
        balance=options.balance,
    )
    if options.no_perceptual:
        weights = replace(job.stage.weights, perceptual=0.0, style=0.0)
        job = replace(job, stage=replace(job.stage, weights=weights))
    return job


if __name__ == "__main__":
    sys.exit(main())
