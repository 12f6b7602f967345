"""Does a super-resolved face still show the same person? The plug-ins `identity` and `facenet`.

Both compare the descriptors that a face recognition network gives to the face regions of SR and HR:
the region `crop/1` of the declared framing (found on neither image, not aligned by landmarks),
brought to the network's input size. It stays `crop/1` whatever `--crop` says of ECM: values and
thresholds are pinned on it. A model that was trained against such a network has to say so in its
`trained_against`.

dlib's descriptors have no common origin: the cosine of two strangers is far from 0. On 824 faces
without alignment it is 0.87 for strangers and 0.94 for two pictures of one person, and their
distances are 0.71 and 0.48. Read `identity` against the anchor row `wrong-face`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from affectbench.errors import MissingPackageError
from affectbench.faces.assets import FACE_RECOGNITION
from affectbench.faces.regions import CROP_VERSION, face_box
from affectbench.metrics.assets import FACENET as FACENET_WEIGHTS
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

SAME_PERSON = 0.6
"""Distance of dlib's descriptors under which two faces are taken for one person: the radius that
the network was trained with, and the threshold of dlib's and face-api's users."""

FACENET_PACKAGE = "facenet-pytorch"
FACENET_IMPORTS = ("requests", "torchvision", "tqdm")
"""What it imports. Its own pins of torch, numpy and Pillow are years old: they must stay out."""


def require_facenet() -> None:
    """MissingPackageError without facenet-pytorch, AssetMissingError without its weights."""
    if importlib.util.find_spec("facenet_pytorch") is None:
        raise MissingPackageError("metric 'facenet'", f"--no-deps {FACENET_PACKAGE}")
    missing = [name for name in FACENET_IMPORTS if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError("facenet-pytorch, for metric 'facenet',", " ".join(missing))
    FACENET_WEIGHTS.require()


def _identify_identity(settings: MetricSettings) -> Mapping[str, Any]:
    return {**_region(settings), "weights": FACE_RECOGNITION.source.sha256}


def _identify_facenet(settings: MetricSettings) -> Mapping[str, Any]:
    require_facenet()
    weights = FACENET_WEIGHTS.verified()[1]
    return {**_region(settings), "weights": weights, "package": version(FACENET_PACKAGE)}


def _region(settings: MetricSettings) -> dict[str, Any]:
    box = list(face_box(settings.framing))
    return {"crop": CROP_VERSION, "framing": settings.framing, "box": box}


def _build_identity(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.metrics.identity_metric import IdentityMetric

    return IdentityMetric(settings.framing, device)


def _build_facenet(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> ImageMetric:
    from affectbench.metrics.facenet_metric import FacenetMetric

    require_facenet()
    return FacenetMetric(FACENET_WEIGHTS.verified()[0], settings.framing, device)


def _same_person(columns: Columns) -> Mapping[str, float]:
    """`identity_distance`: its mean; `same_person`: share of faces with a distance under 0.6."""
    distance = np.asarray(columns["identity_distance"], dtype=np.float64)
    if not distance.size:
        return {"identity_distance": float("nan"), "same_person": float("nan")}
    same = float((distance < SAME_PERSON).mean())
    return {"identity_distance": float(distance.mean()), "same_person": same}


IDENTITY = MetricPlugin(
    spec=MetricSpec(
        name="identity",
        version="1",
        title="Identity: cosine of dlib's face descriptors",
        group="identity",
        direction="higher",
        range=(-1.0, 1.0),
        source="King, dlib_face_recognition_resnet_model_v1, 2017",
    ),
    identify=_identify_identity,
    build=_build_identity,
    summarise=_same_person,
)

FACENET = MetricPlugin(
    spec=MetricSpec(
        name="facenet",
        version="1",
        title="Identity: cosine of FaceNet's embeddings (VGGFace2)",
        group="identity",
        direction="higher",
        range=(-1.0, 1.0),
        source="Schroff et al., CVPR 2015; InceptionResnetV1 of facenet-pytorch",
    ),
    identify=_identify_facenet,
    build=_build_facenet,
    require=require_facenet,
)
