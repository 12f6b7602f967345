"""A worker: computes units of work in another process, on this machine or another.

A unit is a batch of faces, and the cells to compute of it. What travels to the worker are a plan
without pixels and the numbers of a unit, and back come the values of single faces: the worker reads
the faces itself, from a folder that all machines share. It runs the same code as the local
executor, and leaves what is kept and sealed to the process that gives it work.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from affectbench import __version__
from affectbench.adapters.global_state import set_portable_state
from affectbench.devices import usable_device
from affectbench.errors import AffectBenchError, ChangedError, StorageError
from affectbench.run.execute import Job, Work
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.rows import Row
from affectbench.run.sources import FaceSource, ModelSource, OneFaceSource, load_source
from affectbench.types import Columns, ModelSpec


@dataclass(frozen=True)
class Part:
    """A row's part of a unit: indices of its cells in the plan. Without cells, images are saved.

    `first`: no earlier batch of the row is computed in this run. `chosen` are the spec and the face
    of a `one-face` row.
    """

    row: int
    cells: tuple[int, ...]
    first: bool = False
    chosen: tuple[ModelSpec, str] | None = None


@dataclass(frozen=True)
class Unit:
    """What a worker computes at a time: rows of one batch."""

    number: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Loss:
    """Why cells of a row have no values; `whole`: the row cannot continue."""

    row: int
    cells: tuple[int, ...]
    error: str
    whole: bool


@dataclass
class Computed:
    """The results of a unit: columns by cell, losses, and the specs of rows that were loaded.

    `broken` is an error that ends the run: the faces have changed, or the disk is full.
    """

    number: int
    values: list[tuple[int, Columns, Mapping[str, Any]]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    specs: dict[int, ModelSpec] = field(default_factory=dict)
    broken: AffectBenchError | None = None


@dataclass(frozen=True)
class Setup:
    """What a worker must share with the process that gives it work.

    `paths` must exist and `folder`, the current one, must be the same; `state` are the settings of
    torch. `out` is the run folder if the worker saves images.
    """

    folder: str
    paths: tuple[str, ...]
    state: Mapping[str, Any]
    versions: Mapping[str, str]
    threads: int
    out: Path | None


@dataclass(frozen=True)
class Greeting:
    """Where a worker runs, and the `problem` if it cannot work there.

    `node` is the name of the machine, `machine` its id in the cluster.
    """

    node: str
    pid: int
    machine: str = ""
    device: str = ""
    gpus: str = ""
    problem: str = ""


def rows_of(plan: DatasetPlan) -> list[Row]:
    """Return the rows of a plan in order: a unit names them by index."""
    return list(dict.fromkeys(cell.row for cell in plan.cells))


def versions() -> dict[str, str]:
    """Return the versions that have to be the same for the same numbers."""
    return {
        "affectbench": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__).partition("+")[0],
    }


class Worker:
    """Computes the units of one data set after another."""

    def __init__(self) -> None:
        self._work: UnitWork | None = None

    def begin(self, plan: DatasetPlan, setup: Setup) -> Greeting:
        """Prepare for the units of a plan; the greeting says what is missing for that."""
        here = Greeting(socket.gethostname(), os.getpid(), gpus=_visible_gpus())
        problem = _difference(setup)
        if problem:
            return replace(here, problem=problem)
        os.chdir(setup.folder)
        set_portable_state(setup.state)
        try:
            device = usable_device(plan.device)
            for cell in plan.cells:
                cell.measure.plugin.require()
        except AffectBenchError as error:
            return replace(here, problem=str(error))
        self._work = UnitWork(plan, RunFolder(setup.out or Path()), device, setup.threads)
        return replace(here, device=str(device))

    def compute(self, unit: Unit) -> Computed:
        """Compute a unit of the current plan."""
        if self._work is None:
            raise RuntimeError("a worker was given a unit before its plan")
        return self._work.compute(unit)

    def finish(self, measured: Sequence[int]) -> dict[int, tuple[ModelSpec, dict[str, float]]]:
        """Return the final specs of all rows that were loaded, and the costs of some."""
        return {} if self._work is None else self._work.finish(measured)


class UnitWork(Work):
    """A data set in progress whose results are collected unit by unit, instead of being kept."""

    def __init__(
        self, plan: DatasetPlan, folder: RunFolder, device: torch.device, threads: int
    ) -> None:
        super().__init__(plan, folder, lambda _text, _done, _total: None, device, threads)
        self._rows = rows_of(plan)
        self._place = {id(cell): index for index, cell in enumerate(plan.cells)}
        self._sources: dict[Row, FaceSource] = {}
        self._parts: dict[Row, Part] = {}
        self._starting: Row | None = None
        self._found = Computed(0)

    def compute(self, unit: Unit) -> Computed:
        """Compute a unit: the same steps as for a batch of a local run."""
        self._found = Computed(unit.number)
        self._parts = {self._rows[part.row]: part for part in unit.parts}
        size = self.plan.batch_size
        ids = self.plan.ids[unit.number * size :][:size]
        try:
            self._batch(unit.number, ids, [job for row in self._parts if (job := self._open(row))])
        except (ChangedError, StorageError) as error:
            self._found.broken = error
        return self._found

    def finish(self, measured: Sequence[int]) -> dict[int, tuple[ModelSpec, dict[str, float]]]:
        """Return the final spec of each loaded row, with the cost of those to be measured."""
        found = {}
        for index, row in enumerate(self._rows):
            if index in measured and row not in self._sources:
                self._parts = {row: Part(index, ())}
                self._open(row)
            if row in self._sources:
                job = Job(row, self._sources[row], [])
                cost = self._measured(job) if index in measured else {}
                found[index] = (job.source.spec, cost)
        return found

    def _open(self, row: Row) -> Job | None:
        self._starting = row
        return self._start(row, [self.plan.cells[index] for index in self._parts[row].cells])

    def _source(self, row: Row) -> FaceSource:
        part = self._parts[row]
        if row not in self._sources:
            self._sources[row] = load_source(row, self.plan, self.device)
            self._found.specs[part.row] = self._sources[row].spec
        source = self._sources[row]
        if isinstance(source, ModelSource):
            # Checked where a local run checks it, so that the same models fail.
            source.is_independent = not part.first
        return source

    def _one_face(self, row: Row) -> FaceSource:
        chosen = self._parts[row].chosen
        if chosen is None:
            raise RuntimeError("a one-face row came without its face")
        if row not in self._sources:
            spec, face = chosen
            self._sources[row] = OneFaceSource(spec, self.plan.pairs.read(face)[0])
        return self._sources[row]

    def _unfinished(self, job: Job, _number: int, _ids: Sequence[str]) -> list[Cell]:
        return job.cells

    def _batches(self, cell: Cell) -> Any:
        return _Collector(self._found, self._place[id(cell)])

    def _lose(self, job: Job, cells: Sequence[Cell], error: str) -> None:
        self._note_loss(job.row, cells, error, whole=cells is job.cells)
        job.cells = [cell for cell in job.cells if cell not in cells]

    def _fail(self, cells: Sequence[Cell], _spec: ModelSpec, error: str) -> None:
        if self._starting is not None:  # called for a row that cannot be started, and only then
            self._note_loss(self._starting, cells, error, whole=True)

    def _note_loss(self, row: Row, cells: Sequence[Cell], error: str, *, whole: bool) -> None:
        places = tuple(self._place[id(cell)] for cell in cells)
        self._found.losses.append(Loss(self._parts[row].row, places, error, whole))


@dataclass(frozen=True)
class _Collector:
    """Takes the place of a cell's folder of finished batches."""

    found: Computed
    cell: int

    def write(self, _number: int, columns: Columns, about: Mapping[str, Any]) -> None:
        self.found.values.append((self.cell, columns, about))


def _difference(setup: Setup) -> str:
    """Return in what this process differs from the one that gives it work; empty if in nothing."""
    for name, wanted in setup.versions.items():
        found = versions()[name]
        if found != wanted:
            return f"has {name} {found}, and the run was started with {wanted}"
    for path in (setup.folder, *setup.paths):
        if not Path(path).exists():
            return f"{path} is not there; every node needs the same folders under the same paths"
    return ""


def _visible_gpus() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")
