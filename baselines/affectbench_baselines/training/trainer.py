"""The training loop, on Lightning Fabric: one process, or several devices and nodes.

All randomness is derived from (seed, step, process), so a resumed run equals an uninterrupted one,
bit for bit on a CPU: same order, same draws, same optimiser, same averages.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from affectbench.callbacks import Advance
from affectbench.errors import AffectBenchError, InputError
from affectbench.judges import load_judge
from affectbench_baselines.affectsrnet.landmarks import MeanFace
from affectbench_baselines.affectsrnet.paper import PaperAffectSRNet
from affectbench_baselines.base import Details, Network
from affectbench_baselines.configs import build_network
from affectbench_baselines.header import Header
from affectbench_baselines.sadn.network import SADN
from affectbench_baselines.training.batches import Batches
from affectbench_baselines.training.faces import Faces
from affectbench_baselines.training.files import (
    CHECKPOINT,
    CURVE,
    DONE,
    LOG,
    WEIGHTS,
    Row,
    draw_curve,
    load_checkpoint,
    save_checkpoint,
    write_json,
    write_log,
)
from affectbench_baselines.training.losses import Batch, Objective
from affectbench_baselines.training.randomness import mixed, seeded
from affectbench_baselines.training.settings import Job, learning_rate
from affectbench_baselines.training.validate import Validation
from affectbench_baselines.training.vgg16 import FirstStages
from affectbench_baselines.weights import write_weights

_LOG = logging.getLogger("affectbench_baselines")
TRAINED_ON = ("celeba-official:182640-201596", "celeba:182640-201596", "celeba-train-split")
"""The faces of celeba_train: `loose` by id in CelebA's official split, and `tight`."""


class TrainingError(AffectBenchError):
    """A training run cannot continue."""

    exit_code = 1


@dataclass(frozen=True)
class Pace:
    """How often to save, log and validate; `stop_after` ends a run early, for a test."""

    save_seconds: float = 180.0
    tell_seconds: float = 15.0
    measure_faces: int = 7_500
    stop_after: int | None = None


@dataclass
class Position:
    """The position of a run. `seconds` is training time, `sums` the terms since the last row."""

    step: int = 0
    seconds: float = 0.0
    native_faces: int = 0
    rows: list[Row] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    counted: int = 0


