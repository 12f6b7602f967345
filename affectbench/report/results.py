"""A run folder as its records say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectbench.errors import RecordError
from affectbench.records import SCHEMA, Record, read_columns, read_record
from affectbench.types import Columns


@dataclass(frozen=True)
class Run:
    """The settings of the last call, its records in table order, and their per-image values."""

    folder: Path
    command: str
    settings: Mapping[str, Any]
    records: tuple[Record, ...]
    _columns: dict[str, Columns] = field(default_factory=dict, repr=False)

    def columns(self, record: Record) -> Columns:
        """The per-image values of a record, read once."""
        if record.id not in self._columns:
            self._columns[record.id] = read_columns(self.folder / "images" / record.images)
        return self._columns[record.id]

    def load_columns(self) -> None:
        """Read everything, for a folder that is about to go."""
        for record in self.records:
            if record.status == "ok":
                self.columns(record)


def load_run(folder: Path) -> Run:
    """Read `run.json` and the records that it names.

    Raises RecordError for a folder without a run, and for damaged or newer files.
    """
    path = folder / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema, cells = int(content["schema"]), list(content["cells"])
        command, settings = str(content["command"]), dict(content["settings"])
    except FileNotFoundError:
        raise RecordError(f"{folder}: holds no results (there is no run.json)") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path}: is damaged ({error}); run the same command again") from error
    if schema > SCHEMA:
        raise RecordError(f"{path}: has schema {schema}, newer than {SCHEMA}; upgrade affectbench")
    records = tuple(read_record(folder / "records" / f"{cell}.json") for cell in cells)
    return Run(folder, command, settings, records)


def column_of(record: Record, settings: Mapping[str, Any]) -> str:
    """The name of a record's column: `ecm`, or `ecm[JUDGE]` for all judges but the first."""
    name = str(record.metric["name"])
    judge = record.metric["identity"].get("judge")
    judges = settings["judges"]
    return name if judge is None or judge == judges[0] else f"{name}[{judge}]"
