"""Labelled faces: a folder of images, and a table of their expressions or people's votes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from affectbench.datasets.labels import read_label_table
from affectbench.errors import InputError, listed
from affectbench.images.reading import read_image
from affectbench.images.tensors import stack


@dataclass(frozen=True)
class LabelledFaces:
    """N faces of one size: uint8 images (N, 3, H, W), labelled emotions, and persons.

    `persons` holds a number for each face; faces of unknown persons all get different numbers.
    `emotions` is "" for a face without a label. `votes` (N, 7) counts the people who chose each of
    `EXPRESSIONS`, `all_votes` (N,) all people who were asked.
    """

    name: str
    files: NDArray[np.str_]
    images: torch.Tensor
    emotions: NDArray[np.str_]
    persons: NDArray[np.int64]
    votes: NDArray[np.int64] | None = None
    all_votes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def has_persons(self) -> bool:
        """Whether any person appears more than once."""
        return len(np.unique(self.persons)) < len(self)

    def part(self, keep: NDArray[np.bool_], name: str) -> LabelledFaces:
        """Return the faces selected by a mask (N,); `name` is appended to the name of the set."""
        return LabelledFaces(
            f"{self.name}, {name}",
            self.files[keep],
            self.images[torch.from_numpy(keep)],
            self.emotions[keep],
            self.persons[keep],
            None if self.votes is None else self.votes[keep],
            None if self.all_votes is None else self.all_votes[keep],
        )


def read_faces(folder: Path, table: Path, name: str) -> LabelledFaces:
    """Read the faces that a CSV table lists (`read_label_table`) from a folder.

    Raises InputError, naming the file, for a table that cannot be used, for missing files, and for
    images of different sizes.
    """
    labels = read_label_table(table)
    images = [read_image(folder / file) for file in labels.files]
    odd = [f for f, i in zip(labels.files, images, strict=True) if i.shape != images[0].shape]
    if odd:
        raise InputError(f"{folder}: images of another size than the first: {listed(odd)}")
    return LabelledFaces(
        name=name,
        files=labels.files,
        images=stack(images),
        emotions=labels.emotions,
        persons=np.unique(labels.persons, return_inverse=True)[1].astype(np.int64),
        votes=labels.votes,
        all_votes=labels.all_votes,
    )
