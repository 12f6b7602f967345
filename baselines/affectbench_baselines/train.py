"""Train one stage of a network: `python -m affectbench_baselines.train MODEL --data ... --out ...`.

    python -m affectbench_baselines.train rrdbnet --data celeba_train.zip \\
        --landmarks celeba_train.npz --out runs/baselines/rrdbnet/base
    python -m affectbench_baselines.train rrdbnet --stage last --vgg16 vgg16.safetensors \\
        --init runs/baselines/rrdbnet/base --data ... --landmarks ... --out runs/.../last-0

A run that was stopped goes on with `--resume`. `--devices`, `--num-nodes`, `--strategy` and
`--precision` are Fabric's; more than one process on the CPU is tested, GPUs and several nodes were
not run here.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.cli.progress import reporter
from affectbench.errors import AffectBenchError, InputError
from affectbench_baselines.configs import load_config
from affectbench_baselines.training.settings import (
    EMOTION_KIND,
    EMOTION_KINDS,
    STAGES,
    Job,
    make_job,
)
from affectbench_baselines.variants import VARIANTS, variant
from affectbench_baselines.weights import load_network, read_header

if TYPE_CHECKING:
    from affectbench_baselines.training.trainer import Advance

_LOG = logging.getLogger("affectbench_baselines")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m affectbench_baselines.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=", ".join(VARIANTS))
    parser.add_argument("--config", default="compact", help="a config's name or a JSON file")
    parser.add_argument("--data", type=Path, required=True, metavar="ZIP")
    parser.add_argument("--landmarks", type=Path, metavar="NPZ")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cache", type=Path, help="for decoded faces; default: beside DIR")
    parser.add_argument("--stage", choices=STAGES, default="base")
    parser.add_argument("--init", type=Path, help="folder or weights of the stage before")
    parser.add_argument("--faces", type=int, help="default: 45,000 (base), 15,000 (last)")
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
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; 0 if the stage is complete, 2 for an input error, 1 if training failed."""
    options = parser().parse_args(arguments)
    with reporter() as bars:
        # In here, so that on a terminal lines appear above the bar.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
        try:
            train(options, bars.advance)
        except AffectBenchError as error:
            _LOG.error("error: %s", error)
            return error.exit_code
    return 0


def train(options: argparse.Namespace, advance: Advance) -> None:
    """Run the job of a command line; `advance` is told of each step."""
    from affectbench_baselines.training.files import CHECKPOINT, DONE

    job = job_of(options)
    if options.resume and (options.out / DONE).is_file():
        _LOG.info("%s: is complete", options.out)
        return
    if not options.resume and (options.out / CHECKPOINT).is_file():
        raise InputError(f"{options.out}: holds a run; --resume goes on, or take another folder")
    import torch

    from affectbench_baselines.training.faces import load_faces
    from affectbench_baselines.training.trainer import Pace, Trainer
    from affectbench_baselines.training.validate import Validation, validation_ids
    from affectbench_baselines.training.vgg16 import load_first_stages

    if options.threads:
        torch.set_num_threads(options.threads)
    fabric = _fabric(options)
    options.out.mkdir(parents=True, exist_ok=True)
    cache = options.cache or options.out.parent / "cache"
    if fabric.is_global_zero:
        load_faces(options.data, options.landmarks, cache)  # one process decodes
    fabric.barrier()
    faces = load_faces(options.data, options.landmarks, cache)
    held_out = validation_ids()
    network, extra = _before(options.init)
    trainer = Trainer(
        fabric,
        job,
        faces.without(held_out),
        options.out,
        vgg=load_first_stages(options.vgg16) if options.vgg16 else None,
        pace=Pace(measure_faces=options.measure_faces),
        advance=advance if fabric.is_global_zero else None,
        extra=extra,
    )
    if not options.no_validation and fabric.is_global_zero:
        trainer.validation = Validation(faces.subset(held_out), trainer.network.scale, job.size)
    if network is not None:
        trainer.start_from(network)
    if options.resume and (options.out / CHECKPOINT).is_file():
        trainer.resume()
    trainer.run()


def job_of(options: argparse.Namespace) -> Job:
    """The job that a command line asks for."""
    chosen = variant(options.model)
    config = load_config(chosen.family, options.config)
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
    )
    if options.no_perceptual:
        weights = replace(job.stage.weights, perceptual=0.0, style=0.0)
        job = replace(job, stage=replace(job.stage, weights=weights))
    return job


def _before(init: Path | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The weights of the stage before, and what its run says of itself."""
    from affectbench_baselines.training.files import DONE, WEIGHTS

    if init is None:
        return None, {}
    path = init / WEIGHTS if init.is_dir() else init
    header = read_header(path)
    if header is None:
        raise InputError(f"{path}: is no weights file of this package")
    seconds, native = 0.0, 0
    if (init / DONE).is_file():
        done = json.loads((init / DONE).read_text(encoding="utf-8"))
        seconds = done["seconds"] * done["threads"] * done["processes"]
        native = done["native_faces"]
    before = {
        "faces": header.faces,
        "trained_against": list(header.trained_against),
        "seconds": seconds,
        "native_faces": native,
    }
    return dict(load_network(path, header).state_dict()), {"before": before}


def _fabric(options: argparse.Namespace) -> Any:
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise InputError(
            "training needs Lightning Fabric: pip install 'affectbench-baselines[train]'"
        ) from error
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=options.precision,
    )
    fabric.launch()
    return fabric


if __name__ == "__main__":
    sys.exit(main())
