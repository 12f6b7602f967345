"""The pairs of a data set under a protocol, the first ones kept once they were read."""

from __future__ import annotations

import hashlib
from threading import Lock

from affectbench.datasets.protocol import face_pair
from affectbench.errors import ChangedError, InputError
from affectbench.images.reading import Pixels
from affectbench.types import Dataset, TestProtocol

KEPT_BYTES = 1 << 26
"""Enough for 1,300 faces of 128 pixels; memory does not grow with the data set beyond it."""


class FacePairs:
    """HR and LR faces by their ids.

    A run reads each face twice, first to hash it: up to `KEPT_BYTES` of pairs stay in memory for
    the second time. Of the others a hash stays, so that a face that is another one the second time
    is an error: a run's data set is what was hashed. Threads may read at once.
    """

    def __init__(self, dataset: Dataset, protocol: TestProtocol) -> None:
        self.dataset, self.protocol = dataset, protocol
        self._kept: dict[str, tuple[Pixels, Pixels]] = {}
        self._hashes: dict[str, bytes] = {}
        self._left, self._lock = KEPT_BYTES, Lock()

    def read(self, image_id: str) -> tuple[Pixels, Pixels]:
        """HR and LR of one face, not to be written to; errors as in `face_pair`.

        Raises ChangedError for a face that was another one before.
        """
        kept = self._kept.get(image_id)
        if kept is not None:
            return kept
        hr, lr = face_pair(self._read(image_id), self.protocol, image_id)
        size = hr.nbytes + lr.nbytes
        with self._lock:
            if image_id in self._kept:  # another thread was faster
                return self._kept[image_id]
            if size <= self._left and image_id not in self._hashes:
                self._kept[image_id] = (hr, lr)
                self._left -= size
                return hr, lr
        self._require_same(image_id, hr)
        return hr, lr

    def _read(self, image_id: str) -> Pixels:
        try:
            return self.dataset.read(image_id)
        except InputError as error:
            if image_id not in self._hashes:
                raise
            raise ChangedError(f"{error}; it could be read when the run began") from error

    def _require_same(self, image_id: str, hr: Pixels) -> None:
        """LR is made of HR, so that HR's hash is enough."""
        found = hashlib.sha256(f"{hr.shape}".encode() + hr.tobytes()).digest()
        if self._hashes.setdefault(image_id, found) != found:
            paths = getattr(self.dataset, "paths", {})
            raise ChangedError(
                f"{paths.get(image_id, image_id)}: changed while the run was under way; run again "
                "when nothing writes to the faces any more"
            )
