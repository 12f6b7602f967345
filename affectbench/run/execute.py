"""Run the missing cells of one data set: batches in the outer loop, rows in the inner.

Each batch of faces is read and degraded once, reference-side results of metrics are computed once,
and every row gets the same batch. A row that breaks its contract fails alone. Only finished values
outlive their batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from affectbench.callbacks import Advance
from affectbench.devices import usable_device
from affectbench.errors import (
    AffectBenchError,
    ChangedError,
    MetricError,
    ModelError,
    StorageError,
)
from affectbench.records import Record
from affectbench.run.anchors import EXACT_FACES
from affectbench.run.batches import Batches
from affectbench.run.constant_face import best_constant_face
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.provenance import provenance
from affectbench.run.rows import Row
from affectbench.run.saving import save_references, save_results
from affectbench.run.scoring import Computation, Metrics, References, kept_columns, set_of
from affectbench.run.sources import (
    Batch,
    FaceSource,
    ModelSource,
    OneFaceSource,
    Produced,
    load_source,
    read_batch,
)
from affectbench.types import Columns, ModelSpec, as_json


@dataclass
class Job:
    """A row with cells to compute."""

    row: Row
    source: FaceSource
    cells: list[Cell]


@dataclass(frozen=True)
class LocalExecutor:
    """Executes in this process; the number of threads is fixed, whatever a model sets."""

    folder: RunFolder
    progress: Advance
    threads: int = field(default_factory=torch.get_num_threads)

    def run(self, plan: DatasetPlan, cells: Sequence[Cell], unsaved: Sequence[Row] = ()) -> None:
        """Run and seal `cells`, a subset of the plan's; only save the images of `unsaved` rows."""
        device = usable_device(plan.device)
        Work(plan, self.folder, self.progress, device, self.threads).complete(cells, unsaved)


