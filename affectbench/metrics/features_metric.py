"""From images to the features that metrics of a set are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from affectbench.errors import AffectBenchError
from affectbench.images.tensors import unit_range
from affectbench.metrics.ecm import face_features
from affectbench.metrics.vectors import pack
from affectbench.types import Columns, FeatureJudge, Judge

Describe = Callable[[torch.Tensor], torch.Tensor]
"""Features (N, D) of uint8 images (N, 3, H, W), on any device."""


class FeatureMetric:
    """Features of HR and SR side by side, on uint8 images (N, 3, H, W)."""

    def __init__(self, describe: Describe, device: torch.device) -> None:
        self._describe, self._device = describe, device

    def reference(self, hr: torch.Tensor) -> torch.Tensor:
        """Features (N, D) of the HR faces, computed once for all models."""
        return self._describe(hr.to(self._device)).float().cpu()

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: torch.Tensor) -> Columns:  # noqa: ARG002
        """`features_hr` and `features_sr`: a vector of bytes for each image."""
        return {
            "features_hr": pack(reference.numpy()),
            "features_sr": pack(self.reference(sr).numpy()),
        }


def judge_features(judge: Judge | None, framing: str) -> Describe:
    """Features of the face regions by a judge that gives some."""
    if judge is None or not judge.spec.features:
        raise AffectBenchError("metric 'fed' needs a judge that gives features")
    found = cast(FeatureJudge, judge)
    return lambda images: face_features(found, unit_range(images), framing)
