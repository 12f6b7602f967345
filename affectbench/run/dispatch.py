"""Run the missing cells of one data set on a pool of workers.

Units are given out in the order of a local run, a batch with all its rows at a time. Values are
kept as they arrive, so a run that is killed goes on from there, here or on a cluster. A row or cell
that fails is sealed only when every earlier batch is there: its error is the one of a local run.
The unit of a worker that died is given out again, row by row, so that a model that takes its worker
with it costs its own row alone.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from affectbench.callbacks import Advance, Note
from affectbench.errors import AffectBenchError, ModelError, listed
from affectbench.run.execute import Job, Work
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.rows import Row
from affectbench.run.sources import Batch, FaceSource, Produced
from affectbench.run.worker import Computed, Loss, Part, Unit, rows_of
from affectbench.types import ModelSpec

DEATHS = 3
"""How often a worker may die of the same batch of one row before the row fails."""

Finished = dict[int, tuple[ModelSpec, dict[str, float]]]
"""Final specs and costs by the index of the row."""


@dataclass(frozen=True)
class Death:
    """The end of a worker: the unit it worked on, and those it had not begun.

    `blameless`: its machine is gone too, so that it did not die of its unit.
    """

    why: str
    unit: Unit | None
    others: tuple[Unit, ...] = ()
    blameless: bool = False


class Pool(Protocol):
    """Workers that have received the plan."""

    @property
    def size(self) -> int:
        """How many workers there are or will be."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether a unit was given out whose result has not been returned."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether a worker can be given a unit."""
        ...

    def give(self, unit: Unit) -> None:
        """Give a unit to a worker."""
        ...

    def wait(self) -> list[Computed | Death]:
        """Wait a while for results and deaths; there may be none yet."""
        ...

    def finish(self, measured: Sequence[int]) -> list[Finished]:
        """Return what each worker says of its rows; one of them measures the cost of `measured`."""
        ...


@dataclass
class RemoteSource:
    """A row whose faces are made by the workers: what they report of it."""

    spec: ModelSpec
    chosen: tuple[ModelSpec, str] | None = None
    cost: dict[str, float] = field(default_factory=dict)

    def produce(self, batch: Batch) -> Produced:
        """Raise: the faces are not made in this process."""
        raise RuntimeError(f"the faces of {listed(batch.ids)} are made by a worker")


class PoolWork(Work):
    """A data set in progress on a pool: gives out units, keeps values, seals cells."""

    def __init__(
        self,
        plan: DatasetPlan,
        folder: RunFolder,
        progress: Advance,
        device: torch.device,
        threads: int,
        *,
        pool: Pool,
        note: Note,
    ) -> None:
        super().__init__(plan, folder, progress, device, threads)
        self._pool, self._note = pool, note
        self._rows = {row: index for index, row in enumerate(rows_of(plan))}
        self._place = {id(cell): index for index, cell in enumerate(plan.cells)}

    def run(self, cells: Sequence[Cell]) -> None:
        """Run cells on the pool, and seal them."""
        jobs = self._jobs(cells)
        if not jobs:
            return
        self._compute(jobs)
        self._finish([job for job in jobs if job.cells])
        for job in jobs:
            if job.cells:
                self._seal(job)

    def save(self, rows: Sequence[Row]) -> None:
        """Save the images of rows, where they are missing; ModelError if one cannot be made."""
        jobs = [
            Job(row, self._one_face(row) if row.judge else self._source(row), []) for row in rows
        ]
        if jobs:
            self._compute(jobs, images=True)

    def _compute(self, jobs: Sequence[Job], *, images: bool = False) -> None:
        ledger = _Ledger(self, jobs, images=images)
        fresh, again = self._units(ledger, images=images), deque[Unit]()
        more = True
        while more or again or self._pool.is_busy:
            while self._pool.has_room and (again or more):
                unit = again.popleft() if again else next(fresh, None)
                if unit is None:
                    more = False
                elif kept := ledger.trimmed(unit):
                    self._pool.give(kept)
                else:
                    ledger.close(unit.number)
            for event in self._pool.wait() if self._pool.is_busy or more or again else ():
                if isinstance(event, Death):
                    again.extend(ledger.bury(event))
                else:
                    ledger.enter(event)
        ledger.settle()

    def _units(self, ledger: _Ledger, *, images: bool) -> Iterator[Unit]:
        """Yield the units that are not finished yet, in order."""
        groups = -(-self._pool.size * self.plan.batch_size // len(self.plan.ids))
        begun: set[int] = set()
        for number, ids in self.plan.batches():
            parts = []
            for job in ledger.jobs.values():
                cells = [] if images else self._unfinished(job, number, ids)
                if cells or self._lacks_images(job.row, ids):
                    row = self._rows[job.row]
                    places = tuple(self._place[id(cell)] for cell in cells)
                    source = job.source
                    chosen = source.chosen if isinstance(source, RemoteSource) else None
                    parts.append(Part(row, places, row not in begun, chosen))
                    begun.add(row)
            step = -(-len(parts) // max(1, min(groups, len(parts))))
            units = [
                Unit(number, tuple(parts[start : start + step]))
                for start in range(0, len(parts), max(step, 1))
            ]
            ledger.open(number, len(ids), len(units))
            yield from units

    def _finish(self, jobs: Sequence[Job]) -> None:
        """Take over the final specs and the costs of the rows."""
        measured = [self._rows[job.row] for job in jobs if job.row.role == "model"]
        reports = self._pool.finish(measured)
        for job in jobs:
            source, row = job.source, self._rows[job.row]
            if not isinstance(source, RemoteSource) or source.chosen:
                continue
            for report in reports:
                if row in report:
                    spec, cost = report[row]
                    source.spec = _joined(source.spec, spec)
                    source.cost = source.cost or cost

    def _source(self, row: Row) -> FaceSource:
        kept = row.model.kept if row.model else None
        if isinstance(kept, AffectBenchError):
            raise kept
        if row.model:
            row.model.kept = None  # the workers load their own
        return RemoteSource(row.spec)

    def _one_face(self, row: Row) -> FaceSource:
        chosen = self._best_face(row)
        return RemoteSource(chosen[0], chosen)

    def _measured(self, job: Job) -> dict[str, float]:
        return job.source.cost if isinstance(job.source, RemoteSource) else {}


class _Ledger:
    """What is known of the units of one phase: which are open, what failed, who died."""

    def __init__(self, work: PoolWork, jobs: Sequence[Job], *, images: bool) -> None:
        self.jobs = {work._rows[job.row]: job for job in jobs}
        self._work, self._images = work, images
        places = enumerate(work.plan.cells)
        self._job_of = {place: self.jobs.get(work._rows[cell.row]) for place, cell in places}
        self._open: Counter[int] = Counter()
        self._faces: dict[int, int] = {}
        self._next = self._done = 0
        self._losses: list[tuple[int, Loss]] = []
        self._deaths: Counter[tuple[int, int]] = Counter()

    def open(self, number: int, faces: int, units: int) -> None:
        """Note that a batch has so many units."""
        self._faces[number], self._open[number], self._next = faces, units + 1, number + 1
        self.close(number)  # the one extra: a batch without units is finished at once

    def close(self, number: int) -> None:
        """Note that a unit of a batch is finished."""
        self._open[number] -= 1
        if self._open[number] > 0:
            return
        del self._open[number]
        self._done += self._faces.pop(number)
        plan = self._work.plan
        self._work.progress(plan.name, self._done, len(plan.ids))
        self._commit(min(self._open, default=self._next))

    def trimmed(self, unit: Unit) -> Unit | None:
        """Return a unit without what has failed in an earlier batch; None if nothing is left."""
        parts = []
        for part in unit.parts:
            lost = self._lost_before(unit.number, part.row)
            job = self.jobs[part.row]
            cells = tuple(
                place
                for place in part.cells
                if place not in lost and self._work.plan.cells[place] in job.cells
            )
            if None not in lost and (cells or not part.cells) and (job.cells or self._images):
                parts.append(replace(part, cells=cells))
        return Unit(unit.number, tuple(parts)) if parts else None

    def enter(self, computed: Computed) -> None:
        """Keep the values of a unit."""
        if computed.broken is not None:
            raise computed.broken
        for row, spec in computed.specs.items():
            source = self.jobs[row].source
            if isinstance(source, RemoteSource) and not source.chosen:
                source.spec = _joined(source.spec, spec)
        for place, columns, about in computed.values:
            cell, job = self._work.plan.cells[place], self._job_of[place]
            if job and cell in job.cells:
                self._work._batches(cell).write(computed.number, columns, about)
        self._losses += [(computed.number, loss) for loss in computed.losses]
        self.close(computed.number)

    def bury(self, death: Death) -> list[Unit]:
        """Return the units to give out again after the death of a worker."""
        self._work._note(f"{death.why}; what it had not finished is computed again")
        unit, again = death.unit, list(death.others)
        if unit is None or death.blameless:
            return [*([unit] if unit else []), *again]
        if len(unit.parts) > 1:
            self._open[unit.number] += len(unit.parts) - 1
            return [*(Unit(unit.number, (part,)) for part in unit.parts), *again]
        part = unit.parts[0]
        self._deaths[unit.number, part.row] += 1
        if self._deaths[unit.number, part.row] < DEATHS:
            return [unit, *again]
        label = self.jobs[part.row].row.label
        error = f"{label}: {DEATHS} workers died of the same batch; the last: {death.why}"
        self._losses.append((unit.number, Loss(part.row, part.cells, error, whole=True)))
        self.close(unit.number)
        return again

    def settle(self) -> None:
        """Seal what failed."""
        self._commit(self._next)

    def _lost_before(self, number: int, row: int) -> set[int | None]:
        """Return the cells of a row that failed in a batch before this one; None: the row."""
        lost: set[int | None] = set()
        for where, loss in self._losses:
            if where < number and loss.row == row:
                lost.update([None] if loss.whole else loss.cells)
        return lost

    def _commit(self, before: int) -> None:
        """Seal the failures of batches before which nothing is open."""
        self._losses.sort(key=lambda entry: entry[0])
        while self._losses and self._losses[0][0] < before:
            _, loss = self._losses.pop(0)
            job = self.jobs[loss.row]
            if self._images:
                raise ModelError(loss.error)
            cells = [self._work.plan.cells[place] for place in loss.cells]
            lost = job.cells if loss.whole else [cell for cell in cells if cell in job.cells]
            if lost:
                self._work._lose(job, lost, loss.error)


def _joined(one: ModelSpec, other: ModelSpec) -> ModelSpec:
    """Return the later spec, with everything that either says is not covered by the revision."""
    lacks = f"{one.revision_lacks}; {other.revision_lacks}".split("; ")
    return replace(other, revision_lacks="; ".join(dict.fromkeys(part for part in lacks if part)))
