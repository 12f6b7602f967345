"""A run folder as its records say it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from affectbench.aggregate import STATISTICS, interval_of
from affectbench.errors import RecordError
from affectbench.records import SCHEMA, Record, read_columns, read_record
from affectbench.types import Columns

T = TypeVar("T")
_MEND = "delete it and run the same command again to make it anew"
_SETTINGS = {
    "judges": list,
    "metrics": list,
    "versus": str,
    "convention": str,
    "protocol": str,
    "seed": int,
}
_RECORD: Mapping[str, Mapping[str, type]] = {
    "model": {},
    "dataset": {"name": str, "title": str, "revision": str},
    "protocol": {"name": str},
    "metric": {
        "name": str,
        "kind": str,
        "direction": str,
        "aggregate": str,
        "per_judge": bool,
        "identity": dict,
    },
    "cell": {},
    "cost": {},
    "provenance": {"seed": int, "affectbench": str, "packages": dict, "date": str},
}
_VALUES = {"value": (int, float), "low": (int, float), "high": (int, float)}
_MEAN = {"mean": (int, float)}


@dataclass(frozen=True)
class Run:
    """The settings of the last call, its records in table order, and their per-image values."""

    folder: Path
    command: str
    cells: tuple[str, ...]
    settings: Mapping[str, Any]
    records: tuple[Record, ...]
    _columns: dict[str, Columns] = field(default_factory=dict, repr=False)
    _results: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def columns(self, record: Record) -> Columns:
        """The per-image values of a record, read once."""
        if record.id not in self._columns:
            path = self.folder / "images" / record.images
            self._columns[record.id] = _complete(read_columns(path), record, path)
        return self._columns[record.id]

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, kept under `key` for all parts of this run.

        A run's tables show the same comparisons again and again, and each draws thousands of times.
        """
        if key not in self._results:
            self._results[key] = compute()
        return cast(T, self._results[key])

    def load_columns(self) -> None:
        """Read everything, for a folder that is about to go."""
        for record in self.records:
            if record.status == "ok":
                self.columns(record)


def load_run(folder: Path) -> Run:
    """Read `run.json` and the records that it names.

    Records whose interval was made in another way get theirs anew from the per-image values: no
    table mixes two kinds. Raises RecordError for a folder without a run, and for damaged or newer
    files.
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
    _require(settings, _SETTINGS, f"{path}: 'settings'")
    if not cells:
        raise RecordError(f"{path}: names no cells; run the same command again")
    records = tuple(_read(folder / "records" / f"{cell}.json") for cell in cells)
    run = Run(folder, command, tuple(map(str, cells)), settings, records)
    return replace(run, records=tuple(_with_interval(run, record) for record in records))


def column_of(record: Record, settings: Mapping[str, Any]) -> str:
    """The name of a record's column: `ecm`, or `ecm[JUDGE]` for all judges but the first."""
    name = str(record.metric["name"])
    judge = record.metric["identity"].get("judge")
    judges = settings["judges"]
    return name if judge is None or judge == judges[0] else f"{name}[{judge}]"


def is_of_set(record: Record) -> bool:
    """Whether the metric has a value of the set alone and none per image."""
    return bool(record.metric["kind"] == "set")


def is_outdated(record: Record) -> bool:
    """Whether a record's interval was made in another way than `affectbench.stats` now does."""
    made_here = record.status == "ok" and not is_of_set(record)
    return made_here and record.values.get("statistics") != STATISTICS


def _with_interval(run: Run, record: Record) -> Record:
    if not is_outdated(record):
        return record
    seed = int(record.provenance["seed"])
    interval = interval_of(run.columns(record), record.metric, seed)
    ends = {"low": interval.low, "high": interval.high, "statistics": STATISTICS}
    return replace(record, values={**record.values, **ends})


def _read(path: Path) -> Record:
    """A record with everything that the report needs; RecordError says what is wrong with it."""
    try:
        record = read_record(path)
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be read ({error.strerror}); run the same command again to make it anew"
        ) from error
    for name, needed in _RECORD.items():
        _require(getattr(record, name), needed, f"{path}: '{name}'")
    texts = {"id": str, "row": str, "role": str, "error": str, "images": str, "n": int}
    _require({name: getattr(record, name) for name in texts}, texts, f"{path}: the record")
    if not re.fullmatch("[0-9a-f]{16}", record.id):
        raise RecordError(f"{path}: the id '{record.id}' is not 16 hexadecimal digits; {_MEND}")
    for name in ("trained_on", "trained_against"):
        names = record.model.get(name, [])
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise RecordError(f"{path}: '{name}' is not a list of names; {_MEND}")
    if record.status == "ok":
        means = {} if is_of_set(record) else _MEAN
        _require(record.values, {**_VALUES, **means}, f"{path}: 'values'")
    return record


def _require(data: Any, needed: Mapping[str, Any], where: str) -> None:
    if not isinstance(data, Mapping):
        raise RecordError(f"{where} is damaged; {_MEND}")
    wrong = [name for name, kind in needed.items() if not isinstance(data.get(name), kind)]
    if wrong:
        raise RecordError(f"{where} lacks a usable {', '.join(wrong)}; {_MEND}")


def _complete(columns: Columns, record: Record, path: Path) -> Columns:
    needed = ["id"] if is_of_set(record) else ["id", record.metric["name"]]
    needed += ["label_hr"] if record.metric["aggregate"] == "macro" else []
    missing = [name for name in needed if name not in columns]
    if missing:
        raise RecordError(f"{path}: lacks the column {', '.join(missing)}; {_MEND}")
    return columns
