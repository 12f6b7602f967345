"""Run a comparison on the workers of a Ray cluster; the same bytes as in this process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import ray
import torch

from affectbench.adapters.global_state import portable_state
from affectbench.arguments import is_file, is_folder
from affectbench.callbacks import Advance, Note
from affectbench.errors import InputError
from affectbench.run.cluster import Cluster
from affectbench.run.dispatch import PoolWork
from affectbench.run.folder import RunFolder
from affectbench.run.lock import FILE
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.ray_pool import RayPool, Room
from affectbench.run.rows import Row
from affectbench.run.worker import Setup, rows_of, versions


class RayExecutor:
    """Executes on workers with as many threads as this process has, which reserve as many cores.

    Threads decide how sums are rounded: with the same number the bytes are the same. A worker with
    a GPU reserves one core.
    """

    def __init__(self, cluster: Cluster, folder: RunFolder, progress: Advance, note: Note) -> None:
        self._cluster, self._folder = cluster, folder
        self._progress, self._note = progress, note
        self._threads = torch.get_num_threads()
        self._pool: RayPool | None = None
        self._connected = False

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.close()
        if self._connected:
            with _own_signals():
                ray.shutdown()

    def run(self, plan: DatasetPlan, cells: Sequence[Cell], unsaved: Sequence[Row] = ()) -> None:
        """Run and seal `cells`, and save the images of `unsaved` rows, as the local executor."""
        if plan.device.startswith("cuda:"):
            raise InputError(f"--device {plan.device}: Ray says which GPU a worker has; give cuda")
        pool = self._pool = self._pool or self._start_pool()
        pool.begin(plan, self._setup(plan))
        work = PoolWork(
            plan,
            self._folder,
            self._progress,
            torch.device(pool.device),
            self._threads,
            pool=pool,
            note=self._note,
        )
        work.complete(cells, unsaved)

    def _setup(self, plan: DatasetPlan) -> Setup:
        paths = _paths(plan)
        if plan.save_images:
            paths.append(str(self._folder.root / FILE))
        return Setup(
            folder=str(Path.cwd()),
            paths=tuple(paths),
            state=portable_state(),
            versions=versions(),
            threads=self._threads,
            out=self._folder.root if plan.save_images else None,
        )

    def _start_pool(self) -> RayPool:
        cluster = self._cluster
        room = Room(1 if cluster.gpus_per_worker else self._threads, cluster.gpus_per_worker)
        if not ray.is_initialized():
            _connect(cluster, room)
            self._connected = True
        fits = sum(room.on(node["Resources"]) for node in ray.nodes() if node["Alive"])
        if not fits:
            raise InputError(
                f"no node of the Ray cluster has room for a worker of {room.cpus:g} CPUs and "
                f"{room.gpus:g} GPUs; a worker has as many threads as this process: set "
                "OMP_NUM_THREADS to a smaller number"
            )
        workers = cluster.workers or fits
        if workers > fits:
            self._note(f"Ray has room for {fits} of {workers} workers; others start as nodes join")
        return RayPool(room, workers, cluster.patience, self._note)


def _connect(cluster: Cluster, room: Room) -> None:
    given: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if cluster.address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves this machine
        cpus = max(os.cpu_count() or 1, int(room.cpus) * (cluster.workers or 1))
        given |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        trouble, remedy = "--executor ray: Ray cannot be started here", "see Ray's own logs"
    else:
        given["address"] = cluster.address
        trouble = f"--address {cluster.address}: no Ray cluster answers there"
        remedy = "start one with 'ray start --head', or leave --address out"
    try:
        _require_answer(cluster.address or "")
        with _own_signals():
            ray.init(**given)
    except Exception as error:  # Ray raises plain exceptions
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{trouble} ({reason}); {remedy}") from error


def _require_answer(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT, for which Ray would wait a minute."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "//" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:  # one that was not set by Python
                signal.signal(number, handler)


def _paths(plan: DatasetPlan) -> list[str]:
    """Return files and folders that a worker of the plan must see: some faces, and all models."""
    faces = getattr(plan.pairs.dataset, "paths", {})
    found = [str(faces[image_id]) for image_id in (plan.ids[0], plan.ids[-1]) if image_id in faces]
    for row in rows_of(plan):
        request = row.model.request if row.model else None
        if request is None:
            continue
        texts = [value for _, value in request.options]
        if request.kind:
            texts += [request.target, request.target.rpartition(":")[0]]
        found += [text for text in texts if is_file(text) or is_folder(text)]
    return list(dict.fromkeys(found))
