"""The meaning of the 478 points of the face mesh, and the settings for finding them.

Indices are those of MediaPipe's face mesh; left and right are those of the image. Groups named
after MediaPipe's contours (lips, eyes, nose, face oval) hold the points of these contours.
"""

from __future__ import annotations

from typing import Any

from affectbench.errors import UnknownNameError
from affectbench.faces.assets import FACE_MESH
from affectbench.faces.regions import (
    CROP_VERSION,
    CROPS,
    LANDMARK_CROP_VERSION,
    face_box,
)

LANDMARKS_VERSION = "face-mesh/1"
"""The network, where it looks, and when a face counts as found: see `faces.landmarks`."""

LEFT_OUTER_EYE, RIGHT_OUTER_EYE = 33, 263
"""The outer eye corners, whose distance normalises errors."""

LEFT_EYELIDS = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
RIGHT_EYELIDS = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
_IRISES = tuple(range(468, 478))
_LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_NOSE_LINE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
_NOSE_BASE = (98, 97, 326, 327, 294, 278, 344, 440, 275, 45, 220, 115, 48, 64)
_INNER_LIPS = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
OUTER_LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
)
"""The outer contour of the lips, as an ordered closed contour."""
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288),
    *(397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136),
    *(172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The face oval, as an ordered closed contour."""
LEFT_EYE_RING = (226, 113, 225, 224, 223, 222, 221, 189, 244, 233, 232, 231, 230, 229, 228, 31)
RIGHT_EYE_RING = (446, 342, 445, 444, 443, 442, 441, 413, 464, 453, 452, 451, 450, 449, 448, 261)
"""Each eye including both lids: the second ring of the mesh around it, in order."""

REGIONS: dict[str, tuple[int, ...]] = {
    "eyes": (*LEFT_EYELIDS, *RIGHT_EYELIDS, *_IRISES),
    "brows": (*_LEFT_BROW, *_RIGHT_BROW),
    "nose": (*_NOSE_LINE, *_NOSE_BASE),
    "mouth": (*OUTER_LIPS, *_INNER_LIPS),
    "oval": OVAL,
}
"""Points by region: 42, 20, 24, 40 and 36 of them. The regions are disjoint."""

IBUG_68 = (
    # jaw
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    # brows
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    # nose
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    # eyes
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    # lips, outer and inner contour
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""For each of the 68 points of iBUG's 300-W, in order, the closest mesh point.

No standard defines this mapping: it is the list most used in public code. The jaw line of 300-W
follows the visible outline, that of the mesh the surface of a head."""


def landmarks_record(framing: str) -> dict[str, Any]:
    """Return everything other than the image that determines where its landmarks are found.

    Raises UnknownNameError for an unknown framing.
    """
    return {
        "landmarks": LANDMARKS_VERSION,
        "landmark_weights": FACE_MESH.source.sha256,
        "framing": framing,
        "box": list(face_box(framing)),
    }


def crop_record(crop: str, framing: str) -> dict[str, Any]:
    """Return everything other than the image that determines its face region, by crop version.

    Raises UnknownNameError for an unknown crop or framing.
    """
    if crop == CROP_VERSION:
        return {"crop": crop, "framing": framing, "box": list(face_box(framing))}
    if crop == LANDMARK_CROP_VERSION:
        return {"crop": crop, **landmarks_record(framing)}
    raise UnknownNameError(f"unknown crop '{crop}'; known: {', '.join(CROPS)}")
