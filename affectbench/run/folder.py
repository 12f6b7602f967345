"""The folder of a run: its lock and its sealed cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from affectbench.errors import RecordError, StorageError
from affectbench.records import (
    Record,
    SavedFaces,
    is_kept,
    read_columns,
    read_record,
    write_columns,
    write_record,
)
from affectbench.run.batches import FOLDER, drop_batches, drop_unsure_batches
from affectbench.run.lock import Present, locked
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.rows import Row
from affectbench.types import Columns


class RunFolder:
    """Cells under `records/` and `images/`, batches under `.partial/` until their cell is sealed.

    A cell is sealed by its record, which is written last: a cell without a record is not finished.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._present: Present | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process; BusyError names the holder otherwise."""
        with locked(self.root) as present:
            self._present = present
            try:
                yield
            finally:
                self._present = None

    def require_present(self) -> None:
        """Raise StorageError if the locked folder was removed or replaced."""
        if self._present is not None and not self._present():
            raise StorageError(
                f"{self.root}: was removed or replaced while the run was under way; run the same "
                "command again"
            )

    @property
    def faces_path(self) -> Path:
        """The path of what is remembered of the faces that were read."""
        return self.root / ".faces.json"

    def record_path(self, cell: Cell) -> Path:
        """Return the path of a cell's record, whether it exists or not."""
        return self.root / "records" / cell.relative.with_suffix(".json")

    def images_path(self, cell: Cell) -> Path:
        """Return the path of a cell's per-image values."""
        return self.root / "images" / cell.relative.with_suffix(".parquet")

    def record(self, cell: Cell) -> Record | None:
        """Return the record of a cell, or None if the cell is not sealed.

        None also if the file belongs to a row or data set that another run named differently, which
        some file systems and rare names allow: the record contains the cell's names.
        """
        path = self.record_path(cell)
        if not path.exists():
            return None
        record = read_record(path)
        data = record.dataset if isinstance(record.dataset, Mapping) else {}
        stated = (record.role, record.row, data.get("name"))
        return record if stated == (*cell.row.key, cell.dataset) else None

    def columns(self, cell: Cell) -> dict[str, np.ndarray]:
        """Return the per-image values of a sealed cell."""
        record = self.record(cell)
        return read_columns(self.images_path(cell), record.images_sha256 if record else "")

    def is_whole(self, cell: Cell, record: Record, ids: Iterable[str]) -> bool:
        """Return whether a sealed cell accounts for each face: by a value or a failure."""
        try:
            found = [str(i) for i in self.columns(cell)["id"]]
        except (RecordError, KeyError):
            return False
        return sorted([*found, *(i for i, _ in record.failed)]) == sorted(ids)

    def discard(self, cell: Cell, *, unfinished: bool = False) -> None:
        """Remove a sealed cell so that it is recomputed; if asked, its `unfinished` batches too."""
        self.record_path(cell).unlink(missing_ok=True)
        if unfinished:
            drop_batches(self.root, cell)

    def discard_unsure(self, cell: Cell) -> None:
        """Remove unfinished batches of a cell if its model may have changed."""
        drop_unsure_batches(self.root, cell)

    def seal(self, cell: Cell, record: Record, columns: Columns | None) -> None:
        """Write a cell's values, then its record, then remove its batches."""
        self.require_present()
        if columns is not None:
            digest = write_columns(columns, self.images_path(cell))
            record = replace(record, images_sha256=digest)
        write_record(record, self.record_path(cell))
        drop_batches(self.root, cell)

    def saved_faces(self, plan: DatasetPlan) -> SavedFaces:
        """Return where the faces of a data set are saved."""
        return SavedFaces(self.root, plan.name, plan.revision)

    def lacks_images(self, plan: DatasetPlan, row: Row, ids: Iterable[str]) -> bool:
        """Return whether HR, LR or this row's SR is missing for one of these faces."""
        saved = self.saved_faces(plan)
        wanted = (
            (saved.hr(i), saved.lr(i), saved.sr(row.label, row.spec.revision, i)) for i in ids
        )
        return not all(is_kept(path) for paths in wanted for path in paths)

    def drop_empty_partials(self) -> None:
        """Remove the folder of unfinished batches if it is empty."""
        partial = self.root / FOLDER
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()
