"""Run the cells of one data set that are missing: chunk-outer, model-inner.

A batch of faces is read and degraded once, what a metric needs of the reference is computed once,
and every row sees that batch. A row that breaks its contract fails alone. Nothing but the
finished values outlives its batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from affectbench.aggregate import cell_values
from affectbench.devices import usable_device
from affectbench.errors import AffectBenchError, InputError, ModelError, StorageError, listed
from affectbench.judges import load_judge
from affectbench.records import Record
from affectbench.run.anchors import best_constant_face
from affectbench.run.folder import Batches, RunFolder
from affectbench.run.plan import Cell, DatasetPlan, Measure
from affectbench.run.provenance import provenance
from affectbench.run.rows import Row
from affectbench.run.saving import save_references, save_results
from affectbench.run.sources import (
    Batch,
    ModelSource,
    OneFaceSource,
    Produced,
    Source,
    load_source,
    read_batch,
)
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    MetricSettings,
    ModelSpec,
    as_json,
)

Computation = tuple[Callable[..., Any], MetricSettings]
"""What several cells can share: see `Measure.computation`."""

Progress = Callable[[str, int, int], None]
"""Called with a text, the faces done and the faces in all."""


@dataclass
class Job:
    """One row that has something to do."""

    row: Row
    source: Source
    cells: list[Cell]
    failed: bool = False


@dataclass(frozen=True)
class LocalExecutor:
    """This process and its threads."""

    folder: RunFolder
    progress: Progress

    def run(self, plan: DatasetPlan, cells: Sequence[Cell]) -> None:
        """Run `cells`, a part of the plan's; `one-face` last, since it is chosen from results."""
        work = _Work(plan, self.folder, self.progress, usable_device(plan.device))
        work.run([cell for cell in cells if not cell.row.judge])
        work.run([cell for cell in cells if cell.row.judge])


