"""Any folder of faces, under the name that the user gives it."""

from __future__ import annotations

from pathlib import Path

from affectbench.datasets.files import FaceFiles, all_images
from affectbench.types import DatasetSpec


def open_folder(name: str, folder: Path) -> FaceFiles:
    """Every image directly in a folder. Nothing is known of the framing: the centre is used.

    Raises InputError if it is no folder, holds no images, or two of one name.
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
    return FaceFiles(spec, paths, flat=folder)
