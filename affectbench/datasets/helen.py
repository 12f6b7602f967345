"""Helen: a folder of prepared faces, or faces selected by a list.

The official photos are not square and the face fills an unknown part of them; there is no agreed
crop, so affectbench does not invent one. Crops that keep the photos' names also work in the
official layout. A photo that is not square is rejected when it is read.
"""

from __future__ import annotations

from pathlib import Path

from affectbench.datasets.files import (
    FaceFiles,
    all_images,
    read_lines,
    require_all,
    require_folder,
    titled,
)
from affectbench.errors import InputError
from affectbench.images.formats import SUFFIXES
from affectbench.images.listing import by_id, face_id
from affectbench.types import DatasetPlugin, DatasetSpec

LIST = "testnames.txt"

_SPEC = DatasetSpec(
    name="helen",
    title="Helen",
    framing="helen",
    licence="research only (terms of the Helen authors)",
    layout="square face crops DIR/*; with DIR/testnames.txt (a name a line) only those, which may "
    "also be in DIR/*/*",
    source="Le et al., ECCV 2012",
)


def _open(folder: Path | None) -> FaceFiles:
    folder = require_folder(folder, _SPEC)
    if not (folder / LIST).is_file():
        paths = all_images(folder)
        return FaceFiles(titled(_SPEC, f"Helen, {len(paths):,} faces"), paths, flat=folder)
    names = _names(folder / LIST)
    inside = [*folder.glob("*"), *folder.glob("*/*")]
    images = [p for p in inside if p.suffix.lower() in SUFFIXES and face_id(p.name) in names]
    paths = require_all(by_id(images), names, folder, f"names of {LIST}")
    return FaceFiles(titled(_SPEC, f"Helen, {len(paths):,} faces of {LIST}"), paths)


def _names(path: Path) -> set[str]:
    names = {face_id(name) for line in read_lines(path) for name in line.split()}
    if not names:
        raise InputError(f"{path}: is empty; it lists one image name a line")
    return names


HELEN = DatasetPlugin(_SPEC, _open)
