"""Labelled faces: a folder of images and a table `file,emotion[,person]`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affectbench.errors import InputError, listed
from affectbench.images.reading import read_image
from affectbench.images.tensors import stack


@dataclass(frozen=True)
class LabelledFaces:
    """N faces of one size: uint8 images (N, 3, H, W), the labelled emotion, and who it is.

    `persons` holds a number for each face; faces of unknown persons are all different ones.
    """

    name: str
    files: NDArray[np.str_]
    images: torch.Tensor
    emotions: NDArray[np.str_]
    persons: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def has_persons(self) -> bool:
        """Whether somebody is seen more than once."""
        return len(np.unique(self.persons)) < len(self)

    def part(self, keep: NDArray[np.bool_], name: str) -> LabelledFaces:
        """The faces of a mask (N,), under a name added to this one's."""
        return LabelledFaces(
            f"{self.name}, {name}",
            self.files[keep],
            self.images[torch.from_numpy(keep)],
            self.emotions[keep],
            self.persons[keep],
        )


def read_faces(folder: Path, table: Path, name: str) -> LabelledFaces:
    """The faces that a CSV table lists, read from a folder.

    Raises InputError, naming the file, for a table without the columns `file` and `emotion`, for
    files that are not there, and for images of several sizes.
    """
    try:
        rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: the labels cannot be read ({error})") from error
    missing = {"file", "emotion"} - set(rows.columns)
    if missing:
        raise InputError(
            f"{table}: has no column {listed(sorted(missing))}; needed: file, emotion[, person]"
        )
    images = [read_image(folder / file) for file in rows["file"]]
    if not images:
        raise InputError(f"{table}: lists no faces")
    odd = [f for f, i in zip(rows["file"], images, strict=True) if i.shape != images[0].shape]
    if odd:
        raise InputError(f"{folder}: images of another size than the first: {listed(odd)}")
    who = rows["person"] if "person" in rows.columns else rows["file"]
    return LabelledFaces(
        name=name,
        files=rows["file"].to_numpy(dtype=str),
        images=stack(images),
        emotions=rows["emotion"].to_numpy(dtype=str),
        persons=np.unique(who.to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64),
    )
