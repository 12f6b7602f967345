"""Any metric on the face regions `crop/2`, which are found on the reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from affectbench.faces.landmarks import Landmarker
from affectbench.faces.oval_crop import Square, cut_square, oval_squares
from affectbench.types import Columns, ImageMetric


@dataclass(frozen=True)
class _Group:
    """Faces of a batch whose regions have one size: where they are in it, and their results."""

    faces: tuple[int, ...]
    squares: tuple[Square, ...]
    found: bool
    reference: Any

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """The regions (n, 3, side, side)."""
        return _cut(images, self.faces, self.squares)


class OnReferenceFaces:
    """A metric that takes whole images, given the face region of each reference instead.

    Regions are not resampled here: the metric is given those of one size together. A face whose
    landmarks are not found on the reference has NaN in all columns of numbers, and is counted as
    one without a value.
    """

    def __init__(self, metric: ImageMetric, landmarker: Landmarker) -> None:
        self._metric, self._landmarker = metric, landmarker

    def reference(self, hr: torch.Tensor) -> list[_Group]:
        """Regions of the HR images and what the metric keeps of them."""
        landmarks = self._landmarker(hr)
        height, width = hr.shape[-2:]
        squares = oval_squares(landmarks.points, height, width)
        members: dict[tuple[bool, int], list[int]] = defaultdict(list)
        # A face without landmarks takes part with a region of its own, so that a batch of such
        # faces has columns too; its values are blanked out.
        for face, found in enumerate(landmarks.found.tolist()):
            if not found:
                squares[face] = Square(0, 0, min(height, width))
            members[found, squares[face].side].append(face)
        return [
            self._group(hr, tuple(faces), [squares[face] for face in faces], found)
            for (found, _), faces in sorted(members.items())
        ]

    def _group(
        self, hr: torch.Tensor, faces: tuple[int, ...], squares: Sequence[Square], found: bool
    ) -> _Group:
        regions = _cut(hr, faces, squares)
        return _Group(faces, tuple(squares), found, self._metric.reference(regions))

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: list[_Group]) -> Columns:
        """The metric's columns; yes and no become 1 and 0, so that NaN fits in."""
        parts = []
        for group in reference:
            columns = self._metric.score(group.cut(sr), group.cut(hr), group.reference)
            parts.append(columns if group.found else _blank(columns))
        order = np.argsort([face for group in reference for face in group.faces])
        names = parts[0].keys()
        joined = {name: np.concatenate([_number(part[name]) for part in parts]) for name in names}
        return {name: values[order] for name, values in joined.items()}


def _cut(images: torch.Tensor, faces: Sequence[int], squares: Sequence[Square]) -> torch.Tensor:
    pairs = zip(faces, squares, strict=True)
    return torch.stack([cut_square(images[face], square) for face, square in pairs])


def _number(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(np.float64) if values.dtype == np.bool_ else values


def _blank(columns: Columns) -> Mapping[str, np.ndarray[Any, Any]]:
    """NaN for each number; texts stay, for a face without a value is in no class."""
    return {
        name: values if values.dtype.kind == "U" else np.full_like(_number(values), np.nan)
        for name, values in columns.items()
    }
