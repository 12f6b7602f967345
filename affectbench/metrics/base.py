"""Shared by all metric families: device, chunks, no autocast, size check, windows, regions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from affectbench.errors import InputError
from affectbench.faces.landmarks import Landmarker
from affectbench.faces.masks import region_masks
from affectbench.faces.oval_crop import Square, cut_square, oval_squares
from affectbench.images.tensors import ImageLike, as_pair, require_same_shape
from affectbench.metrics.conventions import size_gap
from affectbench.types import Columns, ImageMetric, MetricSpec

CHUNK_VALUES = 1 << 22
"""Image values processed per chunk, so that memory does not grow with the batch."""

PairFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A function of SR and HR (N, 3, H, W), uint8, that returns one value per image (N,)."""


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Disable gradients, and autocast, which would change the numbers."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def require_side(metric: str, needed: int, images: torch.Tensor) -> None:
    """Raise InputError for images (N, C, H, W) that are smaller than a metric needs."""
    height, width = images.shape[-2:]
    if gap := size_gap(metric, needed, height, width):
        raise InputError(gap)


def pair_values(
    spec: MetricSpec,
    measure: PairFunction,
    sr: torch.Tensor,
    hr: torch.Tensor,
    chunk_values: int = CHUNK_VALUES,
) -> torch.Tensor:
    """Return a measure (N,) of uint8 images (N, 3, H, W), in chunks, without gradient or autocast.

    Raises InputError if the shapes differ or the images are smaller than the spec requires.
    """
    require_same_shape(sr, hr)
    require_side(spec.name, spec.min_size, sr)
    images = max(1, chunk_values // sr[0].numel())
    chunks = zip(torch.split(sr, images), torch.split(hr, images), strict=True)
    with undisturbed(sr.device):
        return torch.cat([measure(x, y) for x, y in chunks])


def measured(
    spec: MetricSpec,
    measure: PairFunction,
    sr: ImageLike,
    hr: ImageLike,
    chunk_values: int = CHUNK_VALUES,
) -> torch.Tensor:
    """Return a measure of images in any form that users may pass: float64 (N,)."""
    return pair_values(spec, measure, *as_pair(sr, hr), chunk_values).double()


class PairMetric:
    """A pairwise measure behind the runner's interface: uint8 images (N, 3, H, W)."""

    def __init__(self, spec: MetricSpec, measure: PairFunction, device: torch.device) -> None:
        self._spec, self._measure, self._device = spec, measure, device

    def reference(self, hr: torch.Tensor) -> None:  # noqa: ARG002
        """Return nothing: caching anything about HR would take as much memory as HR itself."""
        return

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: None) -> Columns:  # noqa: ARG002
        """Return one column, named after the metric."""
        sr, hr = sr.to(self._device), hr.to(self._device)
        values = pair_values(self._spec, self._measure, sr, hr)
        return {self._spec.name: values.cpu().numpy().astype(np.float64)}


def gaussian_taps(size: int, sigma: float) -> list[float]:
    """Return the weights of a Gaussian window along one side, normalised to sum 1."""
    offsets = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return [float(weight) for weight in weights / weights.sum()]


def window_means(planes: torch.Tensor, taps: Sequence[float]) -> torch.Tensor:
    """Return the weighted window means of planes (N, C, H, W), for windows inside the plane."""
    for axis in (-1, -2):
        planes = _filtered_along(planes, taps, axis)
    return planes


def _filtered_along(planes: torch.Tensor, taps: Sequence[float], axis: int) -> torch.Tensor:
    # Sums of shifted views are three to eight times faster than a float64 convolution.
    last = len(taps) - 1
    length = planes.shape[axis] - last
    out = planes.narrow(axis, last // 2, length) * taps[last // 2]
    for i in range(last // 2):
        pair = planes.narrow(axis, i, length) + planes.narrow(axis, last - i, length)
        out.add_(pair, alpha=taps[i])
    if last % 2:  # an even window has two taps in the middle
        out.add_(planes.narrow(axis, last // 2 + 1, length), alpha=taps[last // 2 + 1])
    return out


def reference_masks(
    landmarker: Landmarker, hr: torch.Tensor, regions: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Return region masks (N, H, W) of the HR images, empty where no face is found."""
    landmarks = landmarker(hr)
    height, width = hr.shape[-2:]
    masks = region_masks(landmarks.points, height, width, regions)
    found = landmarks.found.view(-1, 1, 1)
    return {name: mask & found for name, mask in masks.items()}


@dataclass(frozen=True)
class _Group:
    """Faces of a batch whose regions have the same size: their indices and results."""

    faces: tuple[int, ...]
    squares: tuple[Square, ...]
    found: bool
    reference: Any

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """Return the regions (n, 3, side, side)."""
        return _cut(images, self.faces, self.squares)


class OnReferenceFaces:
    """A whole-image metric, applied to the region `crop/2` of each reference instead.

    Regions are not resampled: regions of the same size are passed to the metric together. A face
    whose landmarks are not found on the reference gets NaN in all numeric columns and is counted
    as a face without a value.
    """

    def __init__(self, metric: ImageMetric, landmarker: Landmarker) -> None:
        self._metric, self._landmarker = metric, landmarker

    def reference(self, hr: torch.Tensor) -> list[_Group]:
        """Return the regions of the HR images and what the metric caches for them."""
        landmarks = self._landmarker(hr)
        height, width = hr.shape[-2:]
        squares = oval_squares(landmarks.points, height, width)
        members: dict[tuple[bool, int], list[int]] = defaultdict(list)
        # A face without landmarks gets a placeholder region, so that a batch of such faces has
        # columns too; its values are replaced by NaN afterwards.
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
        """Return the metric's columns; booleans become 1 and 0, so that NaN can be stored."""
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
    """Return NaN for each number; text stays, since a face without a value belongs to no class."""
    return {
        name: values if values.dtype.kind == "U" else np.full_like(_number(values), np.nan)
        for name, values in columns.items()
    }
