"""Run the cells of one data set that are missing: chunk-outer, model-inner.

A batch of faces is read and degraded once, what a metric needs of the reference is computed once,
and every row sees that batch. A row that breaks its contract fails alone. Nothing but the
finished values outlives its batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from affectbench.aggregate import set_values
from affectbench.errors import AffectBenchError, InputError, ModelError, StorageError
from affectbench.judges import load_judge
from affectbench.records import Record
from affectbench.run.anchors import best_constant_face
from affectbench.run.folder import Batches, RunFolder
from affectbench.run.plan import Cell, DatasetPlan, Measure
from affectbench.run.provenance import provenance
from affectbench.run.rows import Row
from affectbench.run.saving import save_images
from affectbench.run.sources import Batch, FaceReader, OneFaceSource, Produced, Source, load_source
from affectbench.types import Columns, ImageMetric, as_json

Progress = Callable[[str, int, int], None]
"""Called with a text, the faces done and the faces in all."""


@dataclass
class Job:
    """One row that has something to do."""

    row: Row
    source: Source
    cells: list[Cell]
    error: str = ""
    seconds: float = 0.0
    faces: int = 0


@dataclass
class LocalExecutor:
    """This process and its threads."""

    folder: RunFolder
    progress: Progress
    _metrics: dict[str, ImageMetric] = field(default_factory=dict)

    def run(self, plan: DatasetPlan, cells: Sequence[Cell]) -> None:
        """Run `cells`, a part of the plan's; `one-face` last, since it is chosen from results."""
        device = pick_device(plan.device)
        faces = FaceReader(plan)
        last = [cell for cell in cells if cell.row.judge]
        self._pass(plan, [cell for cell in cells if not cell.row.judge], faces, device)
        self._pass(plan, last, faces, device)

    def _pass(
        self, plan: DatasetPlan, cells: list[Cell], faces: FaceReader, device: torch.device
    ) -> None:
        by_row: dict[Row, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_row[cell.row].append(cell)
        jobs = []
        for row, mine in by_row.items():
            job = self._start(plan, row, mine, faces, device)
            if job:
                jobs.append(job)
        done = 0
        for number, ids in plan.batches() if jobs else ():
            self._batch(plan, number, ids, [job for job in jobs if not job.error], faces, device)
            done += len(ids)
            self.progress(plan.name, done, len(plan.ids))
        for job in jobs:
            if not job.error:
                self._seal(plan, job, device)

    def _start(
        self,
        plan: DatasetPlan,
        row: Row,
        cells: list[Cell],
        faces: FaceReader,
        device: torch.device,
    ) -> Job | None:
        try:
            if row.judge:
                source: Source = self._one_face(plan, row, faces)
            else:
                source = load_source(row, plan, faces, device)
        except StorageError:
            raise
        except AffectBenchError as error:
            self._fail(plan, row, cells, str(error), device)
            return None
        return Job(row, source, cells)

    def _batch(
        self,
        plan: DatasetPlan,
        number: int,
        ids: tuple[str, ...],
        jobs: Sequence[Job],
        faces: FaceReader,
        device: torch.device,
    ) -> None:
        todo = [(job, self._unfinished(plan, job, number)) for job in jobs]
        todo = [(job, cells) for job, cells in todo if cells or self._lacks(plan, job, ids)]
        if not todo:
            return
        batch = faces.batch(ids)
        references: dict[str, Any] = {}
        for job, cells in todo:
            try:
                produced = job.source.produce(batch)
            except ModelError as error:
                job.error = str(error)
                self._fail(plan, job.row, job.cells, job.error, device)
                continue
            job.seconds += produced.seconds
            job.faces += len(produced.kept)
            if plan.save_images:
                save_images(self.folder, plan.name, job.row.label, batch, produced)
            for cell in cells:
                metric = self._metric(cell.measure, device)
                columns = score(metric, cell.measure, batch, produced, references)
                self._batches(plan, cell).write(number, columns, _extra(produced))

    def _lacks(self, plan: DatasetPlan, job: Job, ids: Sequence[str]) -> bool:
        if not plan.save_images:
            return False
        return self.folder.lacks_images(plan.name, job.row.label, ids)

    def _unfinished(self, plan: DatasetPlan, job: Job, number: int) -> list[Cell]:
        return [cell for cell in job.cells if not self._batches(plan, cell).has(number)]

    def _batches(self, plan: DatasetPlan, cell: Cell) -> Batches:
        return Batches(self.folder, cell, plan.batch_size, torch.get_num_threads())

    def _metric(self, measure: Measure, device: torch.device) -> ImageMetric:
        key = repr(measure.identity)
        if key not in self._metrics:
            judge = load_judge(measure.judge.name, device) if measure.judge else None
            self._metrics[key] = measure.plugin.build(measure.settings, judge, device)
        return self._metrics[key]

    def _one_face(self, plan: DatasetPlan, row: Row, faces: FaceReader) -> Source:
        for cell in plan.cells:
            measure = cell.measure
            sealed = self.folder.record(cell)
            if measure.metric != "ecm" or sealed is None or sealed.status != "ok" or sealed.failed:
                continue
            if measure.judge and measure.judge.name == row.judge:
                columns = self.folder.columns(cell)
                p = np.stack([columns[f"p_{c}"] for c in measure.judge.classes], axis=1)
                best = str(columns["id"][best_constant_face(p, columns["label_hr"])])
                spec = replace(row.spec, note=f"{row.spec.note}: {best}")
                return OneFaceSource(spec, faces.pair(best)[0])
        raise ModelError(f"one-face cannot be chosen: no row was scored by {row.judge}")

    def _fail(
        self, plan: DatasetPlan, row: Row, cells: list[Cell], error: str, device: torch.device
    ) -> None:
        for cell in cells:
            record = _record(plan, cell, device)
            model = as_json(row.spec)
            self.folder.seal(cell, replace(record, status="failed", error=error, model=model), None)

    def _seal(self, plan: DatasetPlan, job: Job, device: torch.device) -> None:
        for cell in job.cells:
            columns, extras = self._batches(plan, cell).read()
            failed = tuple((str(i), str(why)) for e in extras for i, why in e["failed"])
            base = replace(
                _record(plan, cell, device), model=as_json(job.source.spec), failed=failed
            )
            if not columns:
                error = f"none of the {len(plan.ids)} faces has a result; first: {failed[0][1]}"
                self.folder.seal(cell, replace(base, status="failed", error=error), None)
                continue
            plugin = cell.measure.plugin
            values = set_values(columns, plugin.spec, plugin.summarise(columns), plan.seed, cell.id)
            cost = _cost(job, extras)
            images = cell.relative.with_suffix(".parquet").as_posix()
            self.folder.seal(cell, replace(base, values=values, cost=cost, images=images), columns)


def score(
    metric: ImageMetric,
    measure: Measure,
    batch: Batch,
    produced: Produced,
    references: dict[str, Any],
) -> Columns:
    """A metric's columns, with their ids, for the faces of a batch that have a result.

    `references` keeps the reference's results of the whole batch for the next row.
    """
    ids = np.array([batch.ids[i] for i in produced.kept], dtype=str)
    if not len(ids):
        return {"id": ids}
    if len(ids) < len(batch.ids):
        hr = batch.hr[list(produced.kept)]
        return {"id": ids, **metric.score(produced.sr, hr, metric.reference(hr))}
    key = repr(measure.identity)
    if key not in references:
        references[key] = metric.reference(batch.hr)
    return {"id": ids, **metric.score(produced.sr, batch.hr, references[key])}


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one; InputError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: cannot be used ({error})".splitlines()[0]) from error
    return device


def _record(plan: DatasetPlan, cell: Cell, device: torch.device) -> Record:
    spec = cell.measure.plugin.spec
    return Record(
        id=cell.id,
        cell=cell.content,
        status="ok",
        role=cell.row.role,
        row=cell.row.label,
        model={},
        dataset=plan.record_data(),
        protocol={"name": plan.protocol.name, **as_json(plan.protocol)},
        metric={**as_json(spec), "identity": cell.measure.identity},
        n=len(plan.ids),
        provenance={
            **provenance(str(device), torch.get_num_threads(), plan.batch_size),
            "seed": plan.seed,
        },
    )


def _extra(produced: Produced) -> dict[str, object]:
    return {
        "failed": [list(item) for item in produced.failed.items()],
        "seconds": produced.seconds,
        "faces": len(produced.kept),
    }


def _cost(job: Job, extras: Sequence[dict[str, Any]]) -> dict[str, float]:
    seconds = sum(float(e["seconds"]) for e in extras)
    faces = sum(int(e["faces"]) for e in extras)
    cost = {"seconds": seconds, "faces_per_second": faces / seconds} if seconds > 0 else {}
    if job.source.spec.parameters is not None:
        cost["parameters"] = float(job.source.spec.parameters)
    return cost
