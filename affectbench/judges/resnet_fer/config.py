"""The hyper-parameters of a run, read from JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from .augment import AugmentConfig
from .network import ResNetFer

DEFAULT_PATH = Path(__file__).with_name("config.json")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run but the data, the clock and the hardware."""

    seed: int
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    batch_size: int
    epochs: int
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup_steps: int
    label_smoothing: float
    dropout: float
    ema_decay: float
    mixup_share: float
    mixup_max_weight: float
    small_view: int
    full_view_from: float
    augment: AugmentConfig

    def build(self, generator: torch.Generator | None = None) -> ResNetFer:
        """A fresh network."""
        return ResNetFer(self.stem, self.widths, self.depths, generator)


def load_config(path: Path = DEFAULT_PATH) -> TrainConfig:
    """Read a configuration; an unknown or missing key raises TypeError."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["widths"] = tuple(values["widths"])
    values["depths"] = tuple(values["depths"])
    values["augment"] = AugmentConfig(**values["augment"])
    return TrainConfig(**values)
