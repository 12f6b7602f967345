"""Results on disk: where `run`, which writes them, and `report`, which reads them, meet.

A record is one JSON file for one cell (model, data set, protocol, metric). It describes and
versions itself, and names the Parquet file that holds the cell's per-image values. Writing is
atomic: a file is there whole, or not at all.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affectbench.errors import RecordError, StorageError
from affectbench.types import Columns, Role, content_id

SCHEMA = 1

Status = Literal["ok", "failed"]


@dataclass(frozen=True)
class Record:
    """One cell's result and everything needed to rebuild it.

    `id` is derived from `cell`, the content that decides the numbers. `values` are the set's
    values, computed from the per-image values in `images` (a path relative to the run folder).
    `failed` lists `[image id, reason]` for images without a value; they are counted, never
    averaged away. `error` says why a cell has no values at all.
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


@dataclass(frozen=True)
class SavedFaces:
    """Where a run keeps the faces of one data set as PNG.

    `faces/<set>-<revision>/hr/<id>.png`, `.../lr/<id>.png` and `.../sr/<row>-<revision>/<id>.png`.
    The revisions are those of the cells, so that a face is never taken for one that another
    protocol or other weights made.
    """

    root: Path
    dataset: str
    revision: str

    @property
    def folder(self) -> Path:
        """The folder of the data set."""
        return self.root / "faces" / f"{slug(self.dataset)}-{self.revision[:8]}"

    def hr(self, image_id: str) -> Path:
        """The reference."""
        return self.folder / "hr" / f"{image_id}.png"

    def lr(self, image_id: str) -> Path:
        """What the models are given."""
        return self.folder / "lr" / f"{image_id}.png"

    def sr(self, row: str, model_revision: str, image_id: str) -> Path:
        """What a row made of it."""
        return self.folder / "sr" / f"{slug(row)}-{model_revision[:8]}" / f"{image_id}.png"


_OF_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Names that no file of Windows can have."""


def slug(name: str) -> str:
    """A name as a file name: unusual characters become `_`, and nothing hides.

    Names that differ have slugs that differ, but for upper and lower case (see `distinct_slugs`).

    >>> slug("my model/v2"), slug("bicubic")
    ('my_model_v2-b76e73', 'bicubic')
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[:80]
    if _OF_WINDOWS.fullmatch(safe):
        safe = f"_{safe}"
    return safe if safe == name else f"{safe}-{content_id({'name': name})[:6]}"


def distinct_slugs(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """File names of keys (kind, name), distinct also where files ignore upper and lower case.

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
    """Write a record as indented JSON with sorted keys."""
    text = json.dumps(_finite(asdict(record)), indent=1, sort_keys=True, ensure_ascii=False)
    write_atomic(path, text.encode() + b"\n")


def read_record(path: Path) -> Record:
    """Read a record; RecordError if it is damaged or of a newer schema."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        schema = data["schema"]
        newer = schema > SCHEMA
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path}: the record is damaged ({error}); {_MEND}") from error
    if newer:
        raise RecordError(
            f"{path}: the record has schema {schema}, this affectbench reads up to {SCHEMA}; "
            "upgrade affectbench"
        )
    missing = [f.name for f in fields(Record) if f.name not in data]
    if missing:
        raise RecordError(f"{path}: the record lacks {', '.join(missing)}; {_MEND}")
    known = {f.name: data[f.name] for f in fields(Record)}
    try:
        known["failed"] = tuple((str(i), str(why)) for i, why in data["failed"])
        known["values"] = {k: _number(v) for k, v in data["values"].items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"{path}: the record is damaged ({error}); {_MEND}") from error
    return Record(**known)


_MEND = "delete it and run the same command again to make it anew"


def write_columns(columns: Columns, path: Path, *, durable: bool = True) -> None:
    """Write per-image columns as Parquet (zstd), exact to the last bit; see `write_atomic`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(np.asarray(values)) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes(), durable=durable)


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Read per-image columns; RecordError if the file is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
    except (OSError, pa.ArrowInvalid) as error:
        raise RecordError(
            f"{path}: the per-image values cannot be read ({error}); {_MEND}"
        ) from error
    return {name: table.column(name).to_numpy() for name in table.column_names}


def concatenate(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Columns of several batches, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_atomic(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a whole file or none: a temporary file beside it, then a rename.

    A durable one is whole after a power failure too. Others can be empty then, which is fine for
    what is checked before use, and much faster for many files.

    Raises StorageError, naming the folder, if the disk is full or the folder is not writable.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as sink:
            temporary = Path(sink.name)
            sink.write(content)
            if durable:
                sink.flush()
                os.fsync(sink.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(_storage_message(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # only there if something went wrong


def is_kept(path: Path) -> bool:
    """Whether a file is there and not empty, as one can be that was not written durably."""
    return path.is_file() and path.stat().st_size > 0


def _storage_message(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{path.parent}: the disk is full; free some space and run the same command again, "
            "finished work is kept"
        )
    return f"{path}: cannot be written ({os.strerror(error.errno or 0)})"


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they are written as strings."""
    if isinstance(value, float) and not np.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
