"""Masks of the expressive face regions, drawn from landmarks."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from affectbench.faces.landmark_points import LEFT_EYE_RING, OUTER_LIPS, OVAL, RIGHT_EYE_RING

MASKS: dict[str, tuple[tuple[int, ...], ...]] = {
    "eyes": (LEFT_EYE_RING, RIGHT_EYE_RING),
    "mouth": (OUTER_LIPS,),
    "face": (OVAL,),
}
"""The closed contours that enclose each region."""


def region_masks(
    landmarks: torch.Tensor, height: int, width: int, names: Iterable[str] = tuple(MASKS)
) -> dict[str, torch.Tensor]:
    """Return boolean masks (N, H, W) by name, from landmarks (N, 478, 2) relative to the image.

    `eyes` is both eyes with their lids, `mouth` the inside of the outer lip contour, `face` the
    face oval. A pixel belongs to a region if its centre lies inside the contour (even-odd rule, in
    float64). Regions are cut off at the image border. NaN landmarks give an empty mask, and a
    small region of a small image can be empty too.
    """
    corners = landmarks.double() * landmarks.new_tensor([width, height], dtype=torch.float64)
    return {
        name: torch.stack([_inside(corners[:, r], height, width) for r in MASKS[name]]).any(0)
        for name in names
    }


def _inside(polygon: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return which pixel centres lie inside polygons (N, K, 2), given in pixels: (N, H, W)."""
    x = torch.arange(width, device=polygon.device) + 0.5
    y = torch.arange(height, device=polygon.device) + 0.5
    inside = torch.zeros(len(polygon), height, width, dtype=torch.bool, device=polygon.device)
    after = polygon.roll(-1, dims=1)
    for start, end in zip(polygon.unbind(1), after.unbind(1), strict=True):
        inside ^= _left_of_edge(start, end, x, y)
    return inside


def _left_of_edge(
    start: torch.Tensor, end: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return pixels (N, H, W) to the left of an edge (N, 2), in the rows that it crosses."""
    (x0, y0), (x1, y1) = start.unsqueeze(-1).unbind(1), end.unsqueeze(-1).unbind(1)
    crossed = (y0 > y) != (y1 > y)
    where = x0 + (x1 - x0) * (y - y0) / (y1 - y0)
    return crossed.unsqueeze(-1) & (x < where.unsqueeze(-1))
