"""What determines the numbers of a metric besides the images, as plain JSON data.

It is part of a cell's id, so every run computes it for every metric, also a run that finds all of
its cells finished. Nothing here imports torch: such a run need not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from affectbench.errors import AffectBenchError
from affectbench.faces.assets import FACE_MESH, FACE_RECOGNITION
from affectbench.faces.landmark_points import crop_record, landmarks_record
from affectbench.faces.regions import CROP_VERSION, face_box
from affectbench.metrics.conventions import find_convention
from affectbench.types import MetricSettings

MASKS_VERSION = "masks/1"


def fidelity(settings: MetricSettings) -> Mapping[str, Any]:
    """Return the convention's full record, and its border in pixels."""
    convention = find_convention(settings.convention)
    border = convention.border_at(settings.scale)
    return {"convention": convention.as_record(), "border_pixels": border}


def fidelity_of_region(settings: MetricSettings) -> Mapping[str, Any]:
    """Return the convention's full record, its border in pixels, and the rule for regions."""
    return {**fidelity(settings), **masks_record(settings.framing)}


def masks_record(framing: str) -> dict[str, Any]:
    """Return what determines the masks of a region, other than the image."""
    return {**landmarks_record(framing), "masks": MASKS_VERSION}


def landmarks(settings: MetricSettings) -> Mapping[str, Any]:
    """Return how landmarks are found, and by which network."""
    return {**landmarks_record(settings.framing), "scorer": FACE_MESH.name}


def ecm(settings: MetricSettings) -> Mapping[str, Any]:
    """Return definition, crop and judge: all that determines ECM other than the two images."""
    return {"definition": "ecm/1", **judged(settings)}


def fed(settings: MetricSettings) -> Mapping[str, Any]:
    """Return the judge and the region, which is `crop/1` whatever region ECM uses."""
    return judged(replace(settings, crop=CROP_VERSION))


def judged(settings: MetricSettings) -> dict[str, Any]:
    """Return crop and judge: all that determines a judge's prediction other than the image."""
    judge = settings.judge
    if judge is None:
        raise AffectBenchError("metrics of expression need a judge; name one with --judges")
    return {
        **crop_record(settings.crop, settings.framing),
        "judge": judge.name,
        "judge_revision": judge.revision,
    }


def descriptors(settings: MetricSettings) -> Mapping[str, Any]:
    """Return the face region and dlib's weights."""
    return {**face_region(settings), "weights": FACE_RECOGNITION.source.sha256}


def face_region(settings: MetricSettings) -> dict[str, Any]:
    """Return the fixed face region of a framing."""
    box = list(face_box(settings.framing))
    return {"crop": CROP_VERSION, "framing": settings.framing, "box": box}
