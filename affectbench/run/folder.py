"""A run's folder: the lock, the sealed cells, and the batches of cells that are under way."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from affectbench.errors import BusyError, StorageError
from affectbench.records import (
    Record,
    concatenate,
    read_columns,
    read_record,
    write_columns,
    write_record,
)
from affectbench.run.plan import Cell, slug
from affectbench.types import Columns


class RunFolder:
    """Cells under `records/` and `images/`, batches under `.partial/` until their cell is sealed.

    A sealed cell is a record; it is written last, so that a cell without one is not finished. A
    batch file is named by its number and kept in a folder named by cell, batch size and thread
    count, so that a resumed run repeats whole batches with the same boundaries.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; BusyError says who holds it otherwise.

        The lock is the kernel's (flock), so that a killed process leaves none behind.
        """
        path = self.root / ".lock"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = path.open("a+")
        except OSError as error:
            raise StorageError(
                f"{self.root}: cannot be used as output folder ({error.strerror})"
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                handle.seek(0)
                raise BusyError(f"{self.root} is in use by {handle.read().strip()}") from None
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            handle.flush()
            yield

    def record_path(self, cell: Cell) -> Path:
        """Where the record of a cell lies, whether it exists or not."""
        return self.root / "records" / cell.relative.with_suffix(".json")

    def images_path(self, cell: Cell) -> Path:
        """Where the per-image values of a cell lie."""
        return self.root / "images" / cell.relative.with_suffix(".parquet")

    def record(self, cell: Cell) -> Record | None:
        """The record of a cell, None if it is not sealed."""
        path = self.record_path(cell)
        return read_record(path) if path.exists() else None

    def columns(self, cell: Cell) -> dict[str, np.ndarray]:
        """The per-image values of a sealed cell."""
        return read_columns(self.images_path(cell))

    def discard(self, cell: Cell) -> None:
        """Forget a sealed cell, so that it is computed again."""
        self.record_path(cell).unlink(missing_ok=True)

    def seal(self, cell: Cell, record: Record, columns: Columns | None) -> None:
        """Write a cell's values, then its record, then drop its batches."""
        if columns is not None:
            write_columns(columns, self.images_path(cell))
        write_record(record, self.record_path(cell))
        for folder in (self.root / ".partial").glob(f"{cell.id}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def image_path(self, dataset: str, row: str, image_id: str) -> Path:
        """Where a saved SR image lies: `sr/<data set>/<row>/<id>.png`."""
        return self.root / "sr" / slug(dataset) / slug(row) / f"{image_id}.png"

    def lacks_images(self, dataset: str, row: str, ids: Iterable[str]) -> bool:
        """Whether one of these faces has no saved SR image."""
        return not all(self.image_path(dataset, row, i).exists() for i in ids)

    def drop_empty_partials(self) -> None:
        """Remove the folder of unfinished batches once there are none."""
        partial = self.root / ".partial"
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()


class Batches:
    """The finished batches of one unsealed cell."""

    def __init__(self, folder: RunFolder, cell: Cell, batch_size: int, threads: int) -> None:
        self._path = folder.root / ".partial" / f"{cell.id}-b{batch_size}-t{threads}"

    def has(self, number: int) -> bool:
        """Whether that batch is finished."""
        return self._file(number).exists()

    def write(self, number: int, columns: Columns, extra: dict[str, object]) -> None:
        """Keep a finished batch; `extra` is JSON data about it (failures, seconds)."""
        packed = dict(columns)
        packed["_extra"] = np.array([json.dumps(extra)] * len(columns["id"]), dtype=str)
        if not len(columns["id"]):
            packed = {"_empty": np.array([json.dumps(extra)])}
        write_columns(packed, self._file(number))

    def _file(self, number: int) -> Path:
        return self._path / f"{number:06d}.parquet"

    def read(self) -> tuple[dict[str, np.ndarray], list[dict[str, object]]]:
        """All finished batches in order: joined columns and their extras."""
        parts, extras = [], []
        for path in sorted(self._path.glob("*.parquet")):
            columns = read_columns(path)
            if "_empty" in columns:
                extras.append(json.loads(columns["_empty"][0]))
                continue
            extras.append(json.loads(columns.pop("_extra")[0]))
            parts.append(columns)
        return (concatenate(parts) if parts else {}), extras
