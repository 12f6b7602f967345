"""`crop/2`: the square around the face oval, computed from landmarks."""

from __future__ import annotations

from typing import NamedTuple

import torch

from affectbench.faces.landmark_points import OVAL


class Square(NamedTuple):
    """A square in whole image pixels; it may reach beyond the image border."""

    left: int
    top: int
    side: int


def oval_squares(landmarks: torch.Tensor, height: int, width: int) -> list[Square]:
    """Return the smallest squares around the face ovals of landmarks (N, 478, 2), same centres.

    Landmarks are relative to the image. Squares are rounded to whole pixels, with sides of at least
    one. There is no margin, as in `crop/1`.
    """
    oval = landmarks[:, list(OVAL)].double() * torch.tensor([width, height], dtype=torch.float64)
    low, high = oval.amin(1), oval.amax(1)
    side = (high - low).amax(1)
    corner = (low + high - side.unsqueeze(1)) / 2
    return [
        Square(round(left), round(top), max(round(size), 1))
        for (left, top), size in zip(corner.tolist(), side.tolist(), strict=True)
    ]


def cut_square(image: torch.Tensor, square: Square) -> torch.Tensor:
    """Return the square of an image (C, H, W) without resampling: (C, side, side).

    Beyond the image border, border pixels are repeated.
    """
    height, width = image.shape[-2:]
    step = torch.arange(square.side, device=image.device)
    rows = (step + square.top).clamp(0, height - 1)
    columns = (step + square.left).clamp(0, width - 1)
    return image[:, rows][:, :, columns]