class _Work:
    """One data set under way: its faces, and the metrics that were built so far."""

    def __init__(
        self, plan: DatasetPlan, folder: RunFolder, progress: Progress, device: torch.device
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.progress = progress
        self.device = device
        self._metrics: dict[Computation, ImageMetric] = {}
        self._judges: dict[str, Judge] = {}

    def run(self, cells: Sequence[Cell]) -> None:
        """Run and seal cells: batches outside, rows inside."""
        by_row: dict[Row, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_row[cell.row].append(cell)
        jobs = [job for row, mine in by_row.items() if (job := self._start(row, mine))]
        done = 0
        for number, ids in self.plan.batches() if jobs else ():
            self._batch(number, ids, [job for job in jobs if not job.failed])
            done += len(ids)
            self.progress(self.plan.name, done, len(self.plan.ids))
        for job in jobs:
            if not job.failed:
                self._seal(job)

    def _start(self, row: Row, cells: list[Cell]) -> Job | None:
        try:
            source = self._one_face(row) if row.judge else self._source(row)
        except StorageError:
            raise
        except AffectBenchError as error:
            self._fail(row, cells, str(error))
            return None
        return Job(row, source, cells)

    def _source(self, row: Row) -> Source:
        return load_source(row, self.plan, self.device)

    def _batch(self, number: int, ids: tuple[str, ...], jobs: Sequence[Job]) -> None:
        todo = [(job, self._unfinished(job, number)) for job in jobs]
        todo = [(job, cells) for job, cells in todo if cells or self._lacks_images(job, ids)]
        if not todo:
            return
        batch = read_batch(self.plan.pairs, ids)
        saved = self.folder.saved_faces(self.plan) if self.plan.save_images else None
        if saved:
            save_references(saved, batch)
        references: dict[Computation, Any] = {}
        for job, cells in todo:
            try:
                produced = job.source.produce(batch)
            except ModelError as error:
                job.failed = True
                self._fail(job.row, job.cells, str(error))
                continue
            if saved:
                save_results(saved, job.row, batch, produced)
            computed: dict[Computation, Columns] = {}
            for cell in cells:
                key = cell.measure.computation
                if key not in computed:
                    computed[key] = self._score(cell.measure, batch, produced, references)
                columns = derived(cell.measure, computed[key])
                self._batches(cell).write(number, columns, _about(produced))

    def _score(
        self,
        measure: Measure,
        batch: Batch,
        produced: Produced,
        references: dict[Computation, Any],
    ) -> Columns:
        try:
            return score(self._metric(measure), measure, batch, produced, references)
        except InputError as error:
            raise InputError(f"{measure.metric} of {listed(batch.ids)}: {error}") from error

    def _lacks_images(self, job: Job, ids: Sequence[str]) -> bool:
        if not self.plan.save_images:
            return False
        return self.folder.lacks_images(self.plan, job.row, ids)

    def _unfinished(self, job: Job, number: int) -> list[Cell]:
        return [cell for cell in job.cells if not self._batches(cell).has(number)]

    def _batches(self, cell: Cell) -> Batches:
        return Batches(self.folder, cell, self.plan.batch_size, torch.get_num_threads())

    def _metric(self, measure: Measure) -> ImageMetric:
        key = measure.computation
        if key not in self._metrics:
            judge = self._judge(measure.judge.name) if measure.judge else None
            self._metrics[key] = measure.plugin.build(measure.settings, judge, self.device)
        return self._metrics[key]

    def _judge(self, name: str) -> Judge:
        if name not in self._judges:
            self._judges[name] = load_judge(name, self.device)
        return self._judges[name]

    def _one_face(self, row: Row) -> Source:
        for cell in self.plan.cells:
            judge, sealed = cell.measure.judge, self.folder.record(cell)
            whole = sealed is not None and sealed.status == "ok" and not sealed.failed
            if whole and judge and judge.name == row.judge and cell.measure.metric == "ecm":
                columns = self.folder.columns(cell)
                # A face without a region (`crop/2`) has no probabilities, and cannot be chosen.
                known = ~np.isnan(columns["ecm"])
                columns = {name: column[known] for name, column in columns.items()}
                p = np.stack([columns[f"p_{name}"] for name in judge.classes], axis=1)
                best = str(columns["id"][best_constant_face(p, columns["label_hr"])])
                spec = replace(row.spec, note=f"{row.spec.note}: {best}")
                return OneFaceSource(spec, self.plan.pairs.read(best)[0])
        raise ModelError(f"one-face cannot be chosen: no row was scored by {row.judge}")

    def _fail(self, row: Row, cells: list[Cell], error: str) -> None:
        for cell in cells:
            record = replace(self._record(cell), status="failed", error=error)
            self.folder.seal(cell, replace(record, model=as_json(row.spec)), None)

    def _seal(self, job: Job) -> None:
        measured = self._measured(job)
        for cell in job.cells:
            columns, about = self._batches(cell).read()
            failed = tuple((str(i), str(why)) for batch in about for i, why in batch["failed"])
            record = replace(self._record(cell), model=as_json(job.source.spec), failed=failed)
            if not columns:
                error = f"none of the {record.n} faces has a result; first: {failed[0][1]}"
                self.folder.seal(cell, replace(record, status="failed", error=error), None)
                continue
            values = cell_values(columns, cell.measure.plugin, self.plan.seed, cell.id)
            images = cell.relative.with_suffix(".parquet").as_posix()
            cost = {**_cost(job.source.spec, about), **measured}
            self.folder.seal(
                cell, replace(record, values=values, cost=cost, images=images), columns
            )

    def _measured(self, job: Job) -> dict[str, float]:
        """What one face costs a model; of anchors and stored results nothing is measured."""
        if job.row.role != "model" or not isinstance(job.source, ModelSource):
            return {}
        return job.source.cost(read_batch(self.plan.pairs, self.plan.ids[:1]).lr)

    def _record(self, cell: Cell) -> Record:
        plan, threads = self.plan, torch.get_num_threads()
        return Record(
            id=cell.id,
            cell=cell.content,
            status="ok",
            role=cell.row.role,
            row=cell.row.label,
            model={},
            dataset=plan.record_data(),
            protocol={"name": plan.protocol.name, **as_json(plan.protocol)},
            metric={**as_json(cell.measure.plugin.spec), "identity": cell.measure.identity},
            n=len(plan.ids),
            provenance={
                **provenance(str(self.device), threads, plan.batch_size),
                "seed": plan.seed,
            },
        )


def score(
    metric: ImageMetric,
    measure: Measure,
    batch: Batch,
    produced: Produced,
    references: dict[Computation, Any],
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
    key = measure.computation
    if key not in references:
        references[key] = metric.reference(batch.hr)
    return {"id": ids, **metric.score(produced.sr, batch.hr, references[key])}


def derived(measure: Measure, columns: Columns) -> Columns:
    """What a cell keeps of the columns that its metric gives; without a face there are none."""
    if not len(columns["id"]):
        return columns
    return {"id": columns["id"], **measure.plugin.derive(columns)}


def _about(produced: Produced) -> dict[str, Any]:
    return {
        "failed": [list(item) for item in produced.failed.items()],
        "seconds": produced.seconds,
        "faces": len(produced.kept),
    }


def _cost(spec: ModelSpec, about: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    seconds = sum(float(batch["seconds"]) for batch in about)
    faces = sum(int(batch["faces"]) for batch in about)
    cost = {"seconds": seconds, "faces_per_second": faces / seconds} if seconds > 0 else {}
    if spec.parameters is not None:
        cost["parameters"] = float(spec.parameters)
    return cost
