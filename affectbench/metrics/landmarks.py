"""Is the face still where it was? The plug-ins `nme` and `au_proxy`.

Both compare the 478 points of MediaPipe's face mesh (`faces.landmarks`) on SR and HR, each found
by the same rule, in distances of the reference's outer eye corners. A face that is not found on
one of the two has no value (NaN): it is left out of the means and counted in a failure rate. A
model that was trained against the face mesh has to say so (`trained_against`: `face-mesh`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectbench.faces.assets import FACE_MESH
from affectbench.faces.landmark_points import REGIONS, landmarks_record
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch

NME_PARTS = ("nme_68", *(f"nme_{region}" for region in REGIONS))
DRIFTS = ("mouth_opening", "mouth_width", "brow_raise", "eye_opening")


def identify(settings: MetricSettings) -> Mapping[str, Any]:
    """How landmarks are found, and by which network."""
    return {**landmarks_record(settings.framing), "scorer": FACE_MESH.name}


def _build_nme(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.faces.landmarks import landmarker
    from affectbench.metrics.landmark_metrics import LandmarkMetric, nme_columns

    return LandmarkMetric(nme_columns, landmarker(settings.framing, device))


def _build_au_proxy(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.faces.landmarks import landmarker
    from affectbench.metrics.landmark_metrics import LandmarkMetric, au_columns

    return LandmarkMetric(au_columns, landmarker(settings.framing, device))


def _summary(name: str, parts: tuple[str, ...]) -> Callable[[Columns], Mapping[str, float]]:
    """The means of the parts, and who has no value.

    `NAME_failure_rate`: share of faces without a value; `NAME_no_reference`: number of faces that
    are not found on the reference already, which no model can help.
    """

    def summarise(columns: Columns) -> Mapping[str, float]:
        known = ~np.isnan(np.asarray(columns[name], dtype=np.float64))
        means = {part: _mean(np.asarray(columns[part])[known]) for part in parts}
        found = np.asarray(columns["found_hr"], dtype=bool)
        return {
            **means,
            f"{name}_failure_rate": _mean(~known),
            f"{name}_no_reference": float((~found).sum()),
        }

    return summarise


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if values.size else float("nan")


NME = MetricPlugin(
    spec=MetricSpec(
        name="nme",
        version="1",
        title="Landmark error, by outer eye distance",
        group="landmarks",
        direction="lower",
        range=(0.0, float("inf")),
        source="478 points of MediaPipe's face mesh; normalised as in 300-W (ICCVW 2013)",
    ),
    identify=identify,
    build=_build_nme,
    summarise=_summary("nme", NME_PARTS),
)

AU_PROXY = MetricPlugin(
    spec=MetricSpec(
        name="au_proxy",
        version="1",
        title="Drift of mouth, brows and eyelids, by outer eye distance",
        group="expression",
        direction="lower",
        range=(0.0, float("inf")),
        source="ours: four distances between points of MediaPipe's face mesh",
    ),
    identify=identify,
    build=_build_au_proxy,
    summarise=_summary("au_proxy", DRIFTS),
)
