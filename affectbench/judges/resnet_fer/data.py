"""FER2013 as arrays. The private test split is opened here for its pixel hashes only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .network import CLASSES


@dataclass(frozen=True)
class Split:
    """Faces (N,48,48) uint8 and labels (N,) int64, indices into `CLASSES`."""

    faces: Tensor
    labels: Tensor

    def batch(self, indices: Tensor) -> Tensor:
        """The chosen faces as (n,1,48,48) floats in [0,1]."""
        return self.faces[indices].float().div_(255.0).unsqueeze(1)

    def all_faces(self) -> Tensor:
        """Every face as (N,1,48,48) floats in [0,1]."""
        return self.faces.float().div_(255.0).unsqueeze(1)


def pixel_hashes(faces: NDArray[np.uint8]) -> list[str]:
    """SHA-256 of each face's pixels."""
    return [hashlib.sha256(np.ascontiguousarray(face).tobytes()).hexdigest() for face in faces]


def load_split(folder: Path, name: str) -> Split:
    """Read `train`, `public_test` or `private_test`; the public one without private duplicates."""
    with np.load(folder / f"{name}.npz") as archive:
        classes = tuple(str(item) for item in archive["classes"])
        if classes != CLASSES:
            raise ValueError(f"{name}: unexpected class order {classes}")
        faces = np.asarray(archive["images"], dtype=np.uint8)
        labels = np.asarray(archive["labels"], dtype=np.int64)
    if name == "public_test":
        with np.load(folder / "private_test.npz") as archive:
            private = set(pixel_hashes(np.asarray(archive["images"], dtype=np.uint8)))
        keep = np.array([digest not in private for digest in pixel_hashes(faces)])
        faces, labels = faces[keep], labels[keep]
    return Split(torch.from_numpy(faces), torch.from_numpy(labels))
