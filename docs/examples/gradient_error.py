"""The metric `gradient_error`: how far the edges of SR are from those of HR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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


class GradientError:
    """mean(|dx SR - dx HR| + |dy SR - dy HR|) / 2 of values in [0, 1]."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reference(self, hr: torch.Tensor) -> None:
        """Small results of HR, computed once for all models; nothing here."""

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: None) -> Columns:
        """Values (N,) of uint8 images (N, 3, H, W), in a column of the metric's name."""
        difference = (sr.to(self.device).double() - hr.to(self.device).double()) / 255
        dx = difference.diff(dim=3).abs().mean(dim=(1, 2, 3))
        dy = difference.diff(dim=2).abs().mean(dim=(1, 2, 3))
        return {"gradient_error": ((dx + dy) / 2).cpu().numpy()}


def identify(_settings: MetricSettings) -> Mapping[str, Any]:
    """What decides the numbers beside the images, such as the hash of weights."""
    return {}


def build(
    _settings: MetricSettings,
    _judge: Judge | None,
    device: torch.device,
) -> ImageMetric:
    """The metric, ready to run."""
    return GradientError(device)


GRADIENT_ERROR = MetricPlugin(
    spec=MetricSpec(
        name="gradient_error",
        version="1",
        title="Mean absolute error of image gradients",
        group="fidelity",
        direction="lower",
        range=(0.0, 1.0),
        source="docs/examples/gradient_error.py",
        min_size=2,
    ),
    identify=identify,
    build=build,
)
