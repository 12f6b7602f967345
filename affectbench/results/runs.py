"""Load and verify a run folder."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from affectbench.aggregate import STATISTICS, interval_of
from affectbench.errors import RecordError, listed
from affectbench.record_schema import SCHEMA, cells_problem, columns_problem, settings_problem
from affectbench.records import Record
from affectbench.store import Store
from affectbench.texts import parse_json
from affectbench.types import Columns

T = TypeVar("T")
_MEND = "run the same command again"


@dataclass(frozen=True)
class Run:
    """The settings of the last call, its records in table order, and their per-image values."""

    folder: Path
    command: str
    cells: tuple[str, ...]
    settings: Mapping[str, Any]
    records: tuple[Record, ...]
    _columns: dict[str, Columns] = field(default_factory=dict, repr=False)
    _faces: dict[tuple[str, str], _Faces] = field(default_factory=dict, repr=False)
    _results: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def columns(self, record: Record) -> Columns:
        """Return the per-image values of a record; the file is read only once.

        Raises RecordError if they have changed since the record was written, or if they do not
        cover the same faces as all other records of the data set.
        """
        if record.images not in self._columns:
            self._columns[record.images] = self._verified(record)
        return self._columns[record.images]

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the result of `compute`, cached under `key` for all parts of this run.

        The tables of a run repeat the same comparisons, and each takes thousands of draws.
        """
        if key not in self._results:
            self._results[key] = compute()
        return cast(T, self._results[key])

    def load_columns(self) -> None:
        """Read and verify all per-image values, including those that no table needs."""
        for record in self.records:
            if record.status == "ok":
                self.columns(record)

    @cached_property
    def store(self) -> Store:
        """The cells of the folder."""
        return Store(self.folder)

    def where(self, record: Record) -> str:
        """Return the place of a record that has per-image values, for messages."""
        return self.store.where(_cell_of(record))

    def _verified(self, record: Record) -> Columns:
        cell = _cell_of(record)
        place = self.store.values_where(cell)
        columns = _Named(place, self.store.columns(cell, record))
        problem = columns_problem(columns, record.metric, record.n, record.failed)
        if not problem:
            problem = self._other_faces(record, columns["id"])
        if problem:
            raise RecordError(f"{place} of {self.where(record)}: {problem}; {_RESTORE}")
        first = self._faces[_set_of(record)].ids
        if np.array_equal(columns["id"], first):
            columns["id"] = first  # share one array of names between hundreds of records
        return columns

    def _other_faces(self, record: Record, ids: np.ndarray) -> str:
        """Return an error text if the data set's other records have other faces, else ''."""
        own = frozenset(ids.tolist()) | {image_id for image_id, _ in record.failed}
        first = self._faces.setdefault(_set_of(record), _Faces(self.where(record), own, ids))
        if own == first.every:
            return ""
        differing = sorted(own ^ first.every)
        return (
            f"the faces of {record.dataset['name']} are not those of {first.record}: "
            f"{listed(differing)}"
        )


class _Named(dict[str, np.ndarray]):
    """The columns of a file: a missing one raises an error that names the file."""

    def __init__(self, place: str, columns: Columns) -> None:
        super().__init__(columns)
        self._place = place

    def __missing__(self, name: str) -> np.ndarray:
        raise RecordError(f"{self._place}: lacks the column {name}; {_RESTORE}")


@dataclass(frozen=True)
class _Faces:
    """The faces of a data set as the first record says that was read; `ids` have values there."""

    record: str
    every: frozenset[str]
    ids: np.ndarray


_RESTORE = "restore both files, or delete the record and run the same command again"


def load_run(folder: Path) -> Run:
    """Read `run.json`, the records that it names, and their per-image values.

    Outdated intervals are recomputed from the per-image values, so that no table mixes two
    methods. Raises RecordError for a folder without a run, for damaged or newer
    files, and for files that do not belong together.
    """
    run = load_records(folder)
    run.load_columns()
    return replace(run, records=tuple(_with_interval(run, record) for record in run.records))


