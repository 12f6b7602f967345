"""From images to `facenet`: InceptionResnetV1 of facenet-pytorch, with weights read as data."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

import torch
from torch import nn

from affectbench.assets.untrusted import read_weights
from affectbench.errors import MissingPackageError, WeightsError
from affectbench.images.tensors import resized
from affectbench.metrics.identity_metric import cosine, face_descriptors
from affectbench.types import Columns

INPUT_SIZE = 160
"""The side of the faces that the network was trained with."""


class FacenetMetric:
    """Cosine of FaceNet's embeddings, on uint8 images (N, 3, H, W)."""

    def __init__(self, weights: Path, framing: str, device: torch.device) -> None:
        self._network = load_facenet(weights, device)
        self._framing, self._device = framing, device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, 512) of the HR faces, computed once for all models."""
        return face_descriptors(self._embeddings, hr.to(self._device), self._framing)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """`facenet`: cosine of the embeddings in [-1, 1], higher is better, 1 the same face."""
        return {"facenet": cosine(self.reference(sr), reference).numpy()}

    def _embeddings(self, faces: torch.Tensor) -> torch.Tensor:
        # facenet-pytorch's own standardisation of pixel values in 0 to 255.
        standardised = (resized(faces, INPUT_SIZE) * 255.0 - 127.5) / 128.0
        return cast(torch.Tensor, self._network(standardised))


def load_facenet(weights: Path, device: torch.device) -> nn.Module:
    """The network of the installed package with the weights of a file, frozen, in eval mode.

    The package would download and unpickle them itself; here they are read as tensors only.
    Raises MissingPackageError if it, or what it imports, is missing, and WeightsError if the
    weights are damaged or do not fit.
    """
    try:
        package = importlib.import_module("facenet_pytorch")
    except ImportError as error:
        command = f"--no-deps facenet-pytorch (it cannot be imported: {error})"
        raise MissingPackageError("metric 'facenet'", command) from error
    # The classifier over the persons of the training set is in the file, and not needed.
    tensors = {k: v for k, v in read_weights(weights).items() if not k.startswith("logits.")}
    with torch.random.fork_rng(devices=[]):  # the weights it starts with are thrown away
        network: nn.Module = package.InceptionResnetV1(pretrained=None)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{weights}: does not fit InceptionResnetV1 ({reason})") from error
    return network.to(device).eval().requires_grad_(False)
