"""From images to what a judge says of their face regions, compared: `ecm/1` and its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from affectbench.faces.regions import crop
from affectbench.images.tensors import unit_range
from affectbench.metrics.ecm import Parts, ecm_parts
from affectbench.types import AffectiveJudge, Columns, FeatureJudge, Judge

CHUNK = 16
"""Faces that a judge sees at once, so that memory does not grow with the batch."""


@dataclass(frozen=True)
class Readings:
    """Logits (N, K), and valence and arousal (N, 2) of a judge that gives them."""

    logits: torch.Tensor
    affect: torch.Tensor | None


class EcmMetric:
    """ECM of one judge on one framing, as the runner calls it: on uint8 images (N, 3, H, W)."""

    def __init__(self, judge: Judge, framing: str, device: torch.device) -> None:
        self._judge = judge
        self._framing = framing
        self._device = device

    def reference(self, hr: torch.Tensor) -> Readings:
        """What the judge says of the HR faces, computed once for all models."""
        images = unit_range(hr.to(self._device))
        if isinstance(self._judge, AffectiveJudge):
            return Readings(*_in_chunks(self._judge.logits_and_affect, images, self._framing))
        return Readings(face_logits(self._judge, images, self._framing), None)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Readings) -> Columns:  # noqa: ARG002
        """The columns of `part_columns` for each image.

        With valence and arousal also `valence_hr`, `valence_sr`, `arousal_hr` and `arousal_sr`.
        """
        found = self.reference(sr)
        parts = part_columns(ecm_parts(reference.logits, found.logits), self._judge.classes)
        if reference.affect is None or found.affect is None:
            return parts
        sides = {"hr": reference.affect.numpy(), "sr": found.affect.numpy()}
        return {
            **parts,
            **{f"valence_{side}": affect[:, 0] for side, affect in sides.items()},
            **{f"arousal_{side}": affect[:, 1] for side, affect in sides.items()},
        }


def face_logits(judge: Judge, images: torch.Tensor, framing: str) -> torch.Tensor:
    """Logits (N, K) of the face regions of images (N, 3, H, W) in [0, 1]; on the CPU, no gradient.

    A mixed-precision context of the caller is left out of it: it would change the score.
    """
    return _in_chunks(lambda x: (judge.logits(x),), images, framing)[0]


def face_features(judge: FeatureJudge, images: torch.Tensor, framing: str) -> torch.Tensor:
    """Features (N, D) of the face regions of images (N, 3, H, W) in [0, 1]; as `face_logits`."""
    return _in_chunks(lambda x: (judge.features(x),), images, framing)[0]


def _in_chunks(
    ask: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], images: torch.Tensor, framing: str
) -> tuple[torch.Tensor, ...]:
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        chunks = torch.split(crop(images, framing), CHUNK)
        answers = [tuple(part.cpu() for part in ask(chunk)) for chunk in chunks]
    return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))


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
