"""Hashes of faces from an earlier run, for files that have not changed since.

A file counts as unchanged if its size, its times of modification and of change, and its inode are
the same: it is then not decoded again. A file that was modified just before it was read is not
remembered, since it could change once more within the same tick of the clock. What is remembered
holds for one protocol, one crop, and one version of affectbench and Pillow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL

from affectbench import __version__
from affectbench.datasets.files import FaceFiles
from affectbench.datasets.pairs import Hashed
from affectbench.errors import StorageError
from affectbench.records import write_atomic
from affectbench.texts import parse_json
from affectbench.types import Dataset, TestProtocol, as_json, content_id

SCHEMA = 1
SETTLED_NS = 2_000_000_000
"""Age of a file from which its times tell every later change."""

State = tuple[int, int, int, int]
"""Size, time of modification, time of change (in nanoseconds) and inode of a file."""


@dataclass
class RememberedFaces:
    """The faces of one data set under one protocol."""

    paths: Mapping[str, Path]
    rows: dict[str, tuple[State, Hashed]]
    changed: bool = False
    _states: dict[str, State] = field(default_factory=dict)

    def find(self, image_id: str) -> Hashed | None:
        """Return what was remembered of a face, if its file is unchanged."""
        try:
            found = self.paths[image_id].stat()
        except (KeyError, OSError, ValueError):
            return None  # reading it raises an error that names the file
        state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        self._states[image_id] = state
        old, hashed = self.rows.get(image_id, (None, None))
        return hashed if old == state else None

    def keep(self, image_id: str, hashed: Hashed) -> None:
        """Remember a face that was read after `find` had looked for it."""
        state = self._states.get(image_id)
        self.changed = True
        self.rows.pop(image_id, None)
        if state and max(state[1:3]) < time.time_ns() - SETTLED_NS:
            self.rows[image_id] = (state, hashed)


class FaceMemory:
    """What a file remembers of the faces of all data sets; a damaged file remembers nothing.

    With `fresh`, every face is read again, and remembered anew.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._path, self._fresh = path, fresh
        self._sets: dict[str, RememberedFaces] = {}
        self._stored = _load(path)

    def of(self, dataset: Dataset, protocol: TestProtocol) -> RememberedFaces | None:
        """Return the faces of a data set; None if it does not say which files it reads."""
        if not isinstance(dataset, FaceFiles):
            return None
        key = content_id(
            {
                "set": dataset.spec.name,
                "protocol": as_json(protocol),
                "crop": [dataset.whole, dataset.crop],
                "versions": [__version__, PIL.__version__],
            }
        )
        if key not in self._sets:
            rows = {} if self._fresh else _rows(self._stored.get(key))
            self._sets[key] = RememberedFaces(dataset.paths, rows)
        return self._sets[key]

    def save(self) -> None:
        """Write the file, if there is anything new; a full disk must not end the run here."""
        if not any(faces.changed for faces in self._sets.values()):
            return
        sets = {
            **self._stored,
            **{
                key: {
                    image_id: [*state, *vars(hashed).values()]
                    for image_id, (state, hashed) in faces.rows.items()
                }
                for key, faces in self._sets.items()
            },
        }
        content = {"schema": SCHEMA, "digest": content_id(sets), "sets": sets}
        try:
            write_atomic(self._path, json.dumps(content).encode(), durable=False)
        except StorageError:
            return


def _load(path: Path) -> dict[str, Any]:
    try:
        data = parse_json(path.read_bytes())
        sets: dict[str, Any] = data["sets"]
        known = data["schema"] == SCHEMA and data["digest"] == content_id(sets)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return sets if known else {}


def _rows(stored: Any) -> dict[str, tuple[State, Hashed]]:
    rows = {}
    for image_id, row in (stored or {}).items():
        size, modified, changed, inode, *hashed = row
        rows[image_id] = ((size, modified, changed, inode), Hashed(*hashed))
    return rows
