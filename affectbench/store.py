"""The cells of a run folder, in loose files or packed into few.

Loose, as a run writes them: `records/CELL.json` and `images/CELL.parquet` for each cell. Packed, as
leaderboards keep them: a line of `records.jsonl` for each cell, sorted, and a file
`values/SET/ROW.parquet` for all cells of a row, with the column `id` and a column `NAME/COLUMN` for
each column of the cell `SET/ROW/NAME`, null where that cell does not have the face.

A loose cell replaces the packed one of the same name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from affectbench.errors import RecordError
from affectbench.records import (
    Record,
    parse_columns,
    parse_record,
    read_columns,
    read_record,
    record_data,
    values_of,
    write_atomic,
)
from affectbench.texts import parse_json
from affectbench.types import Columns

PACKED = "records.jsonl"


class Store:
    """The cells of one run folder. Nothing is read before it is needed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str, Any] | None = None

    def record_path(self, cell: str) -> Path:
        """Return the path of a cell's loose record."""
        return self.root / "records" / f"{cell}.json"

    def images_path(self, cell: str) -> Path:
        """Return the path of a cell's loose values."""
        return self.root / "images" / f"{cell}.parquet"

    def values_path(self, cell: str) -> Path:
        """Return the path of the packed values of a cell's row."""
        return self.root / "values" / f"{PurePosixPath(cell).parent}.parquet"

    def is_loose(self, cell: str) -> bool:
        """Return whether a cell has a record of its own file."""
        try:
            return self.record_path(cell).exists()
        except OSError:  # a name that no file can have
            return False

    def has(self, cell: str) -> bool:
        """Return whether a cell has a record."""
        return self.is_loose(cell) or cell in self._packed()

    def where(self, cell: str) -> str:
        """Return the place of a cell's record, for messages."""
        if self.is_loose(cell) or not (self.root / PACKED).exists():
            return str(self.record_path(cell))
        return f"{self.root / PACKED}: {cell}"

    def values_where(self, cell: str) -> str:
        """Return the place of a cell's values, for messages."""
        if self.is_loose(cell) or not (self.root / PACKED).exists():
            return str(self.images_path(cell))
        return f"{self.values_path(cell)}: {cell}"

    def loose(self) -> list[str]:
        """Return the names of all loose cells, sorted."""
        folder = self.root / "records"
        found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.json"))
        return sorted(path.as_posix() for path in found)

    def names(self) -> list[str]:
        """Return the names of all cells, sorted."""
        return sorted({*self.loose(), *self._packed()})

    def record(self, cell: str) -> Record:
        """Return the record of a cell; RecordError if there is none or it is damaged."""
        if self.is_loose(cell) or cell not in self._packed():
            return read_record(self.record_path(cell))
        return parse_record(self._packed()[cell], self.where(cell))

    def columns(self, cell: str, record: Record) -> dict[str, np.ndarray]:
        """Return the per-image values of a cell; RecordError if they are not those of `record`."""
        if self.is_loose(cell) or not (self.root / PACKED).exists():
            return read_columns(self.images_path(cell), record.images_sha256)
        where, path = self.values_where(cell), self.values_path(cell)
        columns = parse_columns(where, lambda: _unpacked(path, _name(cell)))
        if record.values_sha256 != digest_of(columns):
            raise RecordError(
                f"{where}: the per-image values are not those of their record: the SHA-256 is "
                "another; restore both files, or delete the record and run the same command again"
            )
        return columns

    def drop(self, cells: Collection[str]) -> None:
        """Remove the records of cells, so that they count as not computed."""
        for cell in cells:
            self.record_path(cell).unlink(missing_ok=True)
        packed = self._packed()
        if not packed.keys().isdisjoint(cells):
            self._write({cell: data for cell, data in packed.items() if cell not in set(cells)})

    def pack(self, newer: Mapping[str, Record]) -> bool:
        """Pack all loose cells, and return whether there was anything to do.

        Records in `newer` take the place of those of the same name.

        The values that a record names are verified. A crash leaves a folder that can be read, and
        packed again. A row that is packed already is written again only if its file has values of
        a cell that is gone.
        """
        loose = set(self.loose())
        records = {cell: self.record(cell) for cell in [*loose, *newer]} | dict(newer)
        packed, changed = dict(self._packed()), bool(records)
        for path, cells in _by_path(self, self.names()).items():
            if loose.isdisjoint(cells) and not _stems(path) - set(map(_name, cells)):
                continue
            rows: dict[str, Columns] = {}
            for cell in cells:
                record = records.get(cell) or self.record(cell)
                if record.status == "ok":
                    rows[cell] = self.columns(cell, record)
                    if cell in loose:
                        digest = digest_of(rows[cell])
                        records[cell] = replace(record, images_sha256="", values_sha256=digest)
            _write_values(path, rows)
            changed = True
        packed |= {cell: record_data(record) for cell, record in records.items()}
        if records:
            self._write(packed)
        self._remove_loose(loose)
        return changed

    def unknown(self, cells: Collection[str]) -> Iterator[str]:
        """Yield a message for all values that belong to none of these cells."""
        ours = _by_path(self, cells)
        for path in sorted((self.root / "images").rglob("*")):
            name = path.relative_to(self.root / "images").with_suffix("").as_posix()
            if path.is_file() and not (name in cells and self.is_loose(name)):
                yield f"{path}: belongs to no record of the board's run.json"
        for path in sorted((self.root / "values").rglob("*")):
            if path.is_dir():
                continue
            if path not in ours:
                yield f"{path}: belongs to no record of the board's run.json"
                continue
            for stem in sorted(_stems(path) - set(map(_name, ours[path]))):
                yield f"{path}: {stem}: belongs to no record of the board's run.json"

    def _packed(self) -> dict[str, Any]:
        """Return the data of each packed record, by cell; RecordError if a line is damaged."""
        if self._read is None:
            self._read = dict(_lines(self.root / PACKED))
        return self._read

    def _write(self, packed: Mapping[str, Any]) -> None:
        lines = [
            json.dumps(
                {"cell": cell, "record": data},
                sort_keys=True,
                separators=(",", ":"),
                ensure_ascii=False,
            )
            for cell, data in sorted(packed.items())
        ]
        write_atomic(self.root / PACKED, "".join(f"{line}\n" for line in lines).encode())
        self._read = dict(packed)

    def _remove_loose(self, cells: Collection[str]) -> None:
        """Remove the loose files of packed cells, also values that a crash has left."""
        for cell in cells:
            self.record_path(cell).unlink()  # first: from now on the packed one counts
        for cell in self._packed():
            self.images_path(cell).unlink(missing_ok=True)
        for top in ("records", "images"):
            for folder in sorted((self.root / top).rglob("*/"), reverse=True):
                with suppress(OSError):  # not empty
                    folder.rmdir()
            with suppress(OSError):
                (self.root / top).rmdir()