class Trainer:
    """One stage of one network: weights, their moving average, optimiser, position."""

    def __init__(
        self,
        fabric: Fabric,
        job: Job,
        faces: Faces,
        out: Path,
        *,
        validation: Validation | None = None,
        vgg: FirstStages | None = None,
        pace: Pace | None = None,
        advance: Advance | None = None,
        extra: dict[str, Any] | None = None,
        chances: NDArray[np.float64] | None = None,
    ) -> None:
        if job.batch_size % fabric.world_size:
            raise InputError(
                f"{fabric.world_size} processes cannot share a batch of {job.batch_size} faces"
            )
        self.fabric, self.job, self.out = fabric, job, out
        self.validation, self.pace, self.extra = validation, pace or Pace(), extra or {}
        self.advance = advance
        with seeded(job.seed):
            self.network = build_network(job.family, job.network)
        _require_size(self.network, faces, job.size)
        self._start_at(faces)
        if job.precision == "bf16-mixed":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.network).to(fabric.device).requires_grad_(False)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=0.0, betas=(0.9, 0.99))
        self.model, self.optimizer = fabric.setup(self.network, optimizer)
        self.model.mark_forward_method("details")
        self.batches = Batches(
            faces, job, self.network.scale, (fabric.global_rank, fabric.world_size), chances
        )
        weights = job.stage.weights
        judge = load_judge(job.stage.emotion_judge, fabric.device) if weights.emotion else None
        if (weights.perceptual or weights.style) and vgg is None:
            raise InputError(
                "this stage has a perceptual loss and needs the weights of VGG16 (--vgg16 FILE; "
                "see affectbench_baselines.training.vgg16), or --no-perceptual"
            )
        vgg = vgg.to(fabric.device) if vgg is not None else None
        self.objective = Objective(weights, vgg, judge, job.stage.emotion_kind)
        self.position = Position()

    def start_from(self, tensors: dict[str, torch.Tensor]) -> None:
        """Load initial weights, such as the averages of the previous stage."""
        self.network.load_state_dict(tensors)
        self.ema.load_state_dict(tensors)

    def start_backbone(self, tensors: dict[str, torch.Tensor]) -> None:
        """Load the weights of an RRDBNet; InputError if this network has none of that size."""
        for network in (self.network, self.ema):
            part = network.backbone if isinstance(network, PaperAffectSRNet) else network
            try:
                part.load_state_dict(tensors)
            except RuntimeError as error:
                raise InputError(
                    f"{self.job.variant}: its RRDBNet is not of these weights' size; try --config "
                    f"x4 ({error})"
                ) from error

    def run(self) -> None:
        """Train to the end of the stage, or to `pace.stop_after` steps."""
        job, position, pace = self.job, self.position, self.pace
        began = saved = reported = time.monotonic()
        start = position.step
        last = job.steps if pace.stop_after is None else min(job.steps, pace.stop_after)
        while position.step < last:
            step_began = time.monotonic()
            self._step()
            now = time.monotonic()
            position.seconds += now - step_began
            if self.advance is not None:
                self.advance(self._title, self._faces, job.steps * job.batch_size)
            if now - reported > pace.tell_seconds:
                reported = now
                self._tell((position.step - start) * job.batch_size / (now - began))
            if self._due(pace.measure_faces) and position.step < job.steps:
                self._measure()
            if now - saved > pace.save_seconds:
                saved = now
                self.save()
        if position.step == job.steps:
            self._finish()
        else:
            self.save()

    def save(self) -> None:
        """Write everything needed to resume; only process 0 writes."""
        if self.fabric.is_global_zero:
            state = {
                "job": self.job.record(),
                "network": self.network.state_dict(),
                "ema": self.ema.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                **vars(self.position),
            }
            save_checkpoint(state, self.out / CHECKPOINT)
        self.fabric.barrier()

    def resume(self) -> None:
        """Resume from the output folder's checkpoint; InputError if it belongs to another job."""
        state = load_checkpoint(self.out / CHECKPOINT)
        if _plain(state["job"]) != _plain(self.job.record()):
            changed = sorted(
                key
                for key, value in _plain(self.job.record()).items()
                if _plain(state["job"]).get(key) != value
            )
            raise InputError(
                f"{self.out / CHECKPOINT}: is of another job ({', '.join(changed)} differ); take "
                "another output folder"
            )
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.position = Position(**{name: state[name] for name in vars(self.position)})
        _LOG.info("goes on at %s faces", f"{self._faces:,}")

    @property
    def _faces(self) -> int:
        return self.position.step * self.job.batch_size

    @property
    def _title(self) -> str:
        return f"{self.job.variant}, {self.job.stage_name}"

    def _start_at(self, faces: Faces) -> None:
        """Initialise a network's landmark prediction at the average face."""
        for part in self.network.modules():
            if isinstance(part, MeanFace):
                part.start_from(torch.from_numpy(np.nan_to_num(faces.mean_face(), nan=0.5)))

    def _step(self) -> None:
        job, position = self.job, self.position
        progress = position.step / job.steps
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(job.stage, position.step, job.steps)
        if isinstance(self.network, SADN):
            self.network.anneal(progress if job.stage_name == "base" else 1.0)
        batch = self.batches.at(position.step).to(self.fabric.device)
        rng = torch.Generator().manual_seed(mixed(job.seed, position.step, self.fabric.global_rank))
        self.model.train()
        with seeded(
            mixed(job.seed + 1, position.step, self.fabric.global_rank), self.fabric.device
        ):
            out = self._details(batch)
            loss, terms = self.objective(out, batch, rng)
        self._require_finite(loss, terms)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimizer.step()
        position.step += 1
        position.native_faces += job.batch_size if batch.whole else 0
        position.counted += 1
        for name, value in terms.items():
            position.sums[name] = position.sums.get(name, 0.0) + value
        self._average()

    def _details(self, batch: Batch) -> Details:
        hr = batch.hr
        size = () if batch.whole else ((int(hr.shape[-2]), int(hr.shape[-1])),)
        # Fabric applies its precision to `forward` alone.
        with self.fabric.autocast():
            out: Details = self.model.details(batch.lr, *size)
        parts = (out.parsing, out.cost, out.frequency)
        floats = (None if part is None else part.float() for part in parts)
        return Details(out.sr.float(), out.landmarks, *floats)

    def _require_finite(self, loss: torch.Tensor, terms: dict[str, float]) -> None:
        if math.isfinite(float(loss.detach())):
            return
        listed = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        raise TrainingError(
            f"{self.job.variant}: the loss is not finite after {self._faces:,} faces ({listed}); "
            f"the last checkpoint is in {self.out}; try a smaller learning rate"
        )

    @torch.no_grad()
    def _average(self) -> None:
        step = self.position.step
        decay = min(self.job.ema_decay, (1.0 + step) / (10.0 + step))
        current = self.network.state_dict()
        for name, average in self.ema.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1.0 - decay)
            else:
                average.copy_(current[name])

    def _due(self, every: int) -> bool:
        return self._faces // every > (self._faces - self.job.batch_size) // every

    def _tell(self, pace: float) -> None:
        left = (self.job.stage.faces - self._faces) / max(pace, 1e-9)
        terms = ", ".join(
            f"{name} {value / self.position.counted:.4f}"
            for name, value in self.position.sums.items()
        )
        _LOG.info(
            "%s: %s of %s faces, %.1f faces/s, %.0f min left (%s)",
            *(self._title, f"{self._faces:,}"),
            *(f"{self.job.stage.faces:,}", pace, left / 60.0, terms),
        )

    def _measure(self) -> None:
        """Add a row to the log: mean terms since the last one, and validation of the averages."""
        position = self.position
        row: Row = {
            "faces": self._faces,
            "seconds": round(position.seconds, 1),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            **{f"loss_{k}": v / max(1, position.counted) for k, v in position.sums.items()},
        }
        position.sums, position.counted = {}, 0
        if self.fabric.is_global_zero:
            if self.validation is not None:
                row |= self.validation.measure(self.ema, self.fabric.device)
            position.rows.append(row)
            write_log(position.rows, self.out / LOG)
            draw_curve(position.rows, self.out / CURVE, self._title)
            _LOG.info("%s", {name: round(value, 5) for name, value in row.items()})
        self.fabric.barrier()

    def _finish(self) -> None:
        self._measure()
        self.save()
        if self.fabric.is_global_zero:
            write_weights(self.ema.state_dict(), self.header(), self.out / WEIGHTS)
            rows = self.position.rows
            done = {
                "job": self.job.record(),
                "seconds": round(self.position.seconds, 1),
                "threads": torch.get_num_threads(),
                "processes": self.fabric.world_size,
                "native_faces": self.position.native_faces,
                "figures": rows[-1] if rows else {},
                **self.extra,
            }
            write_json(done, self.out / DONE)
        self.fabric.barrier()

    def header(self) -> Header:
        """Return the header of the weights file."""
        weights, before = self.job.stage.weights, self.extra.get("before", {})
        against = list(before.get("trained_against", ()))
        against += ["vgg16"] if weights.perceptual or weights.style else []
        against += [self.job.stage.emotion_judge] if weights.emotion else []
        return Header(
            network=self.job.family,
            settings=dict(self.job.network),
            trained_on=tuple(dict.fromkeys((*before.get("trained_on", ()), *TRAINED_ON))),
            trained_against=tuple(dict.fromkeys(against)),
            faces=self._faces + int(before.get("faces", 0)),
            seed=self.job.seed,
            note=f"{self.job.variant}, stage {self.job.stage_name}",
        )


def _require_size(network: Network, faces: Faces, size: int) -> None:
    """Raise InputError unless the archive and the network support HR faces of that side."""
    step, side = network.scale * network.size_multiple, len(faces.images[0])
    smallest = network.scale * network.smallest_lr
    if side < size:
        raise InputError(
            f"--size {size}: the faces of the archive have {side} pixels a side, and enlarged ones "
            f"are no originals to learn from; take --size {side} or less"
        )
    if size % step or size < smallest:
        raise InputError(
            f"--size {size}: this network takes multiples of {step} pixels, at least {smallest}"
        )


def _plain(record: Any) -> Any:
    """Convert tuples to lists for comparison, since a checkpoint may contain either."""
    if isinstance(record, dict):
        return {key: _plain(value) for key, value in record.items()}
    return [_plain(v) for v in record] if isinstance(record, (list, tuple)) else record
