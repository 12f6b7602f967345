"""A pool of workers in this process, whose results come in any order and which can die."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from affectbench.adapters.global_state import portable_state
from affectbench.callbacks import Advance, Note
from affectbench.run.cluster import Cluster
from affectbench.run.dispatch import Death, Finished, PoolWork
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.rows import Row
from affectbench.run.worker import Computed, Setup, Unit, Worker, versions

Dies = Callable[[Unit], bool]


class LocalPool:
    """Workers that get pickled plans and units, and answer in a seeded random order.

    A worker dies of a unit if `dies` says so.
    """

    def __init__(self, size: int, seed: int, dies: Dies) -> None:
        self.size, self._dies = size, dies
        self._rng = np.random.default_rng(seed)
        self._given: list[list[Unit]] = [[] for _ in range(size)]
        self.computed: list[Unit] = []

    def begin(self, plan: DatasetPlan, setup: Setup) -> None:
        self._plan = pickle.dumps((plan, setup))
        self._workers = [self._new() for _ in range(self.size)]

    def _new(self) -> Worker:
        worker = Worker()
        greeting = worker.begin(*pickle.loads(self._plan))
        assert not greeting.problem, greeting.problem
        return worker

    @property
    def is_busy(self) -> bool:
        return any(self._given)

    @property
    def has_room(self) -> bool:
        return any(len(units) < 2 for units in self._given)

    def give(self, unit: Unit) -> None:
        free = [units for units in self._given if len(units) < 2]
        free[int(self._rng.integers(len(free)))].append(pickle.loads(pickle.dumps(unit)))

    def wait(self) -> list[Computed | Death]:
        busy = [i for i, units in enumerate(self._given) if units]
        index = busy[int(self._rng.integers(len(busy)))]
        unit = self._given[index][0]
        if self._dies(unit):
            left, self._given[index] = self._given[index], []
            self._workers[index] = self._new()
            return [Death("node x: a worker died", left[0], tuple(left[1:]))]
        self._given[index].pop(0)
        self.computed.append(unit)
        return [pickle.loads(pickle.dumps(self._workers[index].compute(unit)))]

    def finish(self, measured: Sequence[int]) -> list[Finished]:
        shares = [list(measured)[i :: self.size] for i in range(self.size)]
        return [w.finish(share) for w, share in zip(self._workers, shares, strict=True)]


class PoolExecutor:
    """Takes the place of the executor on Ray."""

    size, seed = 3, 0
    dies: Dies = staticmethod(lambda _unit: False)
    pools: ClassVar[list[LocalPool]] = []

    def __init__(self, cluster: Cluster, folder: RunFolder, progress: Advance, note: Note) -> None:
        self._folder, self._progress, self._note = folder, progress, note

    def __enter__(self) -> PoolExecutor:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def run(self, plan: DatasetPlan, cells: Sequence[Cell], unsaved: Sequence[Row] = ()) -> None:
        pool = LocalPool(self.size, self.seed, self.dies)
        type(self).pools.append(pool)
        threads = torch.get_num_threads()
        out = self._folder.root if plan.save_images else None
        pool.begin(plan, Setup(str(Path.cwd()), (), portable_state(), versions(), threads, out))
        device = torch.device("cpu")
        work = PoolWork(
            plan, self._folder, self._progress, device, threads, pool=pool, note=self._note
        )
        work.complete(cells, unsaved)
