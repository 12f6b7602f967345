"""The run folders of leaderboards, and the check that every number in them can be recomputed.

A board is a folder `boards/NAME/` with a run: `run.json` and its cells (`affectbench.store`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from affectbench.aggregate import cell_values
from affectbench.datasets.manifest import committed
from affectbench.errors import InputError, RecordError, listed
from affectbench.metrics import metric_plugin
from affectbench.records import Record
from affectbench.results.columns import column_of
from affectbench.results.runs import (
    Run,
    is_outdated,
    load_records,
    load_run,
    named_cells,
    read_cell,
)
from affectbench.store import Store
from affectbench.types import TestProtocol, as_json

CLOSE = 1e-9
"""Absolute tolerance of recomputed values: matrix products differ slightly between processors."""


def board_folders(root: Path) -> list[Path]:
    """Return the run folders of all boards, sorted by name; raise InputError if there are none."""
    folders = sorted(path.parent for path in (root / "boards").glob("*/run.json"))
    if not folders:
        raise InputError(f"{root}: holds no boards (looked for {root}/boards/NAME/run.json)")
    return folders


def pack(folder: Path) -> Run:
    """Pack the cells of a board, with intervals of today, and return its run.

    All files of the run must be consistent: what has changed since it was written is refused, never
    blessed. Records without a SHA-256, which are older, get one.
    """
    run = load_run(folder)
    newer = {cell: record for cell, record in _named(run) if _is_outdated(run, cell)}
    return load_run(folder) if run.store.pack(newer) else run


def check_files(folder: Path) -> Iterator[str]:
    """Yield a message for each file that is damaged, modified, replaced, or part of no record."""
    store = Store(folder)
    store.names()  # raises RecordError if a line is damaged
    damaged = False
    for cell in named_cells(folder):
        try:
            record = read_cell(store, cell)
        except RecordError as error:
            damaged = True
            yield str(error)
            continue
        if not _is_hashed(record):
            yield f"{store.where(cell)}: has no SHA-256; affectbench leaderboard build"
    if damaged:
        return
    run = load_records(folder)
    for record in filter(_has_images, run.records):
        try:
            run.columns(record)
        except RecordError as error:
            yield str(error)
    yield from store.unknown({cell for cell, record in _named(run) if _has_images(record)})


def _has_images(record: Record) -> bool:
    return record.status == "ok"


def _is_hashed(record: Record) -> bool:
    of_values = record.images_sha256 or record.values_sha256
    return bool(record.sha256 and (of_values or record.status == "failed"))


def check_records(run: Run) -> Iterator[str]:
    """Yield a message for each row, face or value that is not as expected."""
    for cell in sorted({*run.store.names()} - {*run.cells}):
        if run.store.record(cell).status == "ok":
            yield f"{run.store.where(cell)}: is not part of the board's run.json"
    yield from _check_rows(run)
    yield from _check_faces(run)
    for record in run.records:
        where = f"{run.folder.name}: {record.row}, {column_of(record, run.settings)}"
        problems = list(_check_statement(record))
        if _has_images(record):
            problems += _check_values(run, record)
        yield from (f"{where}: {problem}" for problem in problems)


def outdated(run: Run) -> Iterator[str]:
    """Yield the place of each record with an outdated interval."""
    yield from (run.store.where(cell) for cell, _ in _named(run) if _is_outdated(run, cell))


def _is_outdated(run: Run, cell: str) -> bool:
    return is_outdated(run.store.record(cell))


def _named(run: Run) -> Iterator[tuple[str, Record]]:
    return zip(run.cells, run.records, strict=True)


def _check_rows(run: Run) -> Iterator[str]:
    """Check that a row is one model under one protocol, with one record for each column."""
    columns: set[tuple[str, ...]] = set()
    rows: dict[tuple[str, ...], Record] = {}
    for record in run.records:
        row = (record.role, record.row, str(record.dataset["name"]))
        column = column_of(record, run.settings)
        where = f"{run.folder.name}: {record.row}, {column}"
        if (*row, column) in columns:
            yield f"{where}: has two records"
        columns.add((*row, column))
        # Each judge has its own `one-face`.
        whose = (
            str(record.metric["identity"].get("judge", ""))
            if row[:2] == ("anchor", "one-face")
            else ""
        )
        first = rows.setdefault((*row, whose), record)
        for part in ("model", "protocol"):
            if first.cell[part] != record.cell[part]:
                yield f"{where}: is of another {part} than the rest of its row"


def _check_faces(run: Run) -> Iterator[str]:
    """Check that the faces of a data set with a manifest are exactly those in the manifest."""
    for record in {str(r.dataset["name"]): r for r in filter(_has_images, run.records)}.values():
        faces = _published_faces(record)
        own = {*map(str, run.columns(record)["id"]), *(image_id for image_id, _ in record.failed)}
        if faces is not None and own != faces:
            yield (
                f"{run.folder.name}: the faces of {record.dataset['name']} are not those of its "
                f"manifest: {listed(sorted(own ^ faces))}"
            )


def _published_faces(record: Record) -> set[str] | None:
    """Return the ids in the manifest of this revision of the data set; None without a manifest."""
    protocol = record.protocol
    try:
        manifest = committed(
            str(record.dataset["name"]),
            TestProtocol(protocol["scale"], protocol["hr_size"], protocol["kernel"]),
        )
    except (InputError, KeyError):
        return None
    if manifest.revision != record.dataset["revision"]:
        return None
    return {face.id for face in manifest.faces}


def _check_statement(record: Record) -> Iterator[str]:
    """Check that the fields of a record agree with its cell, the only part its id covers."""
    protocol = {name: value for name, value in record.protocol.items() if name != "name"}
    stated = {
        "model": record.model.get("revision"),
        "dataset": record.dataset["revision"],
        "protocol": protocol,
        "metric": record.metric["identity"],
    }
    for name, value in stated.items():
        if record.cell.get(name) != value and (record.model or name != "model"):
            yield f"says of its {name} '{value}', its cell says '{record.cell.get(name)}'"
    spec = as_json(metric_plugin(record.metric["name"]).spec)
    for name in ("version", "kind", "direction", "aggregate", "per_judge"):
        if record.metric.get(name) != spec[name]:
            yield f"the metric's {name} is '{record.metric.get(name)}', not '{spec[name]}'"


def _check_values(run: Run, record: Record) -> Iterator[str]:
    columns = run.columns(record)
    plugin = metric_plugin(record.metric["name"])
    seed = int(record.provenance["seed"])
    try:
        again = cell_values(columns, plugin, seed)
    except (KeyError, RecordError) as error:
        yield f"its per-image values cannot be counted ({error})"
        return
    for name in sorted({*again, *record.values}):
        if not _same(again.get(name), record.values.get(name)):
            yield f"'{name}' is {record.values.get(name)}, its faces give {again.get(name)}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= CLOSE
    return bool(a == b)
