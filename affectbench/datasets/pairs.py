"""The HR/LR pairs of a data set under a protocol; the first ones are cached after reading."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from affectbench.datasets.protocol import face_pair, given_pair
from affectbench.errors import ChangedError, InputError
from affectbench.images.reading import Pixels, read_image
from affectbench.types import Dataset, TestProtocol

KEPT_BYTES = 1 << 26
"""Enough for 1,300 faces of 128 pixels; beyond it, memory does not grow with the data set."""


@dataclass(frozen=True)
class Hashed:
    """Height and width of HR, and the SHA-256 of the pixels of HR and of LR."""

    height: int
    width: int
    hr: str
    lr: str


class FacePairs:
    """HR and LR faces by id.

    A run reads each face twice, the first time to hash it. Up to `KEPT_BYTES` of pairs stay in
    memory for the second time; for the others a hash is kept, so that a face that has changed in
    between is an error: the data set of a run is exactly what was hashed. What an earlier run
    hashed is read once, and must still be the same. Safe to call concurrently. `lr` holds the files
    of LR faces that exist already (`given`).
    """

    def __init__(
        self, dataset: Dataset, protocol: TestProtocol, lr: Mapping[str, Path] | None = None
    ) -> None:
        self.dataset, self.protocol, self._lr = dataset, protocol, lr
        self._kept: dict[str, tuple[Pixels, Pixels]] = {}
        self._seen: dict[str, tuple[int | str, ...]] = {}
        self._earlier: set[str] = set()
        self._left, self._lock = KEPT_BYTES, Lock()

    def read(self, image_id: str) -> tuple[Pixels, Pixels]:
        """Return HR and LR of one face, which must not be modified; errors as in `face_pair`.

        Raises ChangedError for a face that has changed since it was first read.
        """
        kept = self._kept.get(image_id)
        if kept is not None:
            return kept
        hr, lr = self._pair(image_id)
        size = hr.nbytes + lr.nbytes
        known = image_id in self._seen
        if known:
            self._require_same(image_id, hr, lr)
        with self._lock:
            if image_id in self._kept:  # another thread was faster
                return self._kept[image_id]
            if size <= self._left:
                self._kept[image_id] = (hr, lr)
                self._left -= size
                return hr, lr
        if not known:
            self._require_same(image_id, hr, lr)
        return hr, lr

    def _pair(self, image_id: str) -> tuple[Pixels, Pixels]:
        hr = self._read(image_id)
        if self._lr is None:
            return face_pair(hr, self.protocol, image_id)
        return given_pair(hr, read_image(self._lr[image_id]), self.protocol, image_id)

    def expect(self, image_id: str, face: Hashed) -> None:
        """Expect a face to be what an earlier run read: it is not read to be hashed."""
        self._seen[image_id] = (face.height, face.width, face.hr)
        self._earlier.add(image_id)

    def __getstate__(self) -> dict[str, object]:
        """Return what travels to another process: every face's hash instead of its pixels."""
        for image_id, (hr, lr) in self._kept.items():
            self._require_same(image_id, hr, lr)
        return {**self.__dict__, "_kept": {}, "_left": KEPT_BYTES, "_lock": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = Lock()

    def _read(self, image_id: str) -> Pixels:
        try:
            return self.dataset.read(image_id)
        except InputError as error:
            if image_id not in self._seen:
                raise
            raise ChangedError(f"{error}; it could be read when the run began") from error

    def _require_same(self, image_id: str, hr: Pixels, lr: Pixels) -> None:
        """Raise ChangedError if the face has changed; where LR is made from HR, HR is enough."""
        found: tuple[int | str, ...] = (hr.shape[0], hr.shape[1], pixels_sha256(hr))
        if self._lr is not None:
            found = (*found, pixels_sha256(lr))
        if self._seen.setdefault(image_id, found) != found:
            path = getattr(self.dataset, "paths", {}).get(image_id, image_id)
            if image_id in self._earlier:
                raise ChangedError(
                    f"{path}: is not what an earlier run read, although its size and times are "
                    "the same; run again with --verify"
                )
            raise ChangedError(
                f"{path}: changed while the run was under way; run again "
                "when nothing writes to the faces any more"
            )


def pixels_sha256(pixels: Pixels) -> str:
    """Return the SHA-256 of the bytes of an image (H, W, 3), row by row."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
