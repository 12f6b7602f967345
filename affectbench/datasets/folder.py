"""Any folder of faces, under a name chosen by the user."""

from __future__ import annotations

from pathlib import Path

from affectbench.datasets.files import FaceFiles, all_images
from affectbench.images.listing import holds_images
from affectbench.types import DatasetSpec


def open_folder(name: str, folder: Path) -> FaceFiles:
    """Return all images directly in a folder, or below it if none is.

    The framing is unknown: `centre` is used. Raises InputError if it is not a folder, holds no
    images, or holds two with the same name.
    """
    paths = all_images(folder)
    spec = DatasetSpec(
        name=name,
        title=f"a folder of {len(paths):,} faces",
        framing="centre",
        licence="unknown",
        layout="square face images DIR/*",
        source="a folder of the user",
    )
    return FaceFiles(spec, paths, flat=folder if holds_images(folder) else None)
