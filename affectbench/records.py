"""Results on disk: the format that `run` writes and `report` reads.

A record is one JSON file per cell (model, data set, protocol, metric). It describes and versions
itself, and names the Parquet file that holds the cell's per-image values. Writes are atomic: a file
is complete or does not exist.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from affectbench.errors import RecordError, StorageError
from affectbench.record_schema import SCHEMA, record_problem
from affectbench.texts import parse_json, printable, unicode_text
from affectbench.types import Columns, Role, content_id

Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Record:
    """One cell's result and everything needed to rebuild it.

    `id` is derived from `cell`, the content that determines the numbers. `values` are the set-level
    values, computed from the per-image values in `images` (a path relative to the run folder).
    `failed` lists `[image id, reason]` for images without a value; they are counted, never
    silently dropped. `error` says why a cell has no values at all. `images_sha256` is that of the
    cell's own Parquet file; a packed cell (`affectbench.store`) has `values_sha256`, that of the
    values, instead. `sha256` is that of the whole record, and is set on writing. Older records have
    none of them.
    """

    id: str
    cell: Mapping[str, Any]
    status: Status
    role: Role
    row: str
    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    protocol: Mapping[str, Any]
    metric: Mapping[str, Any]
    n: int
    values: Mapping[str, Any] = field(default_factory=dict)
    failed: tuple[tuple[str, str], ...] = ()
    error: str = ""
    images: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    images_sha256: str = ""
    values_sha256: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class SavedFaces:
    """The paths of a run's saved faces of one data set, as PNG files.

    `faces/<set>-<revision>/hr/<id>.png`, `.../lr/<id>.png` and `.../sr/<row>-<revision>/<id>.png`.
    The revisions are those of the cells, so that faces of another protocol or other weights are
    never confused with these.
    """

    root: Path
    dataset: str
    revision: str

    @property
    def folder(self) -> Path:
        """The folder of the data set."""
        return self.root / "faces" / f"{slug(self.dataset)}-{self.revision[:8]}"

    def hr(self, image_id: str) -> Path:
        """Return the path of the reference."""
        return self.folder / "hr" / f"{image_id}.png"

    def lr(self, image_id: str) -> Path:
        """Return the path of the models' input."""
        return self.folder / "lr" / f"{image_id}.png"

    def sr(self, row: str, model_revision: str, image_id: str) -> Path:
        """Return the path of a row's result."""
        return self.folder / "sr" / f"{slug(row)}-{model_revision[:8]}" / f"{image_id}.png"


_OF_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Reserved file names on Windows."""


def slug(name: str) -> str:
    """Return a name as a file name: unusual characters become `_`, and no file is hidden.

    Different names have different slugs, except for case (see `distinct_slugs`).

    >>> slug("my model/v2"), slug("bicubic")
    ('my_model_v2-b76e73', 'bicubic')
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[:80]
    if _OF_WINDOWS.fullmatch(safe):
        safe = f"_{safe}"
    return safe if safe == name else f"{safe}-{content_id({'name': name})[:6]}"


