"""Regions of the face drawn from the 478 landmarks: W-Net's parsing targets and loss weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from affectbench_baselines.affectsrnet.graph import BROW, EYE_RINGS, LIPS, OVAL, mirrored

REGIONS = ("background", "skin", "brows", "eyes", "nose", "lips", "mouth")

LOSS_WEIGHTS = (0.75, 1.0, 1.5, 2.0, 1.25, 2.0, 2.0)
"""Our pixel loss weights by region."""

_NOSE_HALF = (168, 193, 245, 128, 114, 217, 126, 209, 49, 129, 64, 98, 97, 2)
_NOSE = (*_NOSE_HALF, *reversed(mirrored(_NOSE_HALF)[1:-1]))

POLYGONS: tuple[tuple[str, tuple[int, ...]], ...] = (
    # drawn in this order: later regions cover earlier ones
    ("skin", OVAL),
    ("nose", _NOSE),
    ("brows", BROW),
    ("brows", mirrored(BROW)),
    ("eyes", EYE_RINGS[0]),
    ("eyes", mirrored(EYE_RINGS[0])),
    ("lips", LIPS[0]),
    ("mouth", LIPS[-1]),
)


def draw_regions(landmarks: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """Return the region of each pixel (size, size), indexing `REGIONS`, of landmarks (478, 2)."""
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    for region, points in POLYGONS:
        corners: Sequence[float] = (landmarks[list(points)] * size - 0.5).ravel().tolist()
        draw.polygon(corners, fill=REGIONS.index(region))
    return np.asarray(canvas)
