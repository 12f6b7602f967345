"""Leaderboards: CSV files rendered from committed run folders, and the check that they agree.

A board is a folder `boards/NAME/` with a run (`run.json`, `records/`, `images/`); it becomes
`NAME.csv`. Published numbers live in `published.csv` and never in a measured file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from affectbench.aggregate import cell_values
from affectbench.errors import InputError, RecordError, UnknownNameError
from affectbench.metrics import metric_plugin
from affectbench.records import Record, read_record, write_atomic, write_record
from affectbench.report.render import to_csv
from affectbench.report.results import Run, column_of, is_outdated, load_run
from affectbench.report.table import build_table
from affectbench.types import as_json, content_id

CLOSE = 1e-9
"""How far recomputed values may lie: the last bits of matrix products differ between processors."""


def board_folders(root: Path) -> list[Path]:
    """The run folders of all boards, by name; InputError if there are none."""
    folders = sorted(path.parent for path in (root / "boards").glob("*/run.json"))
    if not folders:
        raise InputError(f"{root}: holds no boards (looked for {root}/boards/NAME/run.json)")
    return folders


def build(root: Path) -> list[Path]:
    """Render every board to its CSV file; the files written.

    Records whose intervals were made in another way are written anew first.
    """
    written = []
    for folder in board_folders(root):
        path = root / f"{folder.name}.csv"
        run = load_run(folder)
        for where, record in _outdated(run):
            write_record(record, where)
        write_atomic(path, to_csv(board_table(run)).encode("utf-8"))
        written.append(path)
    return written


def board_table(run: Run) -> pd.DataFrame:
    """The columns of `table.csv`, then what each row was made with."""
    table = build_table(run)
    about = [_about(run, row) for row in table.to_dict("records")]
    return pd.concat([table, pd.DataFrame(about)], axis=1)


def check(root: Path) -> Iterator[str]:
    """One text for each thing that does not agree: digits, ids, aggregates, missing files."""
    published = root / "published.csv"
    if not published.exists():
        yield f"{published}: is missing"
    for folder in board_folders(root):
        try:
            run = load_run(folder)
            for path, _ in _outdated(run):
                yield f"{path}: its interval is made anew by affectbench leaderboard build"
            yield from _check_records(run)
            yield from check_csv(root / f"{folder.name}.csv", run)
        except (RecordError, UnknownNameError) as error:
            yield str(error)


def check_csv(path: Path, run: Run) -> Iterator[str]:
    """One text if the file of a board is not what its records give."""
    if not path.exists():
        yield f"{path}: is missing; affectbench leaderboard build"
    elif path.read_text(encoding="utf-8") != to_csv(board_table(run)):
        yield f"{path}: is not what its records give; affectbench leaderboard build"


def _check_records(run: Run) -> Iterator[str]:
    known = {run.folder / "records" / f"{cell}.json" for cell in run.cells}
    for path in sorted((run.folder / "records").rglob("*.json")):
        if path not in known and read_record(path).status == "ok":
            yield f"{path}: is not part of the board's run.json"
    for record in run.records:
        where = f"{run.folder.name}: {record.row}, {column_of(record, run.settings)}"
        if record.id != content_id(record.cell):
            yield f"{where}: the id {record.id} is not that of the cell's content"
        problems = list(_check_statement(record))
        if record.status == "ok":
            problems += _check_values(run, record)
        yield from (f"{where}: {problem}" for problem in problems)


def _outdated(run: Run) -> Iterator[tuple[Path, Record]]:
    """Files of records with an interval of another version, and the records with theirs anew."""
    for cell, record in zip(run.cells, run.records, strict=True):
        path = run.folder / "records" / f"{cell}.json"
        if is_outdated(read_record(path)):
            yield path, record


def _check_statement(record: Record) -> Iterator[str]:
    """The id covers the cell alone: what a row says of itself must be what its cell says."""
    if record.role not in ("model", "anchor"):
        yield f"the role '{record.role}' is not one of measured rows; see published.csv"
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
    if len(columns["id"]) + len(record.failed) != record.n:
        yield f"{len(columns['id'])} values and {len(record.failed)} failures for {record.n} faces"
    plugin = metric_plugin(record.metric["name"])
    seed = int(record.provenance["seed"])
    try:
        again = cell_values(columns, plugin, seed)
    except KeyError as error:
        yield f"its per-image values lack the column {error}"
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


def _about(run: Run, row: Mapping[Any, Any]) -> dict[str, Any]:
    key = (row["role"], row["model"], row["dataset"])
    mine = [r for r in run.records if (r.role, r.row, r.dataset["name"]) == key]
    first = mine[0]
    identities = [record.metric["identity"] for record in mine]
    judges = dict.fromkeys(
        f"{i['judge']}@{i.get('judge_revision')}" for i in identities if "judge" in i
    )
    crops = dict.fromkeys(f"{i['crop']} {i.get('framing')}" for i in identities if "crop" in i)
    packages = first.provenance["packages"]
    return {
        "title": f"{first.dataset['title']}",
        "scale": first.model.get("scale"),
        "revision": first.model.get("revision"),
        "licence": first.model.get("licence"),
        "parameters": first.model.get("parameters"),
        "trained_on": ";".join(first.model.get("trained_on", ())),
        "trained_against": ";".join(first.model.get("trained_against", ())),
        "convention": run.settings["convention"],
        "judges": ";".join(judges),
        "crop": ";".join(crops),
        "protocol": first.protocol["name"],
        "dataset_revision": first.dataset["revision"],
        "affectbench": first.provenance["affectbench"],
        "torch": packages.get("torch"),
        "date": first.provenance["date"],
    }
