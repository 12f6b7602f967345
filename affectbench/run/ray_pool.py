"""A pool of workers that are actors of Ray.

A worker that died is replaced as soon as Ray has room for another. Ray reports a dead machine after
some seconds without a sign of life, and a worker that used too much memory as a dead one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from affectbench.callbacks import Note
from affectbench.errors import InputError, StorageError
from affectbench.run.dispatch import Death, Finished
from affectbench.run.plan import DatasetPlan
from affectbench.run.worker import Computed, Greeting, Setup, Unit, Worker

AHEAD = 2
"""Units that a worker holds, so that it need not wait for the next one."""
POLL = 1.0
"""Seconds to wait for results at a time."""
FAILED_STARTS = 3
"""Workers that may die one after another before they were ready."""


@dataclass(frozen=True)
class Room:
    """What a worker needs of a machine."""

    cpus: float
    gpus: float = 0.0

    def on(self, resources: dict[str, float]) -> int:
        """Return how many workers fit into the resources of a machine."""
        fits = resources.get("CPU", 0.0) / self.cpus
        if self.gpus:
            fits = min(fits, resources.get("GPU", 0.0) / self.gpus)
        return int(fits + 1e-9)


class RayWorker(Worker):
    """A worker that says on which machine of the cluster it is."""

    def begin(self, plan: DatasetPlan, setup: Setup) -> Greeting:
        """Prepare for the units of a plan: see `Worker.begin`."""
        machine = str(ray.get_runtime_context().get_node_id())
        return replace(super().begin(plan, setup), machine=machine)


@dataclass
class _Member:
    """A worker: its greeting until it is ready, then its units, the oldest first."""

    actor: Any
    greeting: Any = None
    node: str = ""
    machine: str = ""
    units: deque[tuple[Unit, Any]] = field(default_factory=deque)

    @property
    def awaited(self) -> Any:
        """The result that comes next; None if the worker is idle."""
        return self.greeting or (self.units[0][1] if self.units else None)


class RayPool:
    """Workers for one data set after another; `patience`: seconds to wait while there are none."""

    def __init__(self, room: Room, workers: int, patience: float, note: Note) -> None:
        self.size = workers
        self.device = ""
        self._room, self._patience, self._note = room, patience, note
        self._actor = ray.remote(RayWorker).options(
            num_cpus=room.cpus, num_gpus=room.gpus, max_restarts=0, max_task_retries=0
        )
        self._members: list[_Member] = []
        self._begin: tuple[Any, Any] = (None, None)
        self._failed_starts = 0
        self._alone_since = time.monotonic()

    def begin(self, plan: DatasetPlan, setup: Setup) -> None:
        """Tell all workers, and those that replace them, the plan; wait for the first one."""
        self._begin = (ray.put(plan), ray.put(setup))
        self._alone_since = time.monotonic()
        for member in self._members:
            member.greeting = member.actor.begin.remote(*self._begin)
        while len(self._members) < self.size:
            self._hire()
        while not self._ready():
            self.wait()

    def close(self) -> None:
        """End all workers."""
        for member in self._members:
            ray.kill(member.actor)
        self._members = []

    @property
    def is_busy(self) -> bool:
        """Whether a unit was given out whose result has not been returned."""
        return any(member.units for member in self._members)

    @property
    def has_room(self) -> bool:
        """Whether a worker can be given a unit."""
        return any(len(member.units) < AHEAD for member in self._ready())

    def give(self, unit: Unit) -> None:
        """Give a unit to the worker with the fewest."""
        member = min(self._ready(), key=lambda member: len(member.units))
        member.units.append((unit, member.actor.compute.remote(unit)))

    def wait(self) -> list[Computed | Death]:
        """Wait a while for results and deaths; there may be none yet."""
        awaited = {member.awaited: member for member in self._members if member.awaited}
        ready, _ = ray.wait(list(awaited), timeout=POLL) if awaited else ([], [])
        events = [self._event(awaited[ref], ref) for ref in ready]
        self._require_somebody()
        return [event for event in events if event is not None]

    def finish(self, measured: Sequence[int]) -> list[Finished]:
        """Return what each worker says of its rows; one of them measures the cost of `measured`."""
        reports: list[Finished] = []
        members, left = self._ready(), list(measured)
        shares = {id(m): left[i :: len(members)] for i, m in enumerate(members)}
        asked = [(m, shares[id(m)], m.actor.finish.remote(shares[id(m)])) for m in members]
        for member, share, ref in asked:
            try:
                reports.append(ray.get(ref))
            except RayActorError as error:
                # Costs are no values: what died with the worker is measured once more, or not.
                self._note(self._bury(member, error).why)
                others = self._ready()
                if others and share:
                    reports += self._once_more(others[0], share)
        return reports

    def _once_more(self, member: _Member, share: Sequence[int]) -> list[Finished]:
        try:
            return [ray.get(member.actor.finish.remote(list(share)))]
        except RayActorError as error:
            self._note(self._bury(member, error).why)
            return []

    def _ready(self) -> list[_Member]:
        return [member for member in self._members if member.greeting is None]

    def _hire(self) -> None:
        actor = self._actor.remote()
        self._members.append(_Member(actor, actor.begin.remote(*self._begin)))

    def _event(self, member: _Member, ref: Any) -> Computed | Death | None:
        try:
            result = ray.get(ref)
        except RayTaskError as error:
            if member.greeting is not None:
                raise InputError(f"a worker cannot take up the plan: {_why(error)}") from error
            raise
        except RayActorError as error:
            return self._bury(member, error)
        if isinstance(result, Greeting):
            self._welcome(member, result)
            return None
        member.units.popleft()
        found: Computed = result
        if found.broken is not None:
            found.broken = type(found.broken)(f"node {member.node}: {found.broken}")
        return found

    def _welcome(self, member: _Member, greeting: Greeting) -> None:
        """Take a worker in service; InputError if it cannot work where it runs."""
        if greeting.problem:
            raise InputError(f"node {greeting.node}: {greeting.problem}")
        if self.device and greeting.device != self.device:
            raise InputError(
                f"node {greeting.node}: would compute on {greeting.device}, and another worker on "
                f"{self.device}; give --device cpu, or --gpus-per-worker 1"
            )
        if self._room.gpus and greeting.device.startswith("cpu"):
            self._note(f"node {greeting.node}: a worker with a GPU computes on the processor")
        self.device, self._failed_starts = greeting.device, 0
        member.greeting, member.node, member.machine = None, greeting.node, greeting.machine

    def _bury(self, member: _Member, error: RayActorError) -> Death:
        """Replace a dead worker, and return what it had to do."""
        self._members.remove(member)
        units = [unit for unit, _ in member.units]
        if member.greeting is not None and not units:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise InputError(f"Ray cannot start a worker: {_why(error)}")
        if isinstance(error, ActorUnavailableError):
            ray.kill(member.actor)  # it may be alive, but its machine does not answer
        if not self._ready():
            self._alone_since = time.monotonic()
        self._hire()
        gone = member.machine not in _machines()
        where = f"node {member.node}" if member.node else "a node"
        what = "the machine is gone" if gone and member.machine else _why(error)
        why = f"{where}: a worker died ({what})"
        return Death(why, units[0] if units else None, tuple(units[1:]), blameless=gone)

    def _require_somebody(self) -> None:
        """Raise StorageError if there has been no worker for too long."""
        if self._ready():
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > self._patience:
            raise StorageError(
                f"Ray has had no worker for {self._patience:g} s: no node has room for "
                f"{self._room.cpus:g} CPUs and {self._room.gpus:g} GPUs; run the same command "
                "again when there is one, what is finished is kept"
            )


def _machines() -> set[str]:
    """Return the ids of the machines that Ray believes to be alive."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _why(error: BaseException) -> str:
    """Return the most informative line of Ray's long messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    signs = ("memory", "OOM", "exit", "SIG", "Error", "killed")
    found = [line for line in lines if any(word in line for word in signs)]
    return (found or lines or [type(error).__name__])[-1][:200]
