"""From images to `identity`: the descriptors of their face regions, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from affectbench.faces.identity import load_face_descriptor
from affectbench.faces.regions import crop
from affectbench.images.tensors import unit_range
from affectbench.types import Columns

CHUNK = 16
"""Faces that a network sees at once, so that memory does not grow with the batch."""

Describe = Callable[[torch.Tensor], torch.Tensor]
"""Descriptors (N, D) of face regions (N, 3, H, W) in [0, 1]."""


class IdentityMetric:
    """Cosine and distance of dlib's descriptors, on uint8 images (N, 3, H, W)."""

    def __init__(self, framing: str, device: torch.device) -> None:
        self._describe = load_face_descriptor(device)
        self._framing, self._device = framing, device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Descriptors (N, 128) of the HR faces, computed once for all models."""
        return face_descriptors(self._describe, hr.to(self._device), self._framing)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """`identity`: cosine of the descriptors in [-1, 1], higher is better, 1 the same face.

        `identity_distance`: their Euclidean distance, not normalised, lower is better; under 0.6
        users of the network take two faces for one person.
        """
        found = self.reference(sr)
        distance = (found - reference).norm(dim=1)
        return {
            "identity": cosine(found, reference).numpy(),
            "identity_distance": distance.numpy(),
        }


def face_descriptors(describe: Describe, images: torch.Tensor, framing: str) -> torch.Tensor:
    """Descriptors of the face regions of uint8 images (N, 3, H, W): float64 (N, D), on the CPU.

    A mixed-precision context of the caller is left out of it: it would change the score.
    """
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        chunks = torch.split(unit_range(crop(images, framing)), CHUNK)
        return torch.cat([describe(chunk).cpu().double() for chunk in chunks])


def cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cosine of the angle between vectors (N, D), row by row; exactly 1 for equal ones.

    1 - |x/|x| - y/|y||^2 / 2, which is x.y / (|x| |y|) without its rounding near 1.
    """
    return 1.0 - (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(dim=1) / 2.0
