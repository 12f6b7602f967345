"""From images to `nme` and `au_proxy`: landmarks of SR and HR, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch

from affectbench.faces.landmark_points import (
    IBUG_68,
    LEFT_OUTER_EYE,
    REGIONS,
    RIGHT_OUTER_EYE,
)
from affectbench.faces.landmarks import Landmarker, Landmarks
from affectbench.types import Columns

Compare = Callable[[torch.Tensor, torch.Tensor], Mapping[str, torch.Tensor]]
"""Columns (N,) of SR and HR points (N, 478, 2) in pixels, float64."""

_BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_EYE_CORNERS = ((33, 133), (362, 263))
_EYELIDS = ((159, 145), (386, 374))
_LIP_CORNERS, _INNER_LIPS = (61, 291), (13, 14)


class LandmarkMetric:
    """A comparison of the landmarks of uint8 images (N, 3, H, W), as the runner calls it."""

    def __init__(self, compare: Compare, landmarker: Landmarker) -> None:
        self._compare, self._landmarker = compare, landmarker

    def reference(self, hr: torch.Tensor) -> Landmarks:
        """Landmarks of the HR images, computed once for all models."""
        return self._landmarker(hr)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Landmarks) -> Columns:
        """The comparison's columns, NaN for a face that is not found on SR and HR both.

        `found_sr` and `found_hr` say which are.
        """
        found = self._landmarker(sr)
        size = torch.tensor([hr.shape[-1], hr.shape[-2]], dtype=torch.float64)
        columns = self._compare(found.points.double() * size, reference.points.double() * size)
        both = found.found & reference.found
        nan = torch.full((len(hr),), torch.nan, dtype=torch.float64)
        return {
            **{name: torch.where(both, v, nan).numpy() for name, v in columns.items()},
            "found_sr": found.found.numpy(),
            "found_hr": reference.found.numpy(),
        }


def nme_columns(sr: torch.Tensor, hr: torch.Tensor) -> dict[str, torch.Tensor]:
    """Normalised mean errors (N,) of points (N, 478, 2): lower is better, 0 the same points.

    NME = mean over points of |SR point - HR point| / |HR's outer eye corners|, as a fraction.
    `nme` takes all 478 points, `nme_68` those next to the 68 of iBUG, `nme_REGION` those of
    `landmark_points.REGIONS`.
    """
    error = (sr - hr).norm(dim=-1) / _eye_distance(hr).unsqueeze(1)
    return {
        "nme": error.mean(1),
        "nme_68": error[:, list(IBUG_68)].mean(1),
        **{f"nme_{name}": error[:, list(points)].mean(1) for name, points in REGIONS.items()},
    }


def au_columns(sr: torch.Tensor, hr: torch.Tensor) -> dict[str, torch.Tensor]:
    """Drifts |SR - HR| (N,) of what expressions move, and `au_proxy`, their mean.

    All are distances between points (N, 478, 2), divided by that of HR's outer eye corners, so
    that SR and HR have one unit. Lower is better, 0 is the same expression. No action unit is
    measured: these are distances that some of them change.
    """
    unit = _eye_distance(hr)
    before, after = _openings(hr), _openings(sr)
    drifts = {name: (after[name] - before[name]).abs() / unit for name in before}
    return {"au_proxy": torch.stack(list(drifts.values())).mean(0), **drifts}


def _openings(points: torch.Tensor) -> dict[str, torch.Tensor]:
    """Distances in pixels, those of brows and eyes as the mean of left and right.

    `mouth_opening`: between the middles of the inner lips; `mouth_width`: between the corners of
    the mouth; `brow_raise`: from the middle between an eye's corners to the middle of the brow's
    upper edge; `eye_opening`: between the middles of the lids.
    """
    raises = [
        (points[:, list(brow)].mean(1) - points[:, list(corners)].mean(1)).norm(dim=-1)
        for brow, corners in zip(_BROWS, _EYE_CORNERS, strict=True)
    ]
    return {
        "mouth_opening": _distance(points, _INNER_LIPS),
        "mouth_width": _distance(points, _LIP_CORNERS),
        "brow_raise": torch.stack(raises).mean(0),
        "eye_opening": torch.stack([_distance(points, lids) for lids in _EYELIDS]).mean(0),
    }


def _eye_distance(points: torch.Tensor) -> torch.Tensor:
    return _distance(points, (LEFT_OUTER_EYE, RIGHT_OUTER_EYE))


def _distance(points: torch.Tensor, pair: tuple[int, int]) -> torch.Tensor:
    first, second = (points[:, point] for point in pair)
    return cast(torch.Tensor, torch.linalg.vector_norm(first - second, dim=-1))
