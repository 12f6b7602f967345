"""The finished batches of one cell that is not sealed yet.

A batch is finished once each of its faces has a row: values, or the reason why the model produced
nothing. A batch whose file is missing, empty or damaged (a crash can leave an empty one) is
computed again, never skipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectbench.errors import RecordError, StorageError, listed
from affectbench.records import concatenate, read_columns, write_atomic, write_columns
from affectbench.run.plan import Cell
from affectbench.types import Columns, content_id

FOLDER = ".partial"

Numbered = Iterable[tuple[int, tuple[str, ...]]]
"""Batch numbers with their ids, as returned by `DatasetPlan.batches`."""


@dataclass(frozen=True)
class Batches:
    """Files in a folder named by cell, location, batch size and threads.

    So a resumed run repeats whole batches with the same boundaries, and two rows with the same
    content share nothing.
    """

    root: Path
    cell: Cell
    batch_size: int
    threads: int

    def has(self, number: int, ids: Sequence[str]) -> bool:
        """Return whether that batch, with these faces, is finished."""
        return self._finished(number, ids) is not None

    def write(self, number: int, columns: Columns, about: Mapping[str, Any]) -> None:
        """Store a finished batch; `about` is JSON data about it (failures, seconds)."""
        # Values first: a batch counts as finished once its `about` exists.
        write_columns(columns, self._file(number).with_suffix(".parquet"), durable=False)
        write_atomic(self._file(number), json.dumps(about).encode(), durable=False)

    def read(self, batches: Numbered) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """Return all batches in order: joined columns, and the `about` data of each.

        Raises StorageError if one is missing: finished batches have been removed in the meantime.
        """
        found, gone = [], []
        for number, ids in batches:
            finished = self._finished(number, ids)
            if finished is None:
                gone.append(number)
            else:
                found.append(finished)
        if gone:
            raise StorageError(
                f"{self._folder}: finished batches were removed or damaged while the run was under "
                f"way ({listed(map(str, gone))}); run the same command again, what is left is kept"
            )
        parts = [columns for columns, _ in found if len(columns["id"])]
        return (concatenate(parts) if parts else {}), [about for _, about in found]

    @property
    def _folder(self) -> Path:
        return self.root / FOLDER / f"{_stem(self.cell)}-b{self.batch_size}-t{self.threads}"

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _finished(
        self, number: int, ids: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        path = self._file(number)
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            columns = read_columns(path.with_suffix(".parquet"))
            failed = {str(image_id) for image_id, _why in about["failed"]}
            wanted = [image_id for image_id in ids if image_id not in failed]
            whole = failed <= set(ids) and list(map(str, columns["id"])) == wanted
        except (OSError, ValueError, TypeError, KeyError, RecordError):
            return None
        return (columns, about) if whole else None


def drop_batches(root: Path, cell: Cell) -> None:
    """Remove the batches of a cell, for any batch size and number of threads."""
    for folder in _folders(root, cell):
        shutil.rmtree(folder, ignore_errors=True)


def drop_unsure_batches(root: Path, cell: Cell) -> None:
    """Remove the batches of a cell if its model may have changed."""
    for folder in _folders(root, cell):
        if cell.row.spec.revision_lacks or any(map(_is_unsure, folder.glob("*.json"))):
            shutil.rmtree(folder, ignore_errors=True)


def _is_unsure(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("lacks"))
    except (OSError, ValueError, AttributeError):
        return True


def _folders(root: Path, cell: Cell) -> Iterator[Path]:
    return (root / FOLDER).glob(f"{_stem(cell)}-*")


def _stem(cell: Cell) -> str:
    return f"{cell.id}-r{content_id({'place': cell.relative.as_posix()})[:8]}"