def load_records(folder: Path) -> Run:
    """Load a run without its per-image values, which are verified when they are used."""
    cells, command, settings = _read_run(folder / "run.json")
    store = Store(folder)
    records = tuple(read_cell(store, cell) for cell in cells)
    if problem := _contradiction(settings, records):
        raise RecordError(f"{folder / 'run.json'}: {problem}; {_MEND}")
    revisions: dict[str, str] = {}
    for cell, record in zip(cells, records, strict=True):
        name, revision = _set_of(record)
        if revisions.setdefault(name, revision) != revision:
            raise RecordError(
                f"{store.where(cell)}: is of other faces of '{name}' than the records "
                f"before it; {_MEND}"
            )
    return Run(folder, command, cells, settings, records)


def _contradiction(settings: Mapping[str, Any], records: Sequence[Record]) -> str:
    """Return how the settings of a run contradict its records; empty if they agree."""
    judged = [r for r in records if r.metric["per_judge"]]
    of_ecm = {str(r.metric["identity"].get("judge")) for r in judged if r.metric["name"] == "ecm"}
    said: dict[str, tuple[set[str], set[str]]] = {
        "metrics": (set(settings["metrics"]), {str(r.metric["name"]) for r in records}),
        "protocol": ({settings["protocol"]}, {str(r.protocol["name"]) for r in records}),
    }
    if of_ecm:
        said["judges"] = (set(settings["judges"]), of_ecm)
    elif judged:
        found = {str(r.metric["identity"].get("judge")) for r in judged}
        said["judges"] = (set(settings["judges"]) & found, found)
    for name, (ours, theirs) in said.items():
        if ours != theirs:
            return (
                f"'{name}' are {', '.join(sorted(ours))}, the records' {', '.join(sorted(theirs))}"
            )
    return ""


def named_cells(folder: Path) -> tuple[str, ...]:
    """Return the cells that `run.json` names; raise RecordError if it is damaged."""
    return _read_run(folder / "run.json")[0]


def read_cell(store: Store, cell: str) -> Record:
    """Read the record of a cell; RecordError if it is damaged or names another cell's values."""
    record = store.record(cell)
    if record.status == "ok" and record.images != f"{cell}.parquet":
        raise RecordError(
            f"{store.where(cell)}: names the per-image values of another cell, {record.images}"
        )
    return record


def _read_run(path: Path) -> tuple[tuple[str, ...], str, dict[str, Any]]:
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path.parent}: holds no results (there is no run.json)") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: is damaged ({error}); {_MEND}") from error
    try:
        schema, cells = content["schema"], content["cells"]
        command, settings = content["command"], content["settings"]
        newer = schema > SCHEMA
    except (TypeError, KeyError) as error:
        raise RecordError(f"{path}: is damaged ({error}); {_MEND}") from error
    if newer:
        raise RecordError(f"{path}: has schema {schema}, newer than {SCHEMA}; upgrade affectbench")
    if problem := settings_problem(settings) or cells_problem(cells):
        raise RecordError(f"{path}: {problem}; {_MEND}")
    return tuple(cells), str(command), settings


def _cell_of(record: Record) -> str:
    return record.images.removesuffix(".parquet")


def _set_of(record: Record) -> tuple[str, str]:
    return str(record.dataset["name"]), str(record.dataset["revision"])


def convention_of(record: Record) -> str:
    """Return the convention that a record's metric follows; empty for a metric without one."""
    convention = record.metric["identity"].get("convention", "")
    return str(convention.get("name", "")) if isinstance(convention, Mapping) else str(convention)


def is_of_set(record: Record) -> bool:
    """Whether the metric is defined for a set only, without per-image values."""
    return bool(record.metric["kind"] == "set")


def is_outdated(record: Record) -> bool:
    """Whether a record's interval was computed by another version of `affectbench.stats`."""
    made_here = record.status == "ok" and not is_of_set(record)
    return made_here and record.values.get("statistics") != STATISTICS


def _with_interval(run: Run, record: Record) -> Record:
    if not is_outdated(record):
        return record
    seed = int(record.provenance["seed"])
    interval = interval_of(run.columns(record), record.metric, seed)
    ends = {"low": interval.low, "high": interval.high, "statistics": STATISTICS}
    return replace(record, values={**record.values, **ends})