def distinct_slugs(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the file names of keys (kind, name), distinct even on case-insensitive file systems.

    >>> distinct_slugs([("model", "x"), ("anchor", "x"), ("model", "X")])
    {('model', 'x'): 'x', ('anchor', 'x'): 'x-071e19', ('model', 'X'): 'X-927e23'}
    """
    found: dict[tuple[str, str], str] = {}
    for kind, name in dict.fromkeys(keys):
        taken = {other.casefold() for other in found.values()}
        own = slug(name)
        if own.casefold() in taken:
            own = f"{own}-{content_id({'kind': kind, 'name': name})[:6]}"
        found[kind, name] = own
    return found


def write_record(record: Record, path: Path) -> None:
    """Write a record as indented JSON with sorted keys and the SHA-256 of its content."""
    write_json(record_data(record), path, sort_keys=True)


def record_data(record: Record) -> dict[str, Any]:
    """Return a record as JSON data with the SHA-256 of its content."""
    data: dict[str, Any] = _plain(asdict(record))
    if not record.values_sha256:
        del data["values_sha256"]  # a cell with a file of its own is written as ever
    data["sha256"] = _digest(data)
    return data


def write_json(data: Mapping[str, Any], path: Path, *, sort_keys: bool = False) -> None:
    """Write indented JSON; bytes that are not valid Unicode are escaped."""
    text = json.dumps(_plain(data), indent=1, sort_keys=sort_keys, ensure_ascii=False)
    write_atomic(path, text.encode() + b"\n")


def read_record(path: Path) -> Record:
    """Read a record; raise RecordError if it was modified, is damaged, or has a newer schema."""
    try:
        data = parse_json(path.read_bytes())
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be read ({error.strerror}); run the same command again to make it anew"
        ) from error
    except ValueError as error:
        raise RecordError(f"{path}: the record is damaged ({error}); {_MEND}") from error
    return parse_record(data, path)


def parse_record(data: Any, where: Path | str) -> Record:
    """Return the record of JSON data; raise RecordError naming `where` if it is not valid.

    Records without a SHA-256 predate that field, and are accepted as they are.
    """
    if isinstance(data, dict) and _is_newer(data.get("schema")):
        raise RecordError(
            f"{where}: the record has schema {data['schema']}, this affectbench reads up to "
            f"{SCHEMA}; upgrade affectbench"
        )
    if isinstance(data, dict):
        numbers = {name: _numbers(data[name]) for name in ("values", "cost") if name in data}
        data = {**data, **numbers}
    if problem := record_problem(data):
        raise RecordError(f"{where}: {problem}; {_MEND}")
    if data.get("sha256") and data["sha256"] != _digest(_plain(data)):
        raise RecordError(
            f"{where}: the record was changed since it was written: its SHA-256 is another; {_MEND}"
        )
    known = {f.name: data[f.name] for f in fields(Record) if f.name in data}
    known["failed"] = tuple((image_id, why) for image_id, why in data["failed"])
    return Record(**known)


_MEND = "delete it and run the same command again to make it anew"
_MEND_IMAGES = "restore it, or delete the record of the same name and run the same command again"


def write_columns(columns: Columns, path: Path, *, durable: bool = True) -> str:
    """Write per-image columns as Parquet (zstd), bit-exact, and return the file's SHA-256."""
    table = pa.table({name: pa.array(np.asarray(values)) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    write_atomic(path, content, durable=durable)
    return hashlib.sha256(content).hexdigest()


def read_columns(path: Path, sha256: str = "") -> dict[str, np.ndarray]:
    """Read per-image columns; raise RecordError if the file is missing, damaged or not `sha256`.

    An empty `sha256` is not checked: it comes from a record that predates the field.
    """

    def read() -> dict[str, np.ndarray]:
        content = path.read_bytes()
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            raise RecordError(
                f"{path}: the per-image values are not those of their record: the SHA-256 is "
                f"another; {_MEND_IMAGES}"
            )
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names) or file.metadata.num_rows > _MOST_ROWS:
                raise ValueError("a column is there twice, or there are too many rows")
            return values_of(file.read())

    return parse_columns(path, read)


def parse_columns(
    where: Path | str, read: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return what `read` reads from Parquet; raise RecordError naming `where` if it is damaged."""
    try:
        return read()
    except (OSError, ValueError, MemoryError, *_DAMAGED) as error:
        reason = printable(" ".join(str(error).split()))  # Arrow quotes bytes and breaks lines
        raise RecordError(
            f"{where}: the per-image values cannot be read ({reason}); {_MEND_IMAGES}"
        ) from error


_DAMAGED = (pa.ArrowException, TypeError, RecursionError, OverflowError)
"""What a damaged Parquet file raises, beside OSError and ValueError."""


def values_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns of a table; raise ValueError for anything but a plain one."""
    table.validate(full=True)
    if any(column.null_count for column in table.columns):
        raise ValueError("a value is missing")
    return {name: table.column(name).to_numpy() for name in table.column_names}


_MOST_ROWS = 100_000_000


def concatenate(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenate the columns of several batches."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_atomic(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file atomically: a temporary file beside it, then a rename.

    A `durable` file also survives a power failure. Others can then be empty, which is acceptable
    for files that are checked before use, and much faster for many files. Permissions follow the
    process's umask, as for every file. Raises StorageError, naming the folder, if the disk is full
    or the folder is not writable.
    """
    temporary = path.parent / f".tmp-{secrets.token_hex(8)}"
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is a folder or a device, not a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as sink:
            sink.write(content)
            if durable:
                sink.flush()
                os.fsync(sink.fileno())
        temporary.replace(path)
    except (OSError, ValueError) as error:
        raise StorageError(_storage_message(path, error)) from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)  # exists only if something went wrong


def is_kept(path: Path) -> bool:
    """Return whether a file exists and is not empty (a non-durable write can leave it empty)."""
    return path.is_file() and path.stat().st_size > 0


def _storage_message(path: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"{path}: cannot be written ({error})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{path.parent}: the disk is full; free some space and run the same command again, "
            "finished work is kept"
        )
    return f"{path}: cannot be written ({os.strerror(error.errno or 0)})"


def _plain(value: Any) -> Any:
    """Convert a value to JSON data without infinity, NaN and invalid Unicode."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return unicode_text(value)
    if isinstance(value, Mapping):
        return {unicode_text(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _numbers(value: Any) -> Any:
    """Convert what `_plain` wrote for infinity and NaN back to numbers."""
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    return float(value) if value in ("inf", "-inf", "nan") else value


def _digest(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record's content, except its `sha256` field."""
    said = {name: value for name, value in data.items() if name != "sha256"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_newer(schema: Any) -> bool:
    return isinstance(schema, int) and schema > SCHEMA
