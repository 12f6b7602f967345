"""The face regions `crop/1` and `crop/2`; a reference and its results share the same region.

`crop/1`: one fixed relative face box per framing, without a face detector. Aligned face sets have a
consistent framing, so one box fits all images of a set. Rule (our choice) for every framing: the
smallest square with the same centre around the framing's median face oval, measured on the
478-point landmarks of the reference faces.

`crop/2`: the same rule per face: the smallest square around the oval of the reference's landmarks
(`faces.oval_crop`). A face whose landmarks are not found has no region and no value.

A super-resolved image is always cropped with the box of its reference, never with its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from affectbench.errors import UnknownNameError

if TYPE_CHECKING:
    import torch

    from affectbench.types import Box

CROP_VERSION = "crop/1"
LANDMARK_CROP_VERSION = "crop/2"
CROPS = (CROP_VERSION, LANDMARK_CROP_VERSION)

FRAMINGS: dict[str, Box] = {
    # name: square around the median oval box (left, top, right, bottom)
    "celeba": (0.155, 0.14, 0.865, 0.85),  # oval .20 .14 .82 .85
    "helen": (0.06, 0.01, 0.93, 0.88),  # oval .11 .01 .88 .88
    "ffhq": (0.165, 0.27, 0.815, 0.92),  # oval .21 .27 .77 .92
    "centre": (0.15, 0.15, 0.85, 0.85),  # unknown framing: the central box; tables say so
    "whole": (0.0, 0.0, 1.0, 1.0),  # the image already is a face crop
}


def face_box(framing: str) -> Box:
    """Return the relative face box of a framing; UnknownNameError for an unknown name."""
    try:
        return FRAMINGS[framing]
    except KeyError:
        raise UnknownNameError(
            f"unknown framing '{framing}'; known: {', '.join(FRAMINGS)}"
        ) from None


def pixel_box(framing: str, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the box in whole pixels (left, top, right, bottom), with sides of at least one.

    >>> pixel_box("celeba", 128, 128)
    (20, 18, 111, 109)
    """
    left, top, right, bottom = face_box(framing)
    x0, y0 = round(left * width), round(top * height)
    return x0, y0, max(round(right * width), x0 + 1), max(round(bottom * height), y0 + 1)


def crop(batch: torch.Tensor, framing: str) -> torch.Tensor:
    """Return the face region of a batch (N, C, H, W), as a view without resampling."""
    x0, y0, x1, y1 = pixel_box(framing, batch.shape[-2], batch.shape[-1])
    return batch[..., y0:y1, x0:x1]
