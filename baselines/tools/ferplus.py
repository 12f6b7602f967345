"""FER2013's faces with their FER+ votes as a folder that `affectbench` reads.

    python -m tools.ferplus --data DIR --split private_test --out FACES
    affectbench validate --faces FACES --labels FACES/labels.csv --out study

DIR holds `train.npz`, `public_test.npz` and `private_test.npz` (`images` uint8 (n, 48, 48),
`labels`, `classes`) and `ferplus.npz` (for each split the votes (n, 10), and `columns`), row by row
alike. A face of `public_test` whose pixels are also in `private_test` is left out, of `train` those
in either. The faces belong to whoever has the data: nothing of them is part of this project.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from affectbench.datasets.files import FaceFiles, all_images
from affectbench.errors import AffectBenchError, InputError
from affectbench.types import DatasetPlugin, DatasetSpec

LATER: dict[str, tuple[str, ...]] = {
    "train": ("public_test", "private_test"),
    "public_test": ("private_test",),
    "private_test": (),
}
"""The splits with which a split must not share faces."""

SPEC = DatasetSpec(
    name="ferplus",
    title="FER2013, faces with votes of FER+",
    framing="whole",
    licence="of FER2013: research only; the votes: MIT",
    layout="the folder that `python -m tools.ferplus` writes",
    source="arXiv 1307.0414, arXiv 1608.01041",
)


def open_folder(folder: Path | None) -> FaceFiles:
    """Return the faces of a written folder; raise InputError if there is none."""
    if folder is None:
        raise InputError(f"say where the faces are: --data ferplus=DIR; layout: {SPEC.layout}")
    return FaceFiles(SPEC, all_images(folder))


FERPLUS = DatasetPlugin(SPEC, open_folder)
"""The data set for `compare`: a bare folder would be read as faces of unknown framing."""


def write_folder(data: Path, split: str, out: Path) -> int:
    """Write `labels.csv` and each face as a PNG named by split and row; return their number."""
    images, labels = read_array(data, split, "images"), read_array(data, split, "labels")
    classes = read_array(data, split, "classes")
    votes, columns = read_array(data, "ferplus", split), read_array(data, "ferplus", "columns")
    if not len(images) == len(labels) == len(votes):
        raise InputError(
            f"{data}: {split} has {len(images)} faces, {len(labels)} labels and votes on "
            f"{len(votes)}; they must stand row by row"
        )
    keep = own_rows(data, split)
    out.mkdir(parents=True, exist_ok=True)
    names = [f"{split}-{i:05d}.png" for i in keep]
    for i, name in zip(keep, names, strict=True):
        Image.fromarray(images[i]).save(out / name)
    table = pd.DataFrame({"file": names, "emotion": classes[labels[keep]]})
    for k, column in enumerate(columns):
        table[str(column)] = votes[keep, k]
    table.to_csv(out / "labels.csv", index=False)
    return len(keep)


def own_rows(data: Path, split: str) -> list[int]:
    """Return the rows of a split whose pixels are in no later split."""
    later = (_pixel_hashes(read_array(data, other, "images")) for other in LATER[split])
    taken = {digest for digests in later for digest in digests}
    own = _pixel_hashes(read_array(data, split, "images"))
    return [row for row, digest in enumerate(own) if digest not in taken]


def _pixel_hashes(faces: NDArray[np.uint8]) -> list[bytes]:
    return [hashlib.sha256(np.ascontiguousarray(face).tobytes()).digest() for face in faces]


def read_array(data: Path, file: str, array: str) -> NDArray[Any]:
    """Return one array of an archive; InputError if it is not there or cannot be read."""
    path = data / f"{file}.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[array])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: has no array '{array}' that can be read ({error})") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the folder; exit code 2 for an input error."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.ferplus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=list(LATER), default="private_test")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        write_folder(options.data, options.split, options.out)
    except AffectBenchError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
