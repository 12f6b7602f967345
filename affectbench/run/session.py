"""One call of `compare`: lock the folder, plan, run missing cells, list the table's cells."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from affectbench.callbacks import Advance, Note
from affectbench.datasets.remembered import FaceMemory
from affectbench.record_schema import SCHEMA
from affectbench.records import Record, write_json
from affectbench.registry import Late
from affectbench.run.cluster import Cluster
from affectbench.run.earlier import with_earlier
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, DatasetPlan, RunRequest, make_plan
from affectbench.run.provenance import BATCHES
from affectbench.run.rows import Row

Rerun = Literal["missing", "failed", "all"]


_local_executor = Late("affectbench.run.execute:LocalExecutor")
_ray_executor = Late("affectbench.run.ray_executor:RayExecutor")


class Executor(Protocol):
    """Runs the missing cells of a plan and seals them in the run folder."""

    def run(self, plan: DatasetPlan, cells: Sequence[Cell], unsaved: Sequence[Row] = ()) -> None:
        """Run and seal `cells`, a subset of the plan's; only save the images of `unsaved` rows."""
        ...


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call: cells that had to be run, and cells that failed.

    `failed_before` counts cells that failed in an earlier call and were not tried again.
    """

    folder: Path
    computed: int
    failed: tuple[Record, ...]
    failed_before: int = 0


def run_comparison(
    request: RunRequest,
    out: Path,
    *,
    rerun: Rerun = "missing",
    verify: bool = False,
    cluster: Cluster | None = None,
    command: str = "",
    note: Note = lambda _text: None,
    progress: Advance = lambda _text, _done, _total: None,
) -> Outcome:
    """Run a comparison in the folder `out`, reusing every cell that is sealed there.

    `rerun` selects the sealed cells to recompute: none, the failed ones, or all. Faces whose files
    have not changed since an earlier run in `out` are not read again just to be identified, unless
    `verify` is set or all cells are recomputed. Without a `cluster` it runs in this process. Raises
    BusyError if another process holds the folder.
    """
    folder = RunFolder(out.absolute())  # a model may change the working directory
    with folder.locked(), ExitStack() as stack:
        memory = FaceMemory(folder.faces_path, fresh=verify or rerun == "all")
        plans = make_plan(request, note, memory)
        memory.save()
        tried: list[Cell] = []
        executor: Executor | None = None
        for plan in plans:
            todo = _todo(folder, plan, rerun, note)
            folder.discard(todo, unfinished=rerun == "all")
            unsaved = _unsaved(folder, plan, todo)
            if todo or unsaved:
                executor = executor or _opened(cluster, folder, progress, note, stack)
                executor.run(plan, todo, unsaved)
            tried += todo
        folder.require_present()
        folder.drop_empty_partials()
        cells = [cell for plan in plans for cell in plan.cells]
        _write_run(folder, request, plans, command)
        records = [folder.record(cell) for cell in cells]
    failed = tuple(r for r in records if r and r.status == "failed" and r.role == "model")
    ids = {cell.id for cell in tried}
    return Outcome(out, len(tried), failed, sum(record.id not in ids for record in failed))


def _opened(
    cluster: Cluster | None, folder: RunFolder, progress: Advance, note: Note, stack: ExitStack
) -> Executor:
    executor: Executor
    if cluster is None:
        executor = _local_executor(folder, progress)
    else:
        executor = stack.enter_context(_ray_executor(cluster, folder, progress, note))
    return executor


def _todo(folder: RunFolder, plan: DatasetPlan, rerun: Rerun, note: Note) -> list[Cell]:
    return [cell for cell in plan.cells if _is_due(folder, plan, cell, rerun, note)]


def _is_due(folder: RunFolder, plan: DatasetPlan, cell: Cell, rerun: Rerun, note: Note) -> bool:
    if rerun == "all":
        return True  # including cells that exist but cannot be read
    record = folder.record(cell)
    if record is None:
        return True
    if cell.row.spec.revision_lacks or record.model.get("revision_lacks"):
        return True  # the same name does not guarantee the same model
    if record.status == "failed":
        return rerun == "failed"
    if not folder.is_whole(cell, record, plan.ids):
        note(f"{folder.values_where(cell)}: is damaged or not whole, its cell is computed again")
        return True
    return record.role == "model" and not _holds_for(record, plan.batch_size)


def _unsaved(folder: RunFolder, plan: DatasetPlan, todo: Sequence[Cell]) -> list[Row]:
    """Return the rows with all their values, but not with all the images that are to be saved."""
    if not plan.save_images:
        return []
    due = {cell.row for cell in todo}
    rows: dict[Row, None] = {}
    for cell in plan.cells:
        if cell.row in due or cell.row in rows:
            continue
        record = folder.record(cell)
        if record is not None and record.status == "ok":
            made = set(plan.ids) - {image_id for image_id, _ in record.failed}
            if folder.lacks_images(plan, cell.row, made):
                rows[cell.row] = None
    return list(rows)


def _holds_for(record: Record, batch_size: int) -> bool:
    """Return whether a model's values hold for this batch size; old records do not say so."""
    made_of = record.provenance
    return BATCHES in made_of or made_of.get("batch_size", batch_size) == batch_size


def _write_run(
    folder: RunFolder,
    request: RunRequest,
    plans: Sequence[DatasetPlan],
    command: str,
) -> None:
    plan, cells = plans[0], [cell for plan in plans for cell in plan.cells]
    remarks = [remark for plan in plans for remark in plan.remarks]
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "command": command,
        "settings": {
            "models": [model.label for model in request.models],
            "arguments": [model.argument for model in request.models],
            "datasets": [name for name, _ in request.datasets],
            "metrics": list(plan.metrics),
            "gaps": list(plan.gaps),
            **({"remarks": list(remarks)} if remarks else {}),
            "judges": list(request.judges),
            "versus": request.versus,
            "convention": request.convention,
            "crop": request.crop,
            "protocol": request.protocol.name,
            "seed": request.seed,
        },
        "cells": [cell.relative.with_suffix("").as_posix() for cell in cells],
    }
    if request.keep_rows:
        content = with_earlier(content, folder, plans)
    write_json(content, folder.root / "run.json")
