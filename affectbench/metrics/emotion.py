"""The plug-in `ecm`: the Emotion Consistency Metric of one judge, per image.

`judged` and `build` also serve the metrics of `affectbench.metrics.expression`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectbench.errors import AffectBenchError
from affectbench.faces.landmark_points import crop_record
from affectbench.faces.regions import LANDMARK_CROP_VERSION
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

CONFIDENT = 0.5
"""A reference counts for `flip_rate` if the judge gives its class at least this probability."""


def identify(settings: MetricSettings) -> Mapping[str, Any]:
    """Definition, crop and judge: all that decides an ECM beside the two images."""
    return {"definition": "ecm/1", **judged(settings)}


def judged(settings: MetricSettings) -> dict[str, Any]:
    """Crop and judge: all that decides what a judge says of an image."""
    judge = _required(settings.judge)
    return {
        **crop_record(settings.crop, settings.framing),
        "judge": judge.name,
        "judge_revision": judge.revision,
    }


def build(settings: MetricSettings, judge: Judge | None, device: torch.device) -> ImageMetric:
    """The metric for one judge and framing."""
    from affectbench.metrics.ecm_metric import EcmMetric

    if settings.crop == LANDMARK_CROP_VERSION:
        from affectbench.faces.landmarks import landmarker
        from affectbench.metrics.on_reference_faces import OnReferenceFaces

        metric = EcmMetric(_required(judge), "whole", device)
        return OnReferenceFaces(metric, landmarker(settings.framing, device))
    return EcmMetric(_required(judge), settings.framing, device)


def summarise(columns: Columns) -> Mapping[str, float]:
    """`agreement`: share of faces with the same label; `flip_rate`: share of confident flips.

    Over the faces whose region is known. `flip_rate` is taken over the references that the judge
    reads with p_k >= 0.5 (our choice: it leaves out faces on which the judge's label is a coin
    toss); NaN if there are none.
    """
    agreement = np.asarray(columns["agreement"], dtype=np.float64)
    known = ~np.isnan(agreement)
    agreement = agreement[known]
    confident = np.asarray(columns["p_k"])[known] >= CONFIDENT
    flips = 1.0 - agreement[confident]
    return {
        "agreement": float(agreement.mean()) if agreement.size else float("nan"),
        "flip_rate": float(flips.mean()) if flips.size else float("nan"),
    }


def _required(judge: Any) -> Any:
    if judge is None:
        raise AffectBenchError("metrics of expression need a judge; name one with --judges")
    return judge


ECM = MetricPlugin(
    spec=MetricSpec(
        name="ecm",
        version="1",
        title="Emotion Consistency Metric",
        group="expression",
        direction="lower",
        range=(0.0, 1.1931471805599454),
        aggregate="macro",
        per_judge=True,
        source="our reading of arXiv 2502.09932: ECM = 0.5 * L_H + ln(L_conf)",
    ),
    identify=identify,
    build=build,
    summarise=summarise,
)
