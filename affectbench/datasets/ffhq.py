"""FFHQ: the test ids 60000 to 69999 in the official layouts, or a folder of faces.

FFHQ has no official test split; its authors call the last 10,000 ids validation. From a flat folder
with official names (five digits), only the test ids are used. Any other names are taken as
renumbered faces: then the ids are unknown, so which models were trained on these faces cannot be
determined, and the title says so.
"""

from __future__ import annotations

import re
from pathlib import Path

from affectbench.datasets.files import (
    FaceFiles,
    all_images,
    first_folder,
    require_all,
    require_folder,
    require_some,
    titled,
)
from affectbench.errors import InputError
from affectbench.types import DatasetPlugin, DatasetSpec

TEST_IDS = tuple(str(i) for i in range(60_000, 70_000))
OFFICIAL = ("thumbnails128x128", "images1024x1024")

_SPEC = DatasetSpec(
    name="ffhq",
    title="FFHQ, ids 60000 to 69999",
    framing="ffhq",
    licence="CC BY-NC-SA 4.0 (the set), each photo by its own licence",
    layout="DIR/thumbnails128x128/60000/60000.png or DIR/images1024x1024/60000/60000.png (ids "
    "60000 to 69999, a folder for each thousand), or face images DIR/*",
    source="Karras et al., CVPR 2019",
)


def _open(folder: Path | None) -> FaceFiles:
    folder = require_folder(folder, _SPEC)
    sizes = [name for name in OFFICIAL if (folder / name).is_dir()]
    if len(sizes) > 1:
        raise InputError(
            f"{folder}: holds {' and '.join(sizes)}, which give different HR faces; choose one, "
            f"such as --data ffhq={folder / sizes[0]}"
        )
    root = folder / sizes[0] if sizes else folder
    if first_folder(*_thousands(root)):
        return _open_numbered(root)
    return _open_flat(root)


def _thousands(root: Path) -> list[Path]:
    """Return the numbered folders that hold the test ids: 60000, 61000, ... 69000."""
    return [root / str(start) for start in range(60_000, 70_000, 1000)]


def _open_numbered(root: Path) -> FaceFiles:
    paths: dict[str, Path] = {}
    for folder in _thousands(root):
        if folder.is_dir():
            paths |= all_images(folder)
    return FaceFiles(_SPEC, require_all(paths, TEST_IDS, root, "ids from 60000 to 69999"))


def _open_flat(root: Path) -> FaceFiles:
    paths = all_images(root)
    if not all(re.fullmatch(r"\d{5}", stem) for stem in paths):
        return FaceFiles(
            titled(_SPEC, f"FFHQ, {len(paths)}-face subset, ids unknown"), paths, flat=root
        )
    paths = require_some(paths, TEST_IDS, root, "the ids 60000 to 69999")
    if len(paths) == len(TEST_IDS):
        return FaceFiles(_SPEC, paths, flat=root)
    title = f"FFHQ, {len(paths):,} of the ids 60000 to 69999"
    return FaceFiles(titled(_SPEC, title), paths, flat=root)


FFHQ = DatasetPlugin(_SPEC, _open)
