"""Are the facial landmarks still in place? The metrics `nme` and `au_proxy`.

Both compare the 478 points of MediaPipe's face mesh (`faces.landmarks`) on SR and HR, located by
the same rule on each and normalised by the reference's outer eye corner distance. A face that is
not found on both has no value (NaN): it is excluded from the means and counted in a failure rate. A
model trained against the face mesh must list it in `trained_against` (as `face-mesh`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch

from affectbench.faces.landmark_points import (
    IBUG_68,
    LEFT_OUTER_EYE,
    REGIONS,
    RIGHT_OUTER_EYE,
)
from affectbench.faces.landmarks import Landmarker, Landmarks, landmarker
from affectbench.types import Columns, Judge, MetricSettings

Compare = Callable[[torch.Tensor, torch.Tensor], Mapping[str, torch.Tensor]]
"""A function from SR and HR points (N, 478, 2) in pixels, float64, to columns (N,)."""

_BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_EYE_CORNERS = ((33, 133), (362, 263))
_EYELIDS = ((159, 145), (386, 374))
_LIP_CORNERS, _INNER_LIPS = (61, 291), (13, 14)


class LandmarkMetric:
    """A landmark comparison, behind the runner's interface: uint8 images (N, 3, H, W)."""

    def __init__(self, compare: Compare, landmarker: Landmarker) -> None:
        self._compare, self._landmarker = compare, landmarker

    def reference(self, hr: torch.Tensor) -> Landmarks:
        """Return the landmarks of the HR images, computed once for all models."""
        return self._landmarker(hr)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Landmarks) -> Columns:
        """Return the comparison's columns, NaN for a face that is not found on both SR and HR.

        `found_sr` and `found_hr` record where it is found.
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
    """Return normalised mean errors (NME) (N,) of points (N, 478, 2); lower is better, at least 0.

    NME = mean over points of |SR point - HR point| / |HR's outer eye corners|, as a fraction.
    `nme` uses all 478 points, `nme_68` the points closest to the 68 of iBUG, `nme_REGION` those of
    `landmark_points.REGIONS`.
    """
    error = (sr - hr).norm(dim=-1) / _eye_distance(hr).unsqueeze(1)
    return {
        "nme": error.mean(1),
        "nme_68": error[:, list(IBUG_68)].mean(1),
        **{f"nme_{name}": error[:, list(points)].mean(1) for name, points in REGIONS.items()},
    }


def au_columns(sr: torch.Tensor, hr: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return drifts |SR - HR| (N,) of distances that expressions change, and their mean.

    The mean is `au_proxy`. All are distances between points (N, 478, 2), divided by HR's outer eye
    corner distance, so that SR and HR share a unit. Lower is better, 0 means the same expression.
    These are not action units, only distances that some action units change.
    """
    unit = _eye_distance(hr)
    before, after = _openings(hr), _openings(sr)
    drifts = {name: (after[name] - before[name]).abs() / unit for name in before}
    return {"au_proxy": torch.stack(list(drifts.values())).mean(0), **drifts}


def _openings(points: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return distances in pixels; for brows and eyes, the mean of left and right.

    `mouth_opening`: between the midpoints of the inner lips; `mouth_width`: between the corners of
    the mouth; `brow_raise`: from the midpoint between an eye's corners to the midpoint of the
    brow's upper edge; `eye_opening`: between the midpoints of the lids.
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


FAMILY: Mapping[str, tuple[Compare, tuple[str, ...]]] = {
    "nme": (nme_columns, ("nme_68", *(f"nme_{region}" for region in REGIONS))),
    "au_proxy": (au_columns, ("mouth_opening", "mouth_width", "brow_raise", "eye_opening")),
}
"""The comparison function of each metric, and the columns that make up its value."""


def build(
    name: str,
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> LandmarkMetric:
    """Return a metric of this family, behind the runner's interface."""
    return LandmarkMetric(FAMILY[name][0], landmarker(settings.framing, device))


def summarise(name: str, columns: Columns) -> Mapping[str, float]:
    """Return the means of the parts, and how many faces have no value.

    `NAME_failure_rate`: share of faces without a value; `NAME_no_reference`: number of faces that
    are not found even on the reference, for which no model is to blame.
    """
    known = ~np.isnan(np.asarray(columns[name], dtype=np.float64))
    means = {part: _mean(np.asarray(columns[part])[known]) for part in FAMILY[name][1]}
    found = np.asarray(columns["found_hr"], dtype=bool)
    return {
        **means,
        f"{name}_failure_rate": _mean(~known),
        f"{name}_no_reference": float((~found).sum()),
    }


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if values.size else float("nan")
