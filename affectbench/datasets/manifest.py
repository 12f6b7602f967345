"""Manifests: the exact faces of a data set, identified pixel for pixel without storing any.

Each row has the SHA-256 of the bytes of the HR and the LR array (uint8, row-major, RGB). The
manifests of the leaderboards' sets are part of the package; `verify` reports which faces of a
folder match. JPEG decoders may differ by single levels, so a face that differs on another machine
can still be the same file: first compare the versions of Pillow and of its JPEG library.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from affectbench.datasets.pairs import FacePairs, Hashed, pixels_sha256
from affectbench.errors import InputError, RecordError, listed
from affectbench.texts import parse_json
from affectbench.types import Dataset, TestProtocol, as_json, content_id

if TYPE_CHECKING:
    from affectbench.datasets.remembered import RememberedFaces

FOLDER = Path(__file__).with_name("manifests")
SCHEMA = 1
COLUMNS = ("id", "hr_sha256", "lr_sha256")
THREADS = min(8, os.cpu_count() or 1)
_AT_ONCE = 256


@dataclass(frozen=True)
class Face:
    """One row: SHA-256 of the HR and the LR array."""

    id: str
    hr: str
    lr: str


@dataclass(frozen=True)
class Manifest:
    """The faces of a data set under one protocol, in the order of their ids."""

    protocol: TestProtocol
    faces: tuple[Face, ...]

    @cached_property
    def revision(self) -> str:
        """16 hexadecimal digits that change with any face, any pixel, or the protocol."""
        rows = [[face.id, face.hr, face.lr] for face in self.faces]
        return content_id({"protocol": as_json(self.protocol), "faces": rows})


@dataclass(frozen=True)
class Verification:
    """Comparison of a data set with its committed manifest; each field lists image ids."""

    dataset: str
    protocol: str
    matching: tuple[str, ...]
    hr_differs: tuple[str, ...]
    lr_differs: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the faces are exactly those of the manifest."""
        return not (self.hr_differs or self.lr_differs or self.missing or self.extra)

    def summary(self) -> str:
        """Return a summary of a few lines."""
        expected = sum(map(len, (self.matching, self.hr_differs, self.lr_differs, self.missing)))
        lines = [
            f"{self.dataset} at {self.protocol}: {len(self.matching)} of {expected} faces match",
            _line("differ in HR (another image, crop or JPEG decoder)", self.hr_differs),
            _line("differ in LR only (another resizing)", self.lr_differs),
            _line("are missing", self.missing),
            _line("are not in the manifest", self.extra),
        ]
        return "\n".join(line for line in lines if line)


def make_manifest(
    pairs: FacePairs,
    ids: Iterable[str] | None = None,
    remembered: RememberedFaces | None = None,
) -> Manifest:
    """Read faces (default: all) and hash HR and LR, in the order of `ids`.

    Faces that are `remembered` are not read. Several threads read in parallel. Raises InputError,
    naming the file, for the first face that cannot be used.
    """
    wanted = pairs.dataset.ids if ids is None else tuple(ids)

    def hashed(image_id: str) -> Hashed:
        hr, lr = pairs.read(image_id)
        height, width = hr.shape[:2]
        return Hashed(height, width, pixels_sha256(hr), pixels_sha256(lr))

    known = {i: found for i in wanted if remembered and (found := remembered.find(i))}
    for image_id, face in known.items():
        pairs.expect(image_id, face)
    unknown = [image_id for image_id in wanted if image_id not in known]
    with ThreadPoolExecutor(THREADS) as pool:
        # In small groups: an error stops the work without waiting for all faces.
        for start in range(0, len(unknown), _AT_ONCE):
            some = unknown[start : start + _AT_ONCE]
            known.update(zip(some, pool.map(hashed, some), strict=True))
    if remembered:
        for image_id in unknown:
            remembered.keep(image_id, known[image_id])
    return Manifest(pairs.protocol, tuple(Face(i, known[i].hr, known[i].lr) for i in wanted))


def verify(dataset: Dataset, protocol: TestProtocol) -> Verification:
    """Compare a data set with its committed manifest.

    Raises InputError if there is none for that data set and protocol, or a face cannot be read.
    """
    expected = {face.id: face for face in committed(dataset.spec.name, protocol).faces}
    found = {face.id: face for face in make_manifest(FacePairs(dataset, protocol)).faces}
    both = [i for i in expected if i in found]
    hr_differs = tuple(i for i in both if found[i].hr != expected[i].hr)
    return Verification(
        dataset=dataset.spec.name,
        protocol=protocol.name,
        matching=tuple(i for i in both if found[i] == expected[i]),
        hr_differs=hr_differs,
        lr_differs=tuple(i for i in both if i not in hr_differs and found[i].lr != expected[i].lr),
        missing=tuple(i for i in expected if i not in found),
        extra=tuple(i for i in found if i not in expected),
    )


def committed(name: str, protocol: TestProtocol) -> Manifest:
    """Return the manifest of a leaderboard's data set; InputError if there is none."""
    path = FOLDER / f"{name}-{protocol.name}.csv"
    if not path.is_file():
        known = sorted(p.stem for p in FOLDER.glob("*.csv"))
        raise InputError(
            f"there is no manifest of '{name}' at {protocol.name}; there are: {', '.join(known)}"
        )
    return read_manifest(path)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest as CSV; the first line, after `#`, holds its protocol and revision."""
    head = {"schema": SCHEMA, "revision": manifest.revision, **as_json(manifest.protocol)}
    sink = io.StringIO()
    sink.write(f"# {json.dumps(head)}\n")
    rows = csv.writer(sink, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((face.id, face.hr, face.lr) for face in manifest.faces)
    path.write_text(sink.getvalue(), encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; RecordError if it is damaged, edited, or of a newer schema."""
    try:
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        head = parse_json(first.removeprefix("#"))
        newer = head["schema"] > SCHEMA
        protocol = TestProtocol(**{f.name: head[f.name] for f in fields(TestProtocol)})
        rows = csv.DictReader(io.StringIO(rest))
        faces = tuple(Face(*(row[column] for column in COLUMNS)) for row in rows)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, csv.Error) as error:
        raise RecordError(f"{path}: the manifest cannot be read ({error!r})") from error
    manifest = Manifest(protocol, faces)
    if newer:
        raise RecordError(f"{path}: the manifest is of a newer affectbench; upgrade affectbench")
    if manifest.revision != head.get("revision"):
        raise RecordError(f"{path}: the manifest's rows are not those of its revision; restore it")
    return manifest


def _line(what: str, ids: tuple[str, ...]) -> str:
    return f"{len(ids)} {what}: {listed(ids)}" if ids else ""
