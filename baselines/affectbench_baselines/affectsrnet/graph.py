"""The contour graph over the 478 points of MediaPipe's face mesh.

From the authors' development code: edges follow the contours of lips, nose, brows, eyes and face
outline, with lines from the nose to the cheeks and over the forehead, in both directions, about 700
in total. The exact points of these lines are not known: the contours below use the public point
numbers of the mesh, the lines are ours (shortest paths over the average face). Lists cover one half
of the face; `MIRROR` maps them to the other.

Point numbers are those of the mesh: 0-467 the surface, 468-472 and 473-477 the irises.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch

POINTS = 478
MIRROR: tuple[int, ...] = tuple(
    json.loads(Path(__file__).with_name("mirror.json").read_text(encoding="utf-8"))
)
"""For each point, its counterpart in the mirrored face."""

EYE_CORNERS = (33, 263)
"""The outer corners of both eyes; this package calls their distance the eye distance."""

LIPS = (
    # from the outer ring to the inner one; lower lip first, then back along the upper lip
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 408, 304, 303, 302, 11, 72, 73, 74, 184),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 407, 272, 271, 268, 12, 38, 41, 42, 183),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
EYE_RINGS = (
    # from the lid to the socket
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247),
)
IRIS = (469, 470, 471, 472)
BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
NOSE_SIDE = (4, 45, 220, 115, 48, 64, 98, 97, 2)
CLOSED_MIDDLE = (*LIPS, OVAL)
CLOSED_SIDE = (*EYE_RINGS, IRIS, BROW)
OPEN_MIDDLE = (
    (10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 164, 0),
    (17, 18, 200, 199, 175, 152),
)
OPEN_SIDE = (
    NOSE_SIDE,
    (468, 469),
    (468, 470),
    (468, 471),
    (468, 472),
    # corners of the eye, ring to ring
    (33, 130, 226),
    (133, 243, 244),
    # nose to eye, along its side, to the cheek
    (168, 193, 55),
    (6, 122, 245, 244),
    (245, 128, 114, 217, 126, 209, 49, 129, 98),
    (129, 203, 205, 50, 123, 137, 93),
    (98, 203, 206, 207, 192, 58),
    # mouth to jaw
    (61, 57, 212, 214, 172),
    (61, 43, 202, 210, 136),
    (61, 76, 62, 78),
    # forehead and temple
    (151, 108, 69, 104, 54),
    (105, 104, 103),
    (70, 71, 21),
    (226, 35, 143, 34, 127),
    (226, 124, 156, 139, 162),
)


def contour_edges() -> list[tuple[int, int]]:
    """Return the edges as directed pairs, each in both directions, without loops, sorted."""
    middle = [*CLOSED_MIDDLE, *OPEN_MIDDLE]
    closed = [*CLOSED_MIDDLE, *CLOSED_SIDE, *map(mirrored, CLOSED_SIDE)]
    chains = [*middle, *CLOSED_SIDE, *OPEN_SIDE, *map(mirrored, (*CLOSED_SIDE, *OPEN_SIDE))]
    pairs = {pair for chain in chains for pair in pairwise(chain)}
    pairs |= {(ring[-1], ring[0]) for ring in closed}
    return sorted(pairs | {(b, a) for a, b in pairs})


def mirrored(chain: tuple[int, ...]) -> tuple[int, ...]:
    """Return the same chain on the other half of the face."""
    return tuple(MIRROR[point] for point in chain)


def normalised_adjacency(edges: list[tuple[int, int]], points: int = POINTS) -> torch.Tensor:
    """Return D^-1/2 (A + I) D^-1/2, dense (P, P), as in Kipf and Welling (arXiv 1609.02907)."""
    # On the CPU even where a network is built without memory ("meta"): others read its entries.
    adjacency = torch.eye(points, device="cpu")
    source, target = torch.tensor(edges, device="cpu").T
    adjacency[source, target] = 1.0
    root = adjacency.sum(1).rsqrt()
    return root[:, None] * adjacency * root[None, :]


def flip_points(points: torch.Tensor) -> torch.Tensor:
    """Return landmarks (..., 478, 2) of the mirrored image: x becomes 1 - x, left becomes right."""
    flipped = points[..., list(MIRROR), :].clone()
    flipped[..., 0] = 1.0 - flipped[..., 0]
    return flipped
