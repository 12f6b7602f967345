"""Does a super-resolved face still show the same person? The metrics `identity` and `facenet`.

Both compare the descriptors that a face recognition network computes for the face regions of SR and
HR: the region `crop/1` of the declared framing (no face detection, no alignment by landmarks),
resized to the network's input. It stays `crop/1` whatever `--crop` selects for ECM, because values
and thresholds were calibrated on it. A model trained against such a network must list it in its
`trained_against`.

dlib's descriptors are not centred at the origin: the cosine of two strangers is far from 0. On 824
unaligned faces it is 0.87 for strangers and 0.94 for two pictures of one person; the distances are
0.71 and 0.48. Compare `identity` with the anchor row `wrong-face`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from affectbench.assets.untrusted import read_weights
from affectbench.errors import MissingPackageError, WeightsError
from affectbench.faces.identity import load_face_descriptor
from affectbench.faces.regions import crop
from affectbench.images.tensors import resized, unit_range
from affectbench.metrics import assets
from affectbench.metrics.base import undisturbed
from affectbench.metrics.identify import face_region
from affectbench.types import Columns, Judge, MetricSettings

SAME_PERSON = 0.6
"""Distance of dlib's descriptors below which two faces count as the same person: the radius that
the network was trained with, and the threshold used with dlib and face-api."""
FACENET_SIDE = 160
"""Side length of the faces that FaceNet was trained on."""
CHUNK = 16
"""Faces per network batch, so that memory does not grow with the number of faces."""

Describe = Callable[[torch.Tensor], torch.Tensor]
"""A function that returns descriptors (N, D) of face regions (N, 3, H, W) in [0, 1]."""


class IdentityMetric:
    """Cosine similarity of a network's descriptors, for uint8 images (N, 3, H, W)."""

    def __init__(self, name: str, describe: Describe, framing: str, device: torch.device) -> None:
        self._name, self._describe = name, describe
        self._framing, self._device = framing, device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Return descriptors (N, D) of the HR faces, computed once for all models."""
        return face_descriptors(self._describe, hr.to(self._device), self._framing)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """Return the cosine similarity in [-1, 1]: higher is better, 1 for equal descriptors."""
        return {self._name: cosine(self.reference(sr), reference).numpy()}


class DlibMetric(IdentityMetric):
    """`identity` and `identity_distance`, for uint8 images (N, 3, H, W)."""

    def __init__(
        self,
        settings: MetricSettings,
        judge: Judge | None,  # noqa: ARG002
        device: torch.device,
    ) -> None:
        super().__init__("identity", load_face_descriptor(device), settings.framing, device)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """Return the cosine similarity and the Euclidean distance of the raw descriptors.

        For the distance, lower is better; below 0.6, two faces are commonly taken for one person.
        """
        found = self.reference(sr)
        distance = (found - reference).norm(dim=1)
        return {
            "identity": cosine(found, reference).numpy(),
            "identity_distance": distance.numpy(),
        }


def face_descriptors(describe: Describe, images: torch.Tensor, framing: str) -> torch.Tensor:
    """Return descriptors of face regions of uint8 images (N, 3, H, W): float64 (N, D), on CPU."""
    with undisturbed(images.device):
        chunks = torch.split(unit_range(crop(images, framing)), CHUNK)
        return torch.cat([describe(chunk).cpu().double() for chunk in chunks])


def cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the cosine of vectors (N, D), row by row; exactly 1 for equal ones.

    1 - |x/|x| - y/|y||^2 / 2 equals x.y / (|x| |y|), but without its rounding error near 1.
    """
    return 1.0 - (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(dim=1) / 2.0


def build_facenet(
    settings: MetricSettings,
    judge: Judge | None,  # noqa: ARG001
    device: torch.device,
) -> IdentityMetric:
    """Return `facenet`: the cosine similarity of FaceNet's embeddings."""
    assets.require_facenet()
    return facenet_metric(assets.FACENET.verified()[0], settings.framing, device)


def facenet_metric(weights: Path, framing: str, device: torch.device) -> IdentityMetric:
    """Return `facenet` with weights from a file; errors as in `load_facenet`."""
    network = load_facenet(weights, device)

    def describe(faces: torch.Tensor) -> torch.Tensor:
        # facenet-pytorch's own standardisation of pixel values from 0 to 255.
        standardised = (resized(faces, FACENET_SIDE) * 255.0 - 127.5) / 128.0
        return cast(torch.Tensor, network(standardised))

    return IdentityMetric("facenet", describe, framing, device)


def load_facenet(weights: Path, device: torch.device) -> nn.Module:
    """Return the installed package's network with weights from a file, frozen, in eval mode.

    The package itself would download and unpickle the weights; here they are read as tensors only.
    Raises MissingPackageError if the package, or one of its imports, is missing, and WeightsError
    if the weights are damaged or do not fit.
    """
    try:
        package = importlib.import_module("facenet_pytorch")
    except ImportError as error:
        command = f"--no-deps facenet-pytorch (it cannot be imported: {error})"
        raise MissingPackageError("metric 'facenet'", command) from error
    # The file also holds the training set's identity classifier, which is not needed.
    tensors = {k: v for k, v in read_weights(weights).items() if not k.startswith("logits.")}
    with torch.random.fork_rng(devices=[]):  # the initial random weights are discarded
        network: nn.Module = package.InceptionResnetV1(pretrained=None)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{weights}: does not fit InceptionResnetV1 ({reason})") from error
    return network.to(device).eval().requires_grad_(False)


def identify_facenet(settings: MetricSettings) -> Mapping[str, Any]:
    """Return the face region, FaceNet's weights and the package that defines its network."""
    assets.require_facenet()
    weights = assets.FACENET.verified()[1]
    package = version(assets.FACENET_PACKAGE)
    return {**face_region(settings), "weights": weights, "package": package}


def same_person(columns: Columns) -> Mapping[str, float]:
    """Return the mean of `identity_distance`, and the share of faces with a distance under 0.6."""
    distance = np.asarray(columns["identity_distance"], dtype=np.float64)
    if not distance.size:
        return {"identity_distance": float("nan"), "same_person": float("nan")}
    same = float((distance < SAME_PERSON).mean())
    return {"identity_distance": float(distance.mean()), "same_person": same}
