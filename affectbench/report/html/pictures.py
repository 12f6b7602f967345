"""Embed the saved faces in a page: losslessly, and within a size budget.

Lossless WebP holds the same pixels as PNG in about three quarters of the bytes, and every recent
browser supports it. If Pillow was built without WebP, PNG is embedded.
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
"""Maximum characters of embedded faces in a page, which keeps the whole page under 60 MB."""
_CHUNK = 16


@dataclass(frozen=True)
class Embedded:
    """The embedded faces, by position in the table, as data for the page's script."""

    faces: dict[int, dict[str, Any]]
    wanted: int
    saved: bool

    @property
    def left_out(self) -> int:
        """The number of chosen faces that did not fit."""
        return self.wanted - len(self.faces) if self.saved else 0


def embed(table: FaceTable, root: Path, positions: Sequence[int], budget: int) -> Embedded:
    """Return the chosen faces as data URIs, in the given order, up to `budget` characters."""
    place = SavedFaces(root, table.dataset, table.revision)
    if not place.folder.is_dir():
        return Embedded({}, len(positions), saved=False)
    found: dict[int, dict[str, Any]] = {}
    used = 0
    with ThreadPoolExecutor() as pool:  # Pillow's encoders release the GIL
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
    """Copy every saved face to `target/<set>/...` as PNG, and return the number of faces."""
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
    """Return an image file as a data URI with the same pixels; empty if it cannot be read."""
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
    """Whether an id is a plain file name, which cannot point outside its folder."""
    return Path(image_id).name == image_id and "\0" not in image_id
