"""`ecm/1` on batches of uint8 images, as the runner calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from affectbench.faces.regions import crop
from affectbench.images.tensors import unit_range
from affectbench.metrics.ecm import Parts, ecm_parts
from affectbench.types import Columns, Judge


class EcmMetric:
    """ECM of one judge on one framing. The reference's logits are computed once a batch."""

    def __init__(self, judge: Judge, framing: str, device: torch.device) -> None:
        self._judge = judge
        self._framing = framing
        self._device = device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of the HR faces."""
        face = crop(hr.to(self._device), self._framing)
        return self._judge.logits(unit_range(face)).cpu()

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """The columns of `part_columns` for each image."""
        return part_columns(ecm_parts(reference, self.reference(sr)), self._judge.classes)


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
