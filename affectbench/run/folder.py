"""The folder of a run: its lock and its sealed cells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from affectbench.errors import RecordError, StorageError
from affectbench.records import (
    Record,
    SavedFaces,
    is_kept,
    write_columns,
    write_record,
)
from affectbench.run.batches import FOLDER, drop_batches, drop_unsure_batches
from affectbench.run.lock import Present, locked
from affectbench.run.plan import Cell, DatasetPlan
from affectbench.run.rows import Row
from affectbench.store import Store
from affectbench.types import Columns


class RunFolder:
    """Cells under `records/` and `images/`, batches under `.partial/` until their cell is sealed.

    A cell is sealed by its record, which is written last: a cell without a record is not finished.
    Cells may also be packed (`affectbench.store`); a cell that is computed again is loose.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root)
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

    def values_where(self, cell: Cell) -> str:
        """Return the place of a cell's per-image values, for messages."""
        return self.store.values_where(name_of(cell))

    def record(self, cell: Cell) -> Record | None:
        """Return the record of a cell, or None if the cell is not sealed.

        None also if the file belongs to a row or data set that another run named differently, which
        some file systems and rare names allow: the record contains the cell's names.
        """
        if not self.store.has(name_of(cell)):
            return None
        record = self.store.record(name_of(cell))
        data = record.dataset if isinstance(record.dataset, Mapping) else {}
        stated = (record.role, record.row, data.get("name"))
        return record if stated == (*cell.row.key, cell.dataset) else None

    def columns(self, cell: Cell) -> dict[str, np.ndarray]:
        """Return the per-image values of a sealed cell."""
        return self.store.columns(name_of(cell), self.store.record(name_of(cell)))

    def is_whole(self, cell: Cell, record: Record, ids: Iterable[str]) -> bool:
        """Return whether a sealed cell accounts for each face: by a value or a failure."""
        try:
            found = [str(i) for i in self.columns(cell)["id"]]
        except (RecordError, KeyError):
            return False
        return sorted([*found, *(i for i, _ in record.failed)]) == sorted(ids)

    def discard(self, cells: Collection[Cell], *, unfinished: bool = False) -> None:
        """Remove sealed cells so that they are recomputed; if asked, `unfinished` batches too.

        Unfinished batches of a cell whose model may have changed are always removed.
        """
        self.store.drop([name_of(cell) for cell in cells])
        for cell in cells:
            if unfinished:
                drop_batches(self.root, cell)
            drop_unsure_batches(self.root, cell)

    def seal(self, cell: Cell, record: Record, columns: Columns | None) -> None:
        """Write a cell's values, then its record, then remove its batches."""
        self.require_present()
        if columns is not None:
            digest = write_columns(columns, self.store.images_path(name_of(cell)))
            record = replace(record, images_sha256=digest)
        write_record(record, self.store.record_path(name_of(cell)))
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


def name_of(cell: Cell) -> str:
    """Return the name of a cell in `run.json` and in the folder."""
    return cell.relative.with_suffix("").as_posix()
