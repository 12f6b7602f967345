"""Training faces: decoded once, randomly cropped and flipped each time they are drawn.

The archive contains `tight/NNNNN.jpg` and `loose/NNNNNN.jpg`, 128x128; landmarks come as `files`
and `landmarks` (n, 478, 2) relative to the image. A draw depends only on the seed and on the number
of draws before it, so that a run can be stopped and resumed.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from affectbench.errors import InputError
from affectbench.images.reading import Pixels, rgb_pixels
from affectbench_baselines.affectsrnet.graph import EYE_CORNERS, MIRROR, OVAL, POINTS

_LOG = logging.getLogger("affectbench_baselines")

Box = tuple[float, float, float, float]
GROUP_BOXES: dict[str, Box] = {
    # The rule of affectbench's `crop/1`: the smallest square around the median oval.
    "tight": (0.05, 0.06, 0.93, 0.94),
    "loose": (0.20, 0.25, 0.80, 0.85),
}
_ANY_BOX: Box = (0.15, 0.15, 0.85, 0.85)
_GROUP_EYES = {"tight": 0.45, "loose": 0.32}
"""Median eye distance per group, for the few faces without landmarks."""


class Images(Protocol):
    """Images (S, S, 3), uint8, by index."""

    def __getitem__(self, index: int, /) -> Pixels: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Faces:
    """Images uint8 (n, S, S, 3), landmarks float32 (n, 478, 2), NaN where no face was found."""

    ids: tuple[str, ...]
    images: Images
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, wanted: Sequence[str]) -> Faces:
        """Return the faces with those ids, in archive order; InputError if one is missing."""
        missing = set(wanted) - set(self.ids)
        if missing:
            raise InputError(f"{len(missing)} face ids are not in the archive: {min(missing)}, ...")
        return self._chosen(set(wanted), True)

    def without(self, unwanted: Sequence[str]) -> Faces:
        """Return all faces except those with these ids."""
        return self._chosen(set(unwanted), False)

    def _chosen(self, ids: set[str], keep: bool) -> Faces:
        index = np.array([i for i, name in enumerate(self.ids) if (name in ids) == keep], np.int64)
        return Faces(
            tuple(self.ids[i] for i in index), _View(self.images, index), self.landmarks[index]
        )

    def mean_face(self) -> NDArray[np.float32]:
        """Return the average landmarks (478, 2)."""
        return cast(NDArray[np.float32], np.nanmean(self.landmarks, axis=0))


class _View:
    """Rows of a memory map, read one at a time."""

    def __init__(self, images: Images, index: NDArray[np.int64]) -> None:
        self._images, self._index = images, index

    def __getitem__(self, i: int) -> Pixels:
        return np.asarray(self._images[int(self._index[i])])

    def __len__(self) -> int:
        return len(self._index)


def load_faces(archive: Path, landmarks: Path | None, cache: Path) -> Faces:
    """Return all faces of the archive; decoded pixels are cached in the folder `cache`.

    Raises InputError, naming the file, if one cannot be read or is not what it should be.
    """
    ids, images = _decoded(archive, cache)
    points = np.full((len(ids), POINTS, 2), np.nan, np.float32)
    if landmarks is not None:
        known = _landmarks(landmarks)
        for i, name in enumerate(ids):
            if name in known:
                points[i] = known[name]
        if not np.isfinite(points).any():
            raise InputError(f"{landmarks}: has no landmarks of the faces in {archive}")
    return Faces(ids, images, points)


def _landmarks(path: Path) -> dict[str, NDArray[np.float16]]:
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(zip(content["files"].tolist(), content["landmarks"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is no landmark file ({error})") from error


def _decoded(archive: Path, cache: Path) -> tuple[tuple[str, ...], Images]:
    try:
        with zipfile.ZipFile(archive) as file:
            entries = sorted((e.filename, e.CRC) for e in file.infolist() if not e.is_dir())
            if not entries:
                raise InputError(f"{archive}: holds no faces")
            digest = hashlib.sha256(repr(entries).encode()).hexdigest()[:16]
            ids = tuple(name for name, _ in entries)
            target = cache / f"faces-{digest}.npy"
            if not target.is_file():
                _decode(file, ids, target)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive}: cannot be read as a zip archive ({error})") from error
    return ids, cast(Images, np.load(target, mmap_mode="r"))


def _decode(file: zipfile.ZipFile, ids: Sequence[str], target: Path) -> None:
    _LOG.info("decoding %d faces into %s, once", len(ids), target.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    first = _image(file, ids[0])
    # A unique name per process, since two may start at the same time.
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    out = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(ids), *first.shape))
    for i, name in enumerate(ids):
        pixels = _image(file, name)
        if pixels.shape != first.shape:
            raise InputError(f"{name}: has another size than {ids[0]}")
        out[i] = pixels
    out.flush()
    del out
    temporary.replace(target)


def _image(file: zipfile.ZipFile, name: str) -> Pixels:
    with Image.open(io.BytesIO(file.read(name))) as image:
        return rgb_pixels(image, name)


@dataclass(frozen=True)
class View:
    """How faces are drawn; the fields are those of `Job`."""

    size: int
    eye_distance: tuple[float, float]
    zoom: tuple[float, float]
    plain_share: float


@dataclass(frozen=True)
class Drawn:
    """A face as seen in training: HR (S, S, 3) uint8, its landmarks, and its face box."""

    hr: Pixels
    landmarks: NDArray[np.float32]
    box: Box


def draw(faces: Faces, index: int, view: View, rng: np.random.Generator) -> Drawn:
    """Return a face at a random scale and position, possibly mirrored.

    The eye distance is drawn from `view.eye_distance`, within the limits of `view.zoom`. Where the
    window exceeds the image, the image is padded by reflection.
    """
    image, points = faces.images[index], faces.landmarks[index]
    group = faces.ids[index].partition("/")[0]
    side, left, top = 1.0, 0.0, 0.0
    if rng.random() >= view.plain_share:
        eyes = eye_distance(points)
        eyes = eyes if np.isfinite(eyes) else _GROUP_EYES.get(group, 0.4)
        low, high = (np.clip(t / eyes, *view.zoom) for t in view.eye_distance)
        side = 1.0 / rng.uniform(low, high)
        slack = 1.0 - side
        left, top = rng.uniform(min(0.0, slack), max(0.0, slack), 2)
    hr = window(image, left, top, side, view.size)
    points = ((points - (left, top)) / side).astype(np.float32)
    box = face_box(points)
    if box is None:
        x0, y0, x1, y1 = GROUP_BOXES.get(group, _ANY_BOX)
        box = ((x0 - left) / side, (y0 - top) / side, (x1 - left) / side, (y1 - top) / side)
    if rng.random() < 0.5:
        hr = np.ascontiguousarray(hr[:, ::-1])
        points = points[list(MIRROR)]
        points[:, 0] = 1.0 - points[:, 0]
        box = (1.0 - box[2], box[1], 1.0 - box[0], box[3])
    return Drawn(hr, points, box)


def window(image: Pixels, left: float, top: float, side: float, size: int) -> Pixels:
    """Return the square (left, top, side), relative to the image, at `size` pixels; bicubic, 8-bit.

    Pixels are unchanged if the window is the image. Outside, the image is padded by reflection.
    """
    height = image.shape[0]
    if side == 1.0 and size == height:
        return np.asarray(image)
    pad = max(0, int(np.ceil((side - 1.0) * height)) + 1) if side > 1.0 else 0
    if pad:
        image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    x0, y0 = left * height + pad, top * height + pad
    limit = float(image.shape[0])
    box = (x0, y0, min(x0 + side * height, limit), min(y0 + side * height, limit))
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


def eye_distance(points: NDArray[np.floating]) -> float:
    """Return the distance of the outer eye corners of landmarks (478, 2), in their unit."""
    one, other = (points[i] for i in EYE_CORNERS)
    return float(np.linalg.norm(one - other))


def face_box(points: NDArray[np.floating]) -> Box | None:
    """Return the smallest square around the face oval, same centre; None without landmarks."""
    oval = points[list(OVAL)]
    if not np.isfinite(oval).all():
        return None
    low, high = oval.min(0), oval.max(0)
    centre, half = (low + high) / 2, float((high - low).max()) / 2
    x, y = (float(value) for value in centre)
    return x - half, y - half, x + half, y + half


def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order of an epoch."""
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


def draw_generator(seed: int, number: int) -> np.random.Generator:
    """Return the generator for the draw with that number, counted over the whole run."""
    return np.random.default_rng([seed, 1, number])
