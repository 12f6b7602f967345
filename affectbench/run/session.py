"""One call of `compare`: lock the folder, plan, run what is missing, say what the table holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from affectbench.record_schema import SCHEMA
from affectbench.records import Record, write_json
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, DatasetPlan, RunRequest, make_plan

Rerun = Literal["missing", "failed", "all"]


class Executor(Protocol):
    """Runs the missing cells of a plan and seals them in the run folder."""

    def run(self, plan: DatasetPlan, cells: Sequence[Cell]) -> None:
        """Run and seal `cells`, a part of the plan's."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a call did: cells that had to be run, and the cells that have failed."""

    folder: Path
    computed: int
    failed: tuple[Record, ...]


def run_comparison(
    request: RunRequest,
    out: Path,
    *,
    rerun: Rerun = "missing",
    command: str = "",
    note: Callable[[str], None] = lambda _text: None,
    progress: Callable[[str, int, int], None] = lambda _text, _done, _total: None,
) -> Outcome:
    """Run a comparison in the folder `out`, reusing every cell that is sealed there.

    `rerun` says which sealed cells are computed again: none, the failed ones, or all. Raises
    BusyError if another process holds the folder.
    """
    folder = RunFolder(out)
    with folder.locked():
        plans = make_plan(request, note)
        computed = 0
        for plan in plans:
            todo = _todo(folder, plan, rerun)
            for cell in todo:
                folder.discard(cell)
            if todo:
                _executor(folder, progress).run(plan, todo)
            computed += len(todo)
        folder.drop_empty_partials()
        cells = [cell for plan in plans for cell in plan.cells]
        _write_run(folder, request, plans[0], cells, command)
        records = [folder.record(cell) for cell in cells]
    failed = tuple(r for r in records if r and r.status == "failed" and r.role == "model")
    return Outcome(out, computed, failed)


def _executor(folder: RunFolder, progress: Callable[[str, int, int], None]) -> Executor:
    from affectbench.run.execute import LocalExecutor

    return LocalExecutor(folder, progress)


def _todo(folder: RunFolder, plan: DatasetPlan, rerun: Rerun) -> list[Cell]:
    return [cell for cell in plan.cells if _is_due(folder, plan, cell, rerun)]


def _is_due(folder: RunFolder, plan: DatasetPlan, cell: Cell, rerun: Rerun) -> bool:
    record = folder.record(cell)
    if record is None or rerun == "all":
        return True
    if record.status == "failed":
        return rerun == "failed"
    if not plan.save_images:
        return False
    made = set(plan.ids) - {image_id for image_id, _ in record.failed}
    return folder.lacks_images(plan, cell.row, made)


def _write_run(
    folder: RunFolder, request: RunRequest, plan: DatasetPlan, cells: Sequence[Cell], command: str
) -> None:
    content = {
        "schema": SCHEMA,
        "command": command,
        "settings": {
            "models": [model.label for model in request.models],
            "arguments": [model.argument for model in request.models],
            "datasets": [name for name, _ in request.datasets],
            "metrics": list(plan.metrics),
            "gaps": list(plan.gaps),
            "judges": list(request.judges),
            "versus": request.versus,
            "convention": request.convention,
            "crop": request.crop,
            "protocol": request.protocol.name,
            "seed": request.seed,
        },
        "cells": [cell.relative.with_suffix("").as_posix() for cell in cells],
    }
    write_json(content, folder.root / "run.json")
