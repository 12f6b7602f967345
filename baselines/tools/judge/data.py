"""FER2013's faces with their FER+ votes, without near-duplicates of test faces.

Votes count where at least half of the raters saw one of the seven expressions: contempt, unknown
and "not a face" are not among them, and a face for which most raters chose those is excluded. The
votes for the seven are then normalised to shares. Only `evaluate` reads more of the private test
than its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectbench.types import EXPRESSIONS
from tools.judge.duplicates import SAME_PICTURE, similarity

COLUMNS = {
    "neutral": "neutral",
    "happy": "happiness",
    "surprise": "surprise",
    "sad": "sadness",
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
}
SPLITS = ("train", "public_test", "private_test")
_LATER = {"train": ("public_test", "private_test"), "public_test": ("private_test",)}


@dataclass(frozen=True)
class Split:
    """Faces (N,48,48) uint8, shares of votes (N,7) and FER2013's own labels (N,) of one split.

    `agreed` (N,) is where one expression has more than half of *all* votes, unknown ones included.
    """

    faces: Tensor
    shares: Tensor
    labels: Tensor
    agreed: Tensor
    counts: dict[str, int]

    def batch(self, indices: Tensor) -> Tensor:
        """Return the chosen faces as (n,1,48,48) floats in [0,1]."""
        return self.faces[indices].float().div_(255.0).unsqueeze(1)

    def all_faces(self) -> Tensor:
        """Return every face as (N,1,48,48) floats in [0,1]."""
        return self.faces.float().div_(255.0).unsqueeze(1)


def load_split(folder: Path, name: str, cache: Path) -> Split:
    """Read `train`, `public_test` or `private_test`; similarities are kept in the file `cache`.

    Faces of a split that resemble one of a later split are dropped, then those without votes and
    those that most raters gave to none of the seven expressions.
    """
    faces, labels = _read(folder, name)
    votes = _votes(folder, name)
    unlike = np.ones(len(faces), dtype=bool)
    if later := _LATER.get(name):
        nearest = np.maximum.reduce([_similarity(folder, name, other, cache) for other in later])
        unlike = nearest < SAME_PICTURE
    seven = votes[:, [_column(folder, item) for item in EXPRESSIONS]].astype(np.float32)
    total, mass = votes.sum(1), seven.sum(1)
    usable = (total > 0) & (2 * mass >= total)
    keep = unlike & usable
    counts = {
        "faces": len(faces),
        "resemble_a_test_face": int((~unlike).sum()),
        "without_votes": int((unlike & (total == 0)).sum()),
        "mostly_none_of_the_seven": int((unlike & (total > 0) & ~usable).sum()),
        "kept": int(keep.sum()),
    }
    shares = seven[keep] / mass[keep, None]
    return Split(
        torch.from_numpy(faces[keep]),
        torch.from_numpy(shares),
        torch.from_numpy(labels[keep]),
        torch.from_numpy(2 * seven[keep].max(1) > total[keep]),
        counts,
    )


def _read(folder: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(folder / f"{name}.npz") as archive:
        classes = [str(item) for item in archive["classes"]]
        order = np.array([EXPRESSIONS.index(item) for item in classes])
        return np.asarray(archive["images"], dtype=np.uint8), order[archive["labels"]]


def _votes(folder: Path, name: str) -> NDArray[np.int64]:
    with np.load(folder / "ferplus.npz") as archive:
        return np.asarray(archive[name], dtype=np.int64)


def _column(folder: Path, expression: str) -> int:
    with np.load(folder / "ferplus.npz") as archive:
        return [str(item) for item in archive["columns"]].index(COLUMNS[expression])


def _similarity(folder: Path, name: str, other: str, cache: Path) -> NDArray[np.float32]:
    """Return the largest correlation of each face of `name` with a face of `other`."""
    stored: dict[str, Any] = {}
    if cache.exists():
        with np.load(cache) as archive:
            stored = {key: archive[key] for key in archive}
    key = f"{name}|{other}"
    if key not in stored:
        first, second = (torch.from_numpy(_read(folder, item)[0]) for item in (name, other))
        stored[key] = similarity(first, second).numpy()
        np.savez(cache, **stored)
    return np.asarray(stored[key], dtype=np.float32)
