"""What a model costs, measured in every run and kept in `cost.csv`, a row per model and data set.

- `parameters`: numbers in the network, as its adapter counts them.
- `multiply_adds`: multiplications with an addition for one LR face of the protocol's size, in
  convolutions, matrix products and attention (half of what torch's FLOP counter counts).
- `faces_per_second`: of the model alone, without reading and scoring, at the run's batch size,
  device and threads. It varies from run to run.
- `peak_memory`: bytes of the tensors that exist at once while one LR face of that size passes
  through, the SR face among them, beyond weights and input. On the CPU these are the tensors that
  operators return: what an operator needs within itself is not seen. On CUDA it is what torch's
  allocator holds at most, less what it held before.

Multiply-adds and memory are known of networks that run in torch, and are empty for all others: for
ONNX graphs, resampling, and stored results (`images:`), which have no speed either. No value of the
kind `cost` takes part in a comparison of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from affectbench.errors import AffectBenchError
from affectbench.types import (
    Direction,
    ImageMetric,
    Judge,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
)

if TYPE_CHECKING:
    import torch


def _identify(_settings: MetricSettings) -> Mapping[str, Any]:
    return {}


def _build(_settings: MetricSettings, _judge: Judge | None, _device: torch.device) -> ImageMetric:
    raise AffectBenchError("cost is measured of a model in every run, not of faces")


def _cost(name: str, title: str, direction: Direction, unit: str = "") -> MetricPlugin:
    spec = MetricSpec(
        name=name,
        version="1",
        title=title,
        kind="cost",
        group="cost",
        direction=direction,
        unit=unit,
        range=(0.0, float("inf")),
        source="measured in every run: cost.csv",
    )
    return MetricPlugin(spec, _identify, _build)


PARAMETERS = _cost("parameters", "Parameters of the model", "lower")
MULTIPLY_ADDS = _cost("multiply_adds", "Multiply-adds for one face", "lower")
FACES_PER_SECOND = _cost("faces_per_second", "Speed of the model alone", "higher", "1/s")
PEAK_MEMORY = _cost("peak_memory", "Largest tensors at once for one face", "lower", "byte")
