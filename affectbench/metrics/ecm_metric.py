"""From images to `ecm/1`: what a judge says of their face regions, and the parts as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from affectbench.faces.regions import crop
from affectbench.images.tensors import unit_range
from affectbench.metrics.ecm import Parts, ecm_parts
from affectbench.types import Columns, Judge

CHUNK = 64
"""Faces that a judge sees at once, so that memory does not grow with the batch."""


class EcmMetric:
    """ECM of one judge on one framing, as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(self, judge: Judge, framing: str, device: torch.device) -> None:
        self._judge = judge
        self._framing = framing
        self._device = device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of the HR faces, computed once for all models."""
        return face_logits(self._judge, unit_range(hr.to(self._device)), self._framing)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """The columns of `part_columns` for each image."""
        return part_columns(ecm_parts(reference, self.reference(sr)), self._judge.classes)


def face_logits(judge: Judge, images: torch.Tensor, framing: str) -> torch.Tensor:
    """Logits (N, K) of the face regions of images (N, 3, H, W) in [0, 1]; on the CPU, no gradient.

    A mixed-precision context of the caller is left out of it: it would change the score.
    """
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        chunks = torch.split(crop(images, framing), CHUNK)
        return torch.cat([judge.logits(chunk).cpu() for chunk in chunks])


def part_columns(parts: Parts, classes: Sequence[str]) -> Columns:
    """Parts as named numpy columns; labels as class names, p and q as float32 per class."""
    names = np.array(classes)
    columns: dict[str, np.ndarray] = {
        "ecm": parts.ecm.numpy(),
        "l_h": parts.l_h.numpy(),
        "l_conf": parts.l_conf.numpy(),
        "label_hr": names[parts.label_hr.numpy()],
        "label_sr": names[parts.label_sr.numpy()],
        "agreement": (parts.label_hr == parts.label_sr).numpy(),
        "p_k": parts.p_k.numpy(),
        "q_k": parts.q_k.numpy(),
        "js": parts.js.numpy(),
    }
    columns.update(_by_class("p", parts.p, classes))
    columns.update(_by_class("q", parts.q, classes))
    return columns


def _by_class(
    prefix: str, values: torch.Tensor, classes: Sequence[str]
) -> Mapping[str, np.ndarray]:
    array = values.float().numpy()
    return {f"{prefix}_{name}": array[:, i] for i, name in enumerate(classes)}
