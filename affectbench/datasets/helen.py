"""Helen: a folder of ready faces, or faces chosen by a list.

The official photos are not square and the face fills an unknown part of them; there is no agreed
crop, so affectbench does not make one up. Crops that keep the photos' names work in the official
layout too. A photo that is not square is refused when it is read.
"""

from __future__ import annotations

from pathlib import Path

from affectbench.datasets.files import FaceFiles, all_images, require_all, require_folder, titled
from affectbench.errors import InputError
from affectbench.images.reading import SUFFIXES, by_stem
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
        return FaceFiles(titled(_SPEC, f"Helen, {len(paths):,} faces"), paths)
    names = _names(folder / LIST)
    inside = [*folder.glob("*"), *folder.glob("*/*")]
    images = [path for path in inside if path.suffix.lower() in SUFFIXES and path.stem in names]
    paths = require_all(by_stem(images), names, folder, f"names of {LIST}")
    return FaceFiles(titled(_SPEC, f"Helen, {len(paths):,} faces of {LIST}"), paths)


def _names(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not lines:
        raise InputError(f"{path}: is empty; it lists one image name a line")
    return {Path(n).stem if Path(n).suffix.lower() in SUFFIXES else n for n in lines}


HELEN = DatasetPlugin(_SPEC, _open)
