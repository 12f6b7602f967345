"""Train ResNetFer on FER2013: `python -m affectbench.judges.resnet_fer.train --data DIR --out DIR`.

Every choice is made on the public test split; the private one is opened for its pixel hashes only.
`--stop-at HH:MM` gives the run a deadline, by which the learning rate has fallen to zero.
`--resume` continues from the last checkpoint with the same weights, optimiser, random state and
data order; with a deadline the learning rate depends on the clock, and two runs then differ.
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .augment import augment
from .config import DEFAULT_PATH, TrainConfig, load_config
from .data import Split, load_split
from .measures import accuracy, expected_calibration_error, predict
from .network import CLASSES, ResNetFer
from .schedule import Progress, learning_rate, seconds_until

_LOG = logging.getLogger("resnet_fer.train")
_CHECKPOINT_SECONDS = 150.0
_ROW_EPOCHS = 3  # epochs from one row of the log, with its validation, to the next

Row = dict[str, float | int]


@dataclass
class Position:
    """Where a run is, in the data and in its log."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    logged_step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: float = 0.0


class Trainer:
    """One run: weights, their moving average, optimiser, random state and position."""

    def __init__(self, config: TrainConfig, train: Split, public: Split, out: Path) -> None:
        self.config = config
        self.train = train
        self.public = public
        self.out = out
        self.generator = torch.Generator().manual_seed(config.seed)
        self.model = ResNetFer(self.generator).to(memory_format=torch.channels_last)
        self.model.start_from_recogniser()
        self.model.freeze_trunk(config.frozen_blocks)
        self.ema = ResNetFer().to(memory_format=torch.channels_last)
        self.ema.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=0.0)
        self.position = Position()
        self.batches = len(train.labels) // config.batch_size
        self.progress = Progress(config.epochs * self.batches, 0.0, time.monotonic(), 1e12)
        self._saved = time.monotonic()

    def _parameter_groups(self) -> list[dict[str, Any]]:
        trunk = [p for p in self.model.blocks.parameters() if p.requires_grad]
        new = [*self.model.norm.parameters(), *self.model.head.parameters()]
        decay = self.config.weight_decay
        return [
            {"params": [p for p in trunk if p.ndim > 1], "weight_decay": decay, "rate": 1.0},
            {"params": [p for p in trunk if p.ndim <= 1], "weight_decay": 0.0, "rate": 1.0},
            {"params": new, "weight_decay": 0.0, "rate": self.config.head_rate},
        ]

    def set_budget(self, seconds: float) -> None:
        """Spread what is left of the run over `seconds` from now at most."""
        start = self.progress.value
        total = self.progress.total_steps
        self.progress = Progress(total, start, time.monotonic(), seconds)

    def run(self) -> None:
        """Train until the progress is complete, logging and checkpointing on the way."""
        while self.progress.value < 1.0:
            began = time.monotonic()
            for indices in self._rest_of_epoch():
                self._step(indices)
                self.position.batch += 1
                if time.monotonic() - self._saved > _CHECKPOINT_SECONDS:
                    self.position.seconds += time.monotonic() - began
                    began = time.monotonic()
                    self.save()
                if self.progress.value >= 1.0:
                    break
            self.position.seconds += time.monotonic() - began
            self.position.epoch += 1
            self.position.batch = 0
            if self.position.epoch % _ROW_EPOCHS == 0 or self.progress.value >= 1.0:
                self._log_row()
            self.save()

    def _rest_of_epoch(self) -> Iterator[Tensor]:
        # The order depends on the seed and the epoch alone, so a resume finds its place again.
        seed = self.config.seed + 1000 + self.position.epoch
        order = torch.randperm(
            len(self.train.labels), generator=torch.Generator().manual_seed(seed)
        )
        size = self.config.batch_size
        for index in range(self.position.batch, self.batches):
            yield order[index * size : (index + 1) * size]

    def _step(self, indices: Tensor) -> None:
        config, position = self.config, self.position
        progress = self.progress.update(position.step, time.monotonic())
        rate = learning_rate(config.learning_rate, progress, position.step, config.warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        faces, targets = self._make_batch(indices, progress)
        self.model.train()
        features = self.model.one_sided(faces)
        keep = torch.rand(features.shape, generator=self.generator) >= config.dropout
        logits = self.model.head(features * keep / (1.0 - config.dropout))
        loss = F.cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        position.step += 1
        position.loss_sum += loss.item()
        self._update_average()

    def _make_batch(self, indices: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Augmented faces (n,1,s,s) and smoothed, possibly mixed targets (n,7)."""
        config = self.config
        view = config.view(progress)
        faces = augment(self.train.batch(indices), view, config.augment, self.generator)
        classes = len(CLASSES)
        targets = F.one_hot(self.train.labels[indices], classes).float()
        targets = targets * (1.0 - config.label_smoothing) + config.label_smoothing / classes
        draw = torch.rand(2, generator=self.generator)
        if draw[0] < config.mixup_share:
            weight = draw[1] * config.mixup_max_weight
            faces = torch.lerp(faces, faces.roll(1, dims=0), weight)
            targets = torch.lerp(targets, targets.roll(1, dims=0), weight)
        return faces, targets

    @torch.no_grad()
    def _update_average(self) -> None:
        step = self.position.step
        decay = min(self.config.ema_decay, (1.0 + step) / (10.0 + step))
        current = self.model.state_dict()
        for name, average in self.ema.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1.0 - decay)
            else:
                average.copy_(current[name])

    def _log_row(self) -> None:
        position = self.position
        row = self._evaluate()
        position.rows.append(row)
        if row["public_accuracy_ema"] > position.best:
            position.best = float(row["public_accuracy_ema"])
            write_atomically({"model": self.ema.state_dict(), "row": row}, self.out / "best_ema.pt")
        position.logged_step = position.step
        position.loss_sum = 0.0
        position.seconds = 0.0
        write_log(position.rows, self.out / "train_log.csv")
        _LOG.info("%s", row)

    def _evaluate(self) -> Row:
        began = time.monotonic()
        batches = self.position.step - self.position.logged_step
        faces, labels = self.public.all_faces(), self.public.labels
        ema = predict(self.ema, faces)
        return {
            "epoch": self.position.epoch,
            "batches": batches,
            "progress": round(self.progress.value, 5),
            "lr": round(self.optimizer.param_groups[0]["lr"], 6),
            "train_loss": round(self.position.loss_sum / max(1, batches), 5),
            "public_accuracy_ema": round(accuracy(ema, labels), 5),
            "public_ece_ema": round(expected_calibration_error(ema, labels), 5),
            "seconds_training": round(self.position.seconds, 1),
            "seconds_evaluating": round(time.monotonic() - began, 1),
        }

    def save(self) -> None:
        """Write everything a resume needs."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "position": vars(self.position),
            "progress": self.progress.value,
        }
        write_atomically(state, self.out / "checkpoint.pt")
        self._saved = time.monotonic()

    def load(self) -> None:
        """Continue from the checkpoint in the output folder."""
        state = torch.load(self.out / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.position = Position(**state["position"])
        self.progress.value = float(state["progress"])
        _LOG.info("resumed at epoch %d, batch %d", self.position.epoch, self.position.batch)


def write_atomically(state: dict[str, Any], path: Path) -> None:
    """torch.save to a temporary file in the same folder, then rename."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def write_log(rows: list[Row], path: Path) -> None:
    """Write all rows as CSV, atomically."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the FER2013 splits")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and log")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--stop-at", metavar="HH:MM", help="be annealed by this time")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument(
        "--rewind", type=float, metavar="PROGRESS", help="resume here instead: a warm restart"
    )
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Train one network."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    train, public = load_split(options.data, "train"), load_split(options.data, "public_test")
    _LOG.info("%d training, %d public faces", len(train.labels), len(public.labels))
    trainer = Trainer(load_config(options.config), train, public, options.out)
    if options.resume:
        trainer.load()
        if options.rewind is not None:
            trainer.progress.value = options.rewind
    if options.stop_at:
        trainer.set_budget(seconds_until(options.stop_at, datetime.now()))
    trainer.run()
    _LOG.info("done: best public accuracy %s", trainer.position.best)


if __name__ == "__main__":
    main()
