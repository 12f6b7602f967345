"""One stage of training, from the command line to trained weights."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import torch

from affectbench.callbacks import Advance
from affectbench.errors import InputError, UnknownNameError, hint
from affectbench.judges import load_judge
from affectbench_baselines.header import read_header
from affectbench_baselines.restorers.adapted import published_weights
from affectbench_baselines.restorers.catalogue import RESTORERS, Restorer
from affectbench_baselines.training.balance import draw_weights
from affectbench_baselines.training.faces import load_faces
from affectbench_baselines.training.files import CHECKPOINT, DONE, WEIGHTS
from affectbench_baselines.training.settings import Job
from affectbench_baselines.training.trainer import Pace, Trainer
from affectbench_baselines.training.validate import Validation, validation_ids
from affectbench_baselines.training.vgg16 import load_first_stages
from affectbench_baselines.weights import load_network

_LOG = logging.getLogger("affectbench_baselines")


def train(job: Job, options: argparse.Namespace, advance: Advance) -> None:
    """Run a job with the options of a command line; `advance` is called after each step."""
    if options.resume and (options.out / DONE).is_file():
        _LOG.info("%s: is complete", options.out)
        return
    if not options.resume and (options.out / CHECKPOINT).is_file():
        raise InputError(f"{options.out}: holds a run; --resume goes on, or take another folder")
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
    network, extra = read_previous(options.init)
    if options.backbone:
        extra = {"before": from_published(options.backbone)}
    learned = faces.without(held_out)
    reduced = job.precision == "bf16-mixed"
    judge = load_judge(job.stage.emotion_judge) if job.balance else None
    trainer = Trainer(
        fabric,
        job,
        learned,
        options.out,
        chances=draw_weights(learned, judge, job.balance) if judge else None,
        vgg=load_first_stages(options.vgg16, reduced) if options.vgg16 else None,
        pace=Pace(measure_faces=options.measure_faces),
        advance=advance if fabric.is_global_zero else None,
        extra=extra,
    )
    if not options.no_validation and fabric.is_global_zero:
        trainer.validation = Validation(faces.subset(held_out), trainer.network.scale, job.size)
    if network is not None:
        trainer.start_from(network)
    if options.backbone:
        trainer.start_backbone(published_weights(published(options.backbone)))
    if options.resume and (options.out / CHECKPOINT).is_file():
        trainer.resume()
    trainer.run()


def read_previous(init: Path | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the weights of the previous stage, and the metadata of its run."""
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
        "trained_on": list(header.trained_on),
        "trained_against": list(header.trained_against),
        "seconds": seconds,
        "native_faces": native,
    }
    return dict(load_network(path, header).state_dict()), {"before": before}


def published(name: str) -> Restorer:
    """Return the restorer of that name; UnknownNameError if it has no published weights."""
    found = {r.name: r for r in RESTORERS if r.published}
    if name not in found:
        raise UnknownNameError(f"there are no published weights '{name}'; {hint(name, found)}")
    return found[name]


def from_published(name: str) -> dict[str, Any]:
    """Return the metadata of published weights, as `read_previous` does of a run's."""
    restorer = published(name)
    return {
        "faces": 0,
        "trained_on": list(restorer.trained_on),
        "trained_against": list(restorer.trained_against),
        "seconds": 0.0,
        "native_faces": 0,
        "backbone": name,
    }


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
