"""The saved faces as they go into a page: without loss, and within a budget.

Lossless WebP holds the same pixels as PNG in about three quarters of the bytes; every browser of
the last years shows it. Where Pillow comes without it, PNG is embedded.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from affectbench.errors import InputError
from affectbench.images.reading import read_image
from affectbench.records import SavedFaces, slug, write_atomic
from affectbench.results.faces import FaceRow, FaceTable

BUDGET = 55_000_000
"""Characters of embedded faces in a page: with everything else it stays under 60 MB."""
_CHUNK = 16


@dataclass(frozen=True)
class Embedded:
    """Faces by their position in the table, as data the page's script understands."""

    faces: dict[int, dict[str, Any]]
    wanted: int
    saved: bool

    @property
    def left_out(self) -> int:
        """Chosen faces that did not fit."""
        return self.wanted - len(self.faces) if self.saved else 0


def embed(table: FaceTable, root: Path, positions: Sequence[int], budget: int) -> Embedded:
    """The chosen faces as data URIs, in the order given, as long as `budget` characters last."""
    place = SavedFaces(root, table.dataset, table.revision)
    if not place.folder.is_dir():
        return Embedded({}, len(positions), saved=False)
    found: dict[int, dict[str, Any]] = {}
    used = 0
    with ThreadPoolExecutor() as pool:  # Pillow's encoders leave the interpreter to others
        for start in range(0, len(positions), _CHUNK):
            chunk = positions[start : start + _CHUNK]
            for position, face in zip(
                chunk, pool.map(lambda i: _face(place, table, i), chunk), strict=True
            ):
                used += sum(map(len, _texts(face)))
                if used > budget:
                    return Embedded(found, len(positions), saved=True)
                if any(_texts(face)):
                    found[position] = face
    return Embedded(found, len(positions), saved=True)


def write_all(table: FaceTable, root: Path, target: Path) -> int:
    """Copy every saved face to `target/<set>/...` as PNG; how many faces."""
    place = SavedFaces(root, table.dataset, table.revision)
    count = 0
    for image_id in filter(_is_name, table.ids):
        pairs = [(place.lr(image_id), "lr"), (place.hr(image_id), "hr")]
        pairs += [(_sr(place, row, image_id), row.folder) for row in table.rows]
        known = [(path, name) for path, name in pairs if path.is_file()]
        for path, name in known:
            copy = target / slug(table.dataset) / name / f"{image_id}.png"
            write_atomic(copy, path.read_bytes())
        count += bool(known)
    return count


def data_uri(path: Path) -> str:
    """An image file as a data URI with the same pixels; empty if it cannot be read."""
    try:
        pixels = read_image(path)
    except InputError:
        return ""
    kind = "WEBP" if features.check("webp") else "PNG"
    encoded = base64.b64encode(_encoded(pixels, kind)).decode()
    return f"data:image/{kind.lower()};base64,{encoded}"


def _face(place: SavedFaces, table: FaceTable, position: int) -> dict[str, Any]:
    image_id = table.ids[position]
    if not _is_name(image_id):
        return {"lr": "", "hr": "", "sr": []}
    return {
        "lr": data_uri(place.lr(image_id)),
        "hr": data_uri(place.hr(image_id)),
        "sr": [data_uri(_sr(place, row, image_id)) for row in table.rows],
    }


def _sr(place: SavedFaces, row: FaceRow, image_id: str) -> Path:
    return place.sr(row.label, row.revision, image_id)


def _texts(face: dict[str, Any]) -> Iterator[str]:
    yield from (face["lr"], face["hr"], *face["sr"])


def _encoded(pixels: np.ndarray[Any, np.dtype[np.uint8]], kind: str) -> bytes:
    buffer = BytesIO()
    # More effort takes three times as long for 4 % fewer bytes.
    options = {"lossless": True, "quality": 75, "method": 2} if kind == "WEBP" else {}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _is_name(image_id: str) -> bool:
    """Whether an id names a file in its folder and nothing outside of it."""
    return Path(image_id).name == image_id and "\0" not in image_id
