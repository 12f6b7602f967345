"""A run's folder: the lock, the sealed cells, and the batches of cells that are under way."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affectbench.errors import BusyError, StorageError
from affectbench.records import (
    Record,
    SavedFaces,
    concatenate,
    read_columns,
    read_record,
    write_atomic,
    write_columns,
    write_record,
)
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.rows import Row
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
        record = self.record(cell)
        return read_columns(self.images_path(cell), record.images_sha256 if record else "")

    def discard(self, cell: Cell) -> None:
        """Forget a sealed cell, so that it is computed again."""
        self.record_path(cell).unlink(missing_ok=True)

    def seal(self, cell: Cell, record: Record, columns: Columns | None) -> None:
        """Write a cell's values, then its record, then drop its batches."""
        if columns is not None:
            digest = write_columns(columns, self.images_path(cell))
            record = replace(record, images_sha256=digest)
        write_record(record, self.record_path(cell))
        for folder in (self.root / ".partial").glob(f"{cell.id}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def saved_faces(self, plan: DatasetPlan) -> SavedFaces:
        """Where the faces of a data set are kept."""
        return SavedFaces(self.root, plan.name, plan.revision)

    def lacks_images(self, plan: DatasetPlan, row: Row, ids: Iterable[str]) -> bool:
        """Whether HR, LR or this row's SR of one of these faces is not kept."""
        saved = self.saved_faces(plan)
        wanted = (
            (saved.hr(i), saved.lr(i), saved.sr(row.label, row.spec.revision, i)) for i in ids
        )
        return not all(path.exists() for paths in wanted for path in paths)

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

    def write(self, number: int, columns: Columns, about: Mapping[str, Any]) -> None:
        """Keep a finished batch; `about` is JSON data about it (failures, seconds)."""
        # The values first: a batch counts as finished once its `about` is there.
        write_columns(columns, self._file(number).with_suffix(".parquet"))
        write_atomic(self._file(number), json.dumps(about).encode())

    def read(self) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """All finished batches in order: joined columns, and what was said about each."""
        done = sorted(self._path.glob("*.json"))
        about = [json.loads(path.read_text(encoding="utf-8")) for path in done]
        parts = [read_columns(path.with_suffix(".parquet")) for path in done]
        parts = [part for part in parts if len(part["id"])]
        return (concatenate(parts) if parts else {}), about

    def _file(self, number: int) -> Path:
        return self._path / f"{number:06d}.json"