def digest_of(columns: Columns) -> str:
    """Return the SHA-256 of per-image values, whatever file holds them, and in whatever order.

    >>> digest_of({"id": np.array(["a"]), "x": np.array([1.0])})[:8]
    '6fe162e4'
    """
    digest = hashlib.sha256()
    for name in sorted(columns):
        values = np.asarray(columns[name])
        if values.dtype.kind in "OUS":
            parts = [v if isinstance(v, bytes) else str(v).encode() for v in values.tolist()]
            kind = "bytes" if any(isinstance(v, bytes) for v in values.tolist()) else "text"
            content = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        else:
            values = values.astype(values.dtype.newbyteorder("<"))
            kind, content = values.dtype.str, values.tobytes()
        head = json.dumps([name, kind, len(values), len(content)])
        digest.update(head.encode() + content)
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    seen = set()
    for number, line in enumerate(lines, 1):
        try:
            found = parse_json(line)
            cell, data = found["cell"], found["record"]
            if not isinstance(cell, str) or len(found) > 2:
                raise ValueError("no cell and record")
            if cell in seen:
                raise ValueError(f"{cell} is there twice")
        except (ValueError, TypeError, KeyError) as error:
            raise RecordError(f"{path}: line {number} is damaged ({error}); restore it") from error
        seen.add(cell)
        yield cell, data


def _by_path(store: Store, cells: Collection[str]) -> dict[Path, list[str]]:
    """Return the cells of each row, by the file of their packed values."""
    found: dict[Path, list[str]] = {}
    for cell in sorted(cells):
        found.setdefault(store.values_path(cell), []).append(cell)
    return found


def _name(cell: str) -> str:
    """Return the name of a cell in its row."""
    return PurePosixPath(cell).name


def _write_values(path: Path, cells: Mapping[str, Columns]) -> None:
    """Write the values of a row's cells; remove the file if there are none."""
    if not cells:
        path.unlink(missing_ok=True)
        return
    longest = sorted(cells.values(), key=lambda columns: -len(columns["id"]))
    ids = list(dict.fromkeys(i for columns in longest for i in columns["id"].tolist()))
    places = {image_id: place for place, image_id in enumerate(ids)}
    table = {"id": pa.array(ids)}
    for cell, columns in cells.items():
        own = [places[i] for i in columns["id"].tolist()]
        in_order = own == sorted(own) and len(columns) > 1
        pick: list[int | None] = [None] * len(ids)
        for row, place in enumerate(own):
            pick[place] = row
        if not in_order:  # as they are, and their own ids beside them
            pick = [*range(len(own)), *[None] * (len(ids) - len(own))]
        for name, values in columns.items():
            if name != "id" or not in_order:
                array = pa.array(np.asarray(values))
                table[f"{_name(cell)}/{name}"] = array.take(pa.array(pick, pa.int64()))
    sink = pa.BufferOutputStream()
    texts = [name for name, array in table.items() if not pa.types.is_floating(array.type)]
    pq.write_table(
        pa.table(table), sink, compression="zstd", use_dictionary=texts, write_statistics=False
    )
    write_atomic(path, sink.getvalue().to_pybytes())


def _unpacked(path: Path, stem: str) -> dict[str, np.ndarray]:
    """Return the columns of one cell of a row's file; ValueError if they are damaged."""
    with pq.ParquetFile(pa.BufferReader(path.read_bytes())) as file:
        names = [n for n in file.schema_arrow.names if n.partition("/")[0] == stem]
        if not names:
            raise ValueError("it has no values of the cell")
        table = file.read(columns=["id", *names]).select(["id", *names])
    present = table.column(names[0]).is_valid()
    if any(not table.column(name).is_valid().equals(present) for name in names):
        raise ValueError("a value is missing")
    kept = {name.partition("/")[2]: table.column(name) for name in names}
    return values_of(pa.table({"id": table.column("id"), **kept}).filter(present))


def _stems(path: Path) -> set[str]:
    """Return the names of the cells that a row's file has values of."""
    try:
        names = pq.read_schema(path).names if path.exists() else []
        return {name.partition("/")[0] for name in names} - {"id"}
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"{path}: the per-image values cannot be read ({error})") from error
