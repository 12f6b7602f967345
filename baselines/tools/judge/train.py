"""Train one network on FER+: `python -m tools.judge.train --data DIR --config FILE --out DIR`.

Every choice is made on the public test; the private one is opened for the pixels of its faces,
which none of training may resemble. `--stop-at HH:MM` gives the run a deadline, by which the
learning rate has fallen to zero: two runs then differ. `--resume` continues from the last
checkpoint with the same weights, optimiser, random state and data order.
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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affectbench.judges.resnet_ferplus import ResNetFerPlus
from tools.judge.augment import augment
from tools.judge.checkpoints import channels_last
from tools.judge.config import TrainConfig, load_config
from tools.judge.data import Split, load_split
from tools.judge.measures import predict, vote_figures
from tools.judge.schedule import Progress, learning_rate, seconds_until
from tools.judge.start import warm_start

_LOG = logging.getLogger("judge.train")
_CHECKPOINT_SECONDS = 120.0
_ROW_EPOCHS = 2  # epochs from one row of the log, with its validation, to the next

Row = dict[str, float | int]


@dataclass
class Position:
    """The position of a run in the data and in its log."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    logged_step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)


class Trainer:
    """One run: weights, their moving average, optimiser, random state and position."""

    def __init__(
        self, config: TrainConfig, train: Split, public: Split, teacher: Tensor | None, out: Path
    ) -> None:
        self.config, self.train, self.public, self.out = config, train, public, out
        self.generator = torch.Generator().manual_seed(config.seed)
        self.model = _build(config)
        warm_start(self.model, config.start, out.parent, self.generator)
        self.labels_head = nn.Linear(self.model.head.in_features, self.model.head.out_features)
        nn.init.zeros_(self.labels_head.weight)
        nn.init.zeros_(self.labels_head.bias)
        for part in (self.model.stem, *self.model.blocks[: config.frozen_blocks]):
            part.requires_grad_(False)
        self.ema = _build(config)
        self.ema.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=0.0, fused=True)
        self.targets = train.shares
        if teacher is not None:
            self.targets = torch.lerp(train.shares, teacher, config.teacher_weight)
        self.weights = sampling_weights(train.shares, config.balance)
        self.position = Position()
        self.batches = len(train.labels) // config.batch_size
        self.progress = Progress(config.epochs * self.batches, 0.0, time.monotonic(), 1e12)
        self._saved = time.monotonic()

    def _parameter_groups(self) -> list[dict[str, Any]]:
        trunk = [p for p in self.model.blocks.parameters() if p.requires_grad]
        new = [
            *self.model.norm.parameters(),
            *self.model.head.parameters(),
            *self.labels_head.parameters(),
        ]
        decay = self.config.weight_decay
        return [
            {"params": [p for p in trunk if p.ndim > 1], "weight_decay": decay, "rate": 1.0},
            {"params": [p for p in trunk if p.ndim <= 1], "weight_decay": 0.0, "rate": 1.0},
            {"params": new, "weight_decay": 0.0, "rate": self.config.head_rate},
        ]

    def set_budget(self, seconds: float) -> None:
        """Spread what is left of the run over `seconds` from now at most."""
        total = self.progress.total_steps
        self.progress = Progress(total, self.progress.value, time.monotonic(), seconds)

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
        # The draw depends on the seed and the epoch alone, so a resume finds its place again.
        generator = torch.Generator().manual_seed(self.config.seed + 1000 + self.position.epoch)
        order = draw_epoch(self.weights, generator)
        size = self.config.batch_size
        for index in range(self.position.batch, self.batches):
            yield order[index * size : (index + 1) * size]

    def _step(self, indices: Tensor) -> None:
        config, position = self.config, self.position
        progress = self.progress.value
        rate = learning_rate(config.learning_rate, progress, position.step, config.warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        faces, targets, labels = self._make_batch(indices, progress)
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            features = self.model.one_sided(faces).float()
        keep = torch.rand(features.shape, generator=self.generator) >= config.dropout
        features = features * keep / (1.0 - config.dropout)
        logits = self.model.head(features)
        loss = F.cross_entropy(logits, targets)
        if config.pair_weight:
            loss = loss + config.pair_weight * pair_error(logits.softmax(1), targets)
        if config.label_weight:
            extra = F.cross_entropy(self.labels_head(features), labels)
            loss = loss + config.label_weight * extra
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        position.step += 1
        position.loss_sum += loss.item()
        self.progress.update(position.step, time.monotonic())
        self._update_average()

    def _make_batch(self, indices: Tensor, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return augmented faces (n,1,s,s), possibly mixed, with both kinds of targets (n,7)."""
        config = self.config
        view = config.view(progress)
        faces = augment(self.train.batch(indices), view, config.augment, self.generator)
        targets = self.targets[indices]
        labels = F.one_hot(self.train.labels[indices], targets.shape[1]).float()
        draw = torch.rand(2, generator=self.generator)
        if draw[0] < config.mixup_share:
            weight = draw[1] * config.mixup_max_weight
            faces, targets, labels = (
                torch.lerp(part, part.roll(1, dims=0), weight) for part in (faces, targets, labels)
            )
        return faces, targets, labels

    @torch.no_grad()
    def _update_average(self) -> None:
        step = self.position.step
        decay = min(self.config.ema_decay, (1.0 + step) / (10.0 + step))
        current = self.model.state_dict()
        for name, average in self.ema.state_dict().items():
            average.lerp_(current[name], 1.0 - decay)

    def _log_row(self) -> None:
        position = self.position
        began = time.monotonic()
        batches = position.step - position.logged_step
        with torch.autocast("cpu", torch.bfloat16):
            logits = predict(self.ema, self.public.all_faces())
        row: Row = {
            "epoch": position.epoch,
            "batches": batches,
            "progress": round(self.progress.value, 5),
            "lr": round(self.optimizer.param_groups[0]["lr"], 6),
            "train_loss": round(position.loss_sum / max(1, batches), 5),
            **{k: round(v, 4) for k, v in vote_figures(logits, self.public.shares).items()},
            "seconds_training": round(position.seconds, 1),
            "seconds_evaluating": round(time.monotonic() - began, 1),
        }
        position.rows.append(row)
        position.logged_step, position.loss_sum, position.seconds = position.step, 0.0, 0.0
        write_log(position.rows, self.out / "train_log.csv")
        _LOG.info("%s", row)

    def save(self) -> None:
        """Write everything that is needed to resume."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "labels_head": self.labels_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "position": vars(self.position),
            "progress": self.progress.value,
            "size": self.config.size,
        }
        temporary = self.out / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.out / "checkpoint.pt")
        self._saved = time.monotonic()

    def load(self) -> None:
        """Continue from the checkpoint in the output folder."""
        state = torch.load(self.out / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.labels_head.load_state_dict(state["labels_head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.position = Position(**state["position"])
        self.progress.value = float(state["progress"])
        _LOG.info("resumed at epoch %d, batch %d", self.position.epoch, self.position.batch)


def _build(config: TrainConfig) -> ResNetFerPlus:
    return channels_last(ResNetFerPlus(config.size))


def pair_error(p: Tensor, votes: Tensor) -> Tensor:
    """Return the mean squared error of `ecm/1` between the readings (n,7) of all pairs of faces."""
    return F.mse_loss(_ecm_of_all(p), _ecm_of_all(votes))


def _ecm_of_all(p: Tensor) -> Tensor:
    # The small number keeps the square root's gradient finite for equal rows (the diagonal).
    roots = (p + 1e-6).sqrt()
    hellinger = (0.5 * (roots[:, None] - roots[None]).square().sum(2) + 1e-6).sqrt()
    top = p.argmax(1)
    drift = (p.gather(1, top[:, None]) - p[:, top].T).abs()
    return 0.5 * hellinger + drift.log1p()


def sampling_weights(shares: Tensor, balance: float) -> Tensor:
    """Return the mean draws per epoch (N,) of each face: rare expressions are drawn more often."""
    weights = shares @ shares.mean(0).pow(-balance)
    return weights / weights.mean()


def draw_epoch(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return shuffled indices (about N) with each face repeated as often as its weight, +-1."""
    whole = weights.floor()
    extra = torch.rand(len(weights), generator=generator) < weights - whole
    places = torch.repeat_interleave(torch.arange(len(weights)), whole.long() + extra.long())
    # The count is random; a short epoch is padded with repeats.
    order = places[torch.randperm(len(places), generator=generator)]
    return torch.cat([order, order])[: len(weights)]


def write_log(rows: list[Row], path: Path) -> None:
    """Write all rows as CSV, atomically."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of FER2013 and FER+")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and log")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, help="what `tools.judge.teach` wrote")
    parser.add_argument("--stop-at", metavar="HH:MM", help="be annealed by this time")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Train one network."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    cache = options.out.parent / "similarity.npz"
    train, public = (load_split(options.data, n, cache) for n in ("train", "public_test"))
    _LOG.info("train %s, public %s", train.counts, public.counts)
    teacher = torch.from_numpy(np.load(options.teacher)) if options.teacher else None
    trainer = Trainer(load_config(options.config), train, public, teacher, options.out)
    if options.resume:
        trainer.load()
    if options.stop_at:
        trainer.set_budget(seconds_until(options.stop_at, datetime.now()))
    trainer.run()


if __name__ == "__main__":
    main()
