"""The training recipe of every network: ours, and identical for all ranked rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from affectbench_baselines.configs import Config
from affectbench_baselines.variants import Variant

StageName = Literal["base", "last"]
STAGES: tuple[StageName, ...] = ("base", "last")
EmotionKind = Literal["kl", "soft", "features", "ecm"]
EMOTION_KINDS: tuple[EmotionKind, ...] = get_args(EmotionKind)
EMOTION = 0.001
EMOTION_KIND: EmotionKind = "features"
"""Chosen on the validation slice: docs/affectsrnet.md."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each loss term; terms with weight 0 are not computed.

    `pixel` L1; `landmarks` and `edges` of the predicted graph; `parsing`, `frequency` and
    `sparsity` of W-Net and FADN; `perceptual` and `style` by the first stages of VGG16 at 64 px;
    `emotion` through a judge.
    """

    pixel: float = 1.0
    landmarks: float = 0.0
    edges: float = 0.0
    parsing: float = 0.0
    frequency: float = 0.0
    sparsity: float = 0.0
    perceptual: float = 0.0
    style: float = 0.0
    emotion: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One stage of training; `faces` counts every view of a face, in both stages."""

    faces: int
    learning_rate: float
    final_rate: float
    warmup_steps: int
    weights: LossWeights
    emotion_kind: EmotionKind = EMOTION_KIND
    emotion_judge: str = "face-api"


@dataclass(frozen=True)
class Job:
    """Everything that determines a training run, except the machine: equal jobs give equal weights.

    `network` are the settings of the network, overrides included. `zoom` limits how much a face is
    scaled up or down from its file to reach `eye_distance`, the distance of the outer eye corners
    in image widths; `plain_share` of the faces are used unchanged.
    """

    variant: str
    family: str
    network: Mapping[str, Any]
    stage_name: StageName
    stage: Stage
    seed: int = 0
    batch_size: int = 8
    ema_decay: float = 0.999
    size: int = 128
    eye_distance: tuple[float, float] = (0.30, 0.50)
    zoom: tuple[float, float] = (0.85, 1.30)
    plain_share: float = 0.25
    native_scale_share: float = 0.5
    """For a multi-scale network, the share of batches at its largest scale."""
    balance: float = 0.0
    """Draw faces of rare expressions more often: 0 draws all alike, 1 gives each expression, as the
    judge of the emotion loss reads it at temperature 4, an equal share."""
    precision: str = "32-true"
    """Lightning Fabric's name. With `bf16-mixed` the network runs in bfloat16 and channels-last."""

    @property
    def steps(self) -> int:
        """Number of batches; the last one is full too."""
        return math.ceil(self.stage.faces / self.batch_size)

    def record(self) -> dict[str, Any]:
        """Return the job as plain JSON data."""
        return {**asdict(self), "network": dict(self.network)}


FACES: dict[int, dict[StageName, int]] = {
    8: {"base": 45_000, "last": 15_000},
    4: {"base": 15_000, "last": 5_000},
}
"""The training budget of every ranked row, in faces seen, by scale."""

PERCEPTUAL, STYLE = 0.01, 0.005
"""On bicubic faces their gradient is about 0.3 of the pixel loss's gradient."""


def make_job(
    name: str,
    variant: Variant,
    config: Config,
    stage_name: StageName = "base",
    *,
    faces: int | None = None,
    seed: int = 0,
    emotion_weight: float | None = None,
    emotion_kind: EmotionKind = EMOTION_KIND,
    **changes: Any,
) -> Job:
    """Return the job of a variant under the common recipe; `changes` override fields of the job."""
    weights = dict(config.loss_weights)
    last = stage_name == "last"
    if last:
        weights |= {"perceptual": PERCEPTUAL, "style": STYLE}
        if variant.emotion:
            weights["emotion"] = EMOTION if emotion_weight is None else emotion_weight
    stage = Stage(
        faces=FACES[variant.scale][stage_name] if faces is None else faces,
        learning_rate=2e-4 if last else 5e-4,
        final_rate=1e-5 if last else 5e-5,
        warmup_steps=50 if last else 200,
        weights=LossWeights(**weights),
        emotion_kind=emotion_kind,
    )
    network = {**config.network, **variant.overrides}
    return Job(name, variant.family, network, stage_name, stage, seed, **changes)


def learning_rate(stage: Stage, step: int, steps: int) -> float:
    """Return the rate: linear warm-up, then a half cosine from `learning_rate` to `final_rate`."""
    warm = min(1.0, (step + 1) / max(1, stage.warmup_steps))
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return warm * (stage.final_rate + (stage.learning_rate - stage.final_rate) * cosine)
