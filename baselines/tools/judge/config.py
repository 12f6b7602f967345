"""The hyper-parameters of a run, read from JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tools.judge.augment import AugmentConfig, View


@dataclass(frozen=True)
class TrainConfig:
    """Everything that determines a run except the data, the clock and the hardware.

    `start` is what `tools.judge.start` takes, `size` the side in pixels to which the network
    enlarges a face, `frozen_blocks` the count of lower blocks that stay as they are. Faces are
    drawn with a probability that falls with their expressions' share to the power `balance`. The
    target mixes the teachers' predictions, with weight `teacher_weight`, and the votes;
    `label_weight` is the weight of a second head that learns FER2013's own labels and is discarded,
    `pair_weight` that of the squared error of ECM between the faces of a batch.
    """

    seed: int
    start: str
    size: int
    frozen_blocks: int
    batch_size: int
    epochs: int
    learning_rate: float
    head_rate: float
    weight_decay: float
    warmup_steps: int
    dropout: float
    ema_decay: float
    mixup_share: float
    mixup_max_weight: float
    balance: float
    label_weight: float
    teacher_weight: float
    pair_weight: float
    views: tuple[View, ...]
    augment: AugmentConfig

    def view(self, progress: float) -> View:
        """Return the view at a progress in [0,1]."""
        return next((view for view in self.views if progress < view.until), self.views[-1])


def load_config(path: Path) -> TrainConfig:
    """Read a configuration; an unknown or missing key raises TypeError."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["views"] = tuple(View(**view) for view in values["views"])
    values["augment"] = AugmentConfig(**values["augment"])
    return TrainConfig(**values)
