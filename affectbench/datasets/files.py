"""Faces in files: the one data set class, whatever the folder layout.

An official layout with missing ids is an incomplete download, and an error. A folder of prepared
faces may hold part of a set; its title then gives the number of faces. Either way the data set's
revision is computed from the faces present, so that different selections are never mixed up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from affectbench.arguments import is_folder
from affectbench.errors import InputError, listed
from affectbench.images.formats import SUFFIXES
from affectbench.images.listing import (
    by_id,
    face_id,
    holds_images,
    images_below,
    list_folder,
    list_images,
)
from affectbench.images.opening import require_regular, why_not
from affectbench.images.reading import Pixels, read_image
from affectbench.texts import unicode_text
from affectbench.types import DatasetSpec

Crop = tuple[int, int, int, int]
"""A square in pixels: left, top, right, bottom."""


@dataclass(frozen=True)
class FaceFiles:
    """One file per face. Images of size `whole` are cropped to `crop`; others already are faces.

    `flat` is the folder in which every file should be a face, if there is one.
    """

    spec: DatasetSpec
    paths: Mapping[str, Path]
    whole: tuple[int, int] | None = None
    crop: Crop | None = None
    flat: Path | None = None

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The image ids, sorted: file names without suffix (`images.listing.face_id`)."""
        return tuple(sorted(self.paths))

    def remarks(self) -> list[str]:
        """Return which files of the folder are not faces."""
        remark = list_folder(self.flat).remark() if self.flat else ""
        return [f"{unicode_text(str(self.flat))}: {remark}"] if remark else []

    def read(self, image_id: str) -> Pixels:
        """Return the face (H, W, 3), uint8; InputError, naming the file, if it cannot be read."""
        if image_id not in self.paths:
            raise InputError(f"{self.spec.name}: has no face '{image_id}'")
        pixels = read_image(self.paths[image_id])
        if self.crop is None or pixels.shape[1::-1] != self.whole:
            return pixels
        left, top, right, bottom = self.crop
        return pixels[top:bottom, left:right].copy()


def require_folder(folder: Path | None, spec: DatasetSpec) -> Path:
    """Return the folder of a set whose faces do not ship; InputError if there is none."""
    if folder is None:
        raise InputError(
            f"the faces of '{spec.name}' do not come with affectbench; say where they are with "
            f"--data {spec.name}=DIR, or --data-root DIR if they are in DIR/{spec.name}. "
            f"Layout: {spec.layout}"
        )
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no such folder; layout of '{spec.name}': {spec.layout}"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(why_not(folder, error)) from None
    if not stat.S_ISDIR(mode):
        raise InputError(
            f"{folder}: is a file, not a folder; layout of '{spec.name}': {spec.layout}"
        )
    return folder


def first_folder(*candidates: Path) -> Path | None:
    """Return the first candidate that is an existing folder."""
    return next((path for path in candidates if path.is_dir()), None)


def all_images(folder: Path) -> dict[str, Path]:
    """Return every image directly in a folder by face id, or below it if none is.

    Two with the same id are an error.
    """
    if is_folder(folder) and not holds_images(folder) and (paths := images_below(folder)):
        return by_id(paths)
    return by_id(list_images(folder))


def images_of(folder: Path, ids: Collection[str]) -> dict[str, Path]:
    """Return the images that exist for those ids, fast even among CelebA's 202,599 files."""
    wanted = frozenset(ids)
    with os.scandir(folder) as inside:
        names = sorted(e.name for e in inside if face_id(e.name) in wanted)
    found = by_id(path for name in names if (path := folder / name).suffix.lower() in SUFFIXES)
    for path in found.values():
        require_regular(path)
    return found


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 list, with or without a byte order mark."""
    require_regular(path)
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def select(paths: Mapping[str, Path], ids: Collection[str]) -> dict[str, Path]:
    """Return the entries of `ids` that exist."""
    return {i: paths[i] for i in ids if i in paths}


def require_all(
    paths: Mapping[str, Path], ids: Collection[str], folder: Path, what: str
) -> dict[str, Path]:
    """Return all of `ids`; InputError with the number and names of missing ones."""
    found = select(paths, ids)
    if len(found) < len(ids):
        missing = sorted(set(ids) - set(found))
        raise InputError(
            f"{folder}: {len(missing)} of {len(ids)} {what} are missing: {listed(missing)}; "
            "complete it, or put the faces that you mean into a folder of their own"
        )
    return found


def require_some(
    paths: Mapping[str, Path], ids: Collection[str], folder: Path, what: str
) -> dict[str, Path]:
    """Return the entries of `ids` that exist; InputError if there are none."""
    found = select(paths, ids)
    if not found:
        raise InputError(f"{folder}: holds {len(paths)} images, none of them of {what}")
    return found


def titled(spec: DatasetSpec, title: str) -> DatasetSpec:
    """Return the spec with a title for the faces that were found."""
    return replace(spec, title=title)
