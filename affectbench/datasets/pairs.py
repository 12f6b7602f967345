"""The pairs of a data set under a protocol, the first ones kept once they were read."""

from __future__ import annotations

from threading import Lock

from affectbench.datasets.protocol import face_pair
from affectbench.images.reading import Pixels
from affectbench.types import Dataset, TestProtocol

KEPT_BYTES = 1 << 26
"""Enough for 1,300 faces of 128 pixels; memory does not grow with the data set beyond it."""


class FacePairs:
    """HR and LR faces by their ids.

    A run reads each face twice, first to hash it: up to `KEPT_BYTES` of pairs stay in memory for
    the second time. Threads may read at once.
    """

    def __init__(self, dataset: Dataset, protocol: TestProtocol) -> None:
        self.dataset, self.protocol = dataset, protocol
        self._kept: dict[str, tuple[Pixels, Pixels]] = {}
        self._left, self._lock = KEPT_BYTES, Lock()

    def read(self, image_id: str) -> tuple[Pixels, Pixels]:
        """HR and LR of one face, not to be written to; errors as in `face_pair`."""
        kept = self._kept.get(image_id)
        if kept is not None:
            return kept
        hr, lr = face_pair(self.dataset.read(image_id), self.protocol, image_id)
        size = hr.nbytes + lr.nbytes
        with self._lock:
            if size <= self._left and image_id not in self._kept:
                self._kept[image_id] = (hr, lr)
                self._left -= size
        return hr, lr
