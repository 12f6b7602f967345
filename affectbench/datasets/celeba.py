"""CelebA: the 1,000 test faces of FSRNet and DIC, and the whole official test split.

The official images (178x218) show more than the face. FSRNet's authors cropped a box around each
face and published the crops but not the boxes. `CROP` is our choice: a single square, chosen so
that the median eyes and mouth corners are where they are in those crops, within 0.02 of its side.
(The mean aligned landmarks of CelebA are 69,111 and 108,111 for the eyes, 88,136 for the nose,
72,152 and 105,152 for the mouth; in the crops the median eyes are .363,.373 and .643,.369, the nose
.500,.554, the mouth .383,.651 and .639,.648.) Scores on the official images are therefore close to
those on the crops, but not equal: the two have different revisions.
"""

from __future__ import annotations

import re
from pathlib import Path

from affectbench.datasets.files import (
    Crop,
    FaceFiles,
    all_images,
    first_folder,
    images_of,
    read_lines,
    require_all,
    require_folder,
    require_some,
    titled,
)
from affectbench.errors import InputError
from affectbench.types import DatasetPlugin, DatasetSpec

WHOLE = (178, 218)
"""Width and height of an official image."""

CROP: Crop = (17, 58, 159, 200)
"""The 142x142 square that is cropped from an official image."""

TEST_IDS = tuple(str(i) for i in range(201_600, 202_600))
"""The last 1,000 ids of the official test split."""

OFFICIAL = "img_align_celeba"
PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")
TEST_PARTITION = "2"

_LICENCE = "non-commercial research (terms of the CelebA authors)"

_CELEBA = DatasetSpec(
    name="celeba",
    title="CelebA, the 1,000 test faces of FSRNet and DIC",
    framing="celeba",
    licence=_LICENCE,
    layout="DIR/img_align_celeba/NNNNNN.jpg (178x218), or square face crops DIR/NNNNNN.*; "
    "ids 201600 to 202599",
    source="Liu et al., ICCV 2015; the selection: Chen et al., FSRNet, CVPR 2018",
)

_CELEBA_OFFICIAL = DatasetSpec(
    name="celeba-official",
    title="CelebA, the official test split",
    framing="celeba",
    licence=_LICENCE,
    layout="DIR/img_align_celeba/NNNNNN.jpg (178x218) with list_eval_partition.txt in DIR, in "
    "DIR/Eval or among the images",
    source="Liu et al., ICCV 2015",
)


def _open_celeba(folder: Path | None) -> FaceFiles:
    folder = require_folder(folder, _CELEBA)
    official = _official_images(folder)
    if official:
        paths = require_all(images_of(official, TEST_IDS), TEST_IDS, official, "test ids")
        return FaceFiles(_CELEBA, paths, WHOLE, CROP)
    paths = require_some(all_images(folder), TEST_IDS, folder, "the ids 201600 to 202599")
    spec = _CELEBA
    if len(paths) < len(TEST_IDS):
        spec = titled(spec, f"CelebA, {len(paths)} of the 1,000 test faces of FSRNet and DIC")
    return FaceFiles(spec, paths, WHOLE, CROP, flat=folder)


def _open_official(folder: Path | None) -> FaceFiles:
    folder = require_folder(folder, _CELEBA_OFFICIAL)
    images = _official_images(folder) or folder
    ids = _test_split(_partition_file(folder, images))
    what = "ids of the official test split"
    paths = require_all(images_of(images, ids), ids, images, what)
    return FaceFiles(_CELEBA_OFFICIAL, paths, WHOLE, CROP)


def _official_images(folder: Path) -> Path | None:
    """Return the folder of official images: nested as in archives, or `folder` itself."""
    here = folder if folder.resolve().name == OFFICIAL else folder / OFFICIAL
    return first_folder(here / OFFICIAL, here, folder / "Img" / OFFICIAL)


def _partition_file(folder: Path, images: Path) -> Path:
    places = (folder, folder / "Eval", images, images.parent, images.parent.parent / "Eval")
    for place in places:
        for name in PARTITIONS:
            if (place / name).is_file():
                return place / name
    raise InputError(
        f"{folder}: holds no {PARTITIONS[0]}, which says what the official test split is; put it "
        f"there, or use 'celeba' for 1,000 test faces. Layout: {_CELEBA_OFFICIAL.layout}"
    )


def _test_split(path: Path) -> tuple[str, ...]:
    """Return the ids of the lines `NNNNNN.jpg 2` (separated by blank or comma)."""
    pairs = [re.split(r"[,\s]+", line.strip()) for line in read_lines(path)]
    ids = tuple(pair[0].rpartition(".")[0] for pair in pairs if pair[1:] == [TEST_PARTITION])
    if not ids:
        raise InputError(f"{path}: has no line 'NNNNNN.jpg {TEST_PARTITION}', so no test split")
    return ids


CELEBA = DatasetPlugin(_CELEBA, _open_celeba)
CELEBA_OFFICIAL = DatasetPlugin(_CELEBA_OFFICIAL, _open_official)
