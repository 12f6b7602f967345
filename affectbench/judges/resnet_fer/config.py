"""The hyper-parameters of a run, read from JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .augment import AugmentConfig, View

DEFAULT_PATH = Path(__file__).with_name("config.json")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run but the data, the clock and the hardware."""

    seed: int
    frozen_blocks: int
    batch_size: int
    epochs: int
    learning_rate: float
    head_rate: float
    weight_decay: float
    warmup_steps: int
    label_smoothing: float
    dropout: float
    ema_decay: float
    mixup_share: float
    mixup_max_weight: float
    views: tuple[View, ...]
    augment: AugmentConfig

    def view(self, progress: float) -> View:
        """The view at a progress in [0,1]."""
        return next((view for view in self.views if progress < view.until), self.views[-1])


def load_config(path: Path = DEFAULT_PATH) -> TrainConfig:
    """Read a configuration; an unknown or missing key raises TypeError."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["views"] = tuple(View(**view) for view in values["views"])
    values["augment"] = AugmentConfig(**values["augment"])
    return TrainConfig(**values)