class Work:
    """A data set in progress: its faces, and the metrics built so far.

    A job keeps the cells that have not failed: a failing model takes all of them with it, a failing
    metric only its own.
    """

    def __init__(
        self,
        plan: DatasetPlan,
        folder: RunFolder,
        progress: Advance,
        device: torch.device,
        threads: int,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.progress = progress
        self.device = device
        self.threads = threads
        self._metrics = Metrics(device)

    def complete(self, cells: Sequence[Cell], unsaved: Sequence[Row]) -> None:
        """Run and seal cells; `one-face` last, since it is chosen from results.

        Rows that are `unsaved` have all their values: only their images are saved.
        """
        self.run([cell for cell in cells if not cell.row.judge])
        self.run([cell for cell in cells if cell.row.judge])
        self.save(unsaved)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run and seal cells: batches in the outer loop, rows in the inner."""
        jobs = self._jobs(cells)
        done = 0
        for number, ids in self.plan.batches() if jobs else ():
            self._batch(number, ids, [job for job in jobs if job.cells])
            done += len(ids)
            self.progress(self.plan.name, done, len(self.plan.ids))
        for job in jobs:
            if job.cells:
                self._seal(job)

    def save(self, rows: Sequence[Row]) -> None:
        """Save the images of rows, where they are missing; ModelError if one cannot be made."""
        saved = self.folder.saved_faces(self.plan)
        sources = [(row, self._one_face(row) if row.judge else self._source(row)) for row in rows]
        done = 0
        for _, ids in self.plan.batches() if sources else ():
            lacking = [pair for pair in sources if self._lacks_images(pair[0], ids)]
            if lacking:
                batch = read_batch(self.plan.pairs, ids)
                save_references(saved, batch)
                for row, source in lacking:
                    save_results(saved, row, batch, source.produce(batch))
            done += len(ids)
            self.progress(self.plan.name, done, len(self.plan.ids))

    def _jobs(self, cells: Sequence[Cell]) -> list[Job]:
        """Return a job per row that can be started; the others' cells are sealed as failed."""
        by_row: dict[Row, list[Cell]] = defaultdict(list)
        for cell in cells:
            by_row[cell.row].append(cell)
        return [job for row, own in by_row.items() if (job := self._start(row, own))]

    def _start(self, row: Row, cells: list[Cell]) -> Job | None:
        try:
            source = self._one_face(row) if row.judge else self._source(row)
        except (StorageError, ChangedError):
            raise
        except AffectBenchError as error:
            self._fail(cells, row.spec, str(error))
            return None
        return Job(row, source, cells)

    def _source(self, row: Row) -> FaceSource:
        return load_source(row, self.plan, self.device)

    def _batch(self, number: int, ids: tuple[str, ...], jobs: Sequence[Job]) -> None:
        todo = [(job, self._unfinished(job, number, ids)) for job in jobs]
        todo = [(job, cells) for job, cells in todo if cells or self._lacks_images(job.row, ids)]
        if not todo:
            return
        batch = read_batch(self.plan.pairs, ids)
        saved = self.folder.saved_faces(self.plan) if self.plan.save_images else None
        if saved:
            save_references(saved, batch)
        references: References = {}
        for job, cells in todo:
            try:
                produced = job.source.produce(batch)
            except ModelError as error:
                self._lose(job, job.cells, str(error))
                continue
            if saved:
                save_results(saved, job.row, batch, produced)
            scored = self._score(job, cells, batch, produced, references)
            for cell, columns in scored:
                self._batches(cell).write(number, columns, _about(produced))

    def _score(
        self,
        job: Job,
        cells: Sequence[Cell],
        batch: Batch,
        produced: Produced,
        references: References,
    ) -> Iterator[tuple[Cell, Columns]]:
        """Return the columns of each cell; a failing metric fails only its cells of this row."""
        computed: dict[Computation, Columns | MetricError] = {}
        for cell in cells:
            key = cell.measure.computation
            try:
                if key not in computed:
                    computed[key] = self._metrics.score(cell.measure, batch, produced, references)
                found = computed[key]
                if isinstance(found, MetricError):
                    raise found
                columns = kept_columns(cell.measure, found)
            except MetricError as error:
                computed.setdefault(key, error)
                self._lose(job, [cell], str(error))
            else:
                yield cell, columns

    def _lacks_images(self, row: Row, ids: Sequence[str]) -> bool:
        return self.plan.save_images and self.folder.lacks_images(self.plan, row, ids)

    def _unfinished(self, job: Job, number: int, ids: Sequence[str]) -> list[Cell]:
        return [cell for cell in job.cells if not self._batches(cell).has(number, ids)]

    def _batches(self, cell: Cell) -> Batches:
        return Batches(self.folder.root, cell, self.plan.batch_size, self.threads)

    def _one_face(self, row: Row) -> FaceSource:
        spec, best = self._best_face(row)
        return OneFaceSource(spec, self.plan.pairs.read(best)[0])

    def _best_face(self, row: Row) -> tuple[ModelSpec, str]:
        """Choose the face of a `one-face` row from results; return the row's spec and its id."""
        for cell in self.plan.cells:
            judge, sealed = cell.measure.judge, self.folder.record(cell)
            whole = sealed is not None and sealed.status == "ok" and not sealed.failed
            if whole and judge and judge.name == row.judge and cell.measure.metric == "ecm":
                columns = self.folder.columns(cell)
                # A face without a region (`crop/2`) has no probabilities, so it cannot be chosen.
                known = ~np.isnan(columns["ecm"])
                if not known.any():
                    raise ModelError(
                        "one-face cannot be chosen: no reference has a face region, since its "
                        "landmarks are not found"
                    )
                columns = {name: column[known] for name, column in columns.items()}
                p = np.stack([columns[f"p_{name}"] for name in judge.classes], axis=1)
                chosen = best_constant_face(
                    p, columns["label_hr"], screened=len(self.plan.ids) > EXACT_FACES
                )
                best = str(columns["id"][chosen])
                return replace(row.spec, note=f"{row.spec.note}: {best}"), best
        raise ModelError(f"one-face cannot be chosen: no row was scored by {row.judge}")

    def _lose(self, job: Job, cells: Sequence[Cell], error: str) -> None:
        """Seal cells of a job as failed; the job continues with the others."""
        lost = list(cells)
        self._fail(lost, job.source.spec, error)
        job.cells = [cell for cell in job.cells if cell not in lost]

    def _fail(self, cells: Sequence[Cell], spec: ModelSpec, error: str) -> None:
        for cell in cells:
            record = replace(self._record(cell), status="failed", error=error)
            self.folder.seal(cell, replace(record, model=as_json(spec)), None)

    def _seal(self, job: Job) -> None:
        self.folder.require_present()
        measured = self._measured(job)
        for cell in job.cells:
            columns, about = self._batches(cell).read(self.plan.batches())
            failed = tuple((str(i), str(why)) for batch in about for i, why in batch["failed"])
            record = replace(self._record(cell), model=as_json(job.source.spec), failed=failed)
            if not columns:
                error = f"none of the {record.n} faces has a result; first: {failed[0][1]}"
                self.folder.seal(cell, replace(record, status="failed", error=error), None)
                continue
            try:
                values = set_of(cell.measure, columns, self.plan.seed)
            except MetricError as error:
                self._fail([cell], job.source.spec, str(error))
                continue
            images = cell.relative.with_suffix(".parquet").as_posix()
            cost = {**_cost(job.source.spec, about), **measured}
            self.folder.seal(
                cell, replace(record, values=values, cost=cost, images=images), columns
            )

    def _measured(self, job: Job) -> dict[str, float]:
        """Return the cost of one face for a model; empty for anchors and stored results."""
        if job.row.role != "model" or not isinstance(job.source, ModelSource):
            return {}
        return job.source.cost(read_batch(self.plan.pairs, self.plan.ids[:1]).lr)

    def _record(self, cell: Cell) -> Record:
        plan = self.plan
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
                **provenance(str(self.device), self.threads, plan.batch_size),
                "seed": plan.seed,
            },
        )


def _about(produced: Produced) -> dict[str, Any]:
    return {
        "failed": [list(item) for item in produced.failed.items()],
        "seconds": produced.seconds,
        "faces": len(produced.kept),
        "lacks": produced.lacks,
    }


def _cost(spec: ModelSpec, about: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    seconds = sum(float(batch["seconds"]) for batch in about)
    faces = sum(int(batch["faces"]) for batch in about)
    cost = {"seconds": seconds, "faces_per_second": faces / seconds} if seconds > 0 else {}
    if spec.parameters is not None:
        cost["parameters"] = float(spec.parameters)
    return cost
