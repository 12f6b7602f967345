"""Emotion consistency of images in memory: the score, and the loss to train with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import torch

from affectbench.aggregate import macro_classes
from affectbench.errors import InputError
from affectbench.faces.regions import crop, face_box
from affectbench.images.tensors import ImageLike, as_batch, as_pair, require_same_shape, unit_range
from affectbench.judges import DEFAULT_JUDGE, load_judge
from affectbench.metrics.ecm import (
    ALPHA,
    Distance,
    definition,
    ecm_parts,
    face_logits,
    part_columns,
    smoothed_ecm,
)
from affectbench.stats import Interval, bca_interval, set_mean, shared_rng
from affectbench.types import Columns, Judge

FRAME_COLUMNS = (
    "ecm",
    "l_h",
    "l_conf",
    "label_hr",
    "label_sr",
    "agreement",
    "p_k",
    "q_k",
    "js",
)


@dataclass(frozen=True, eq=False, repr=False)
class EmotionConsistencyResult:
    """ECM of a batch of pairs: a number by `float(r)`, its interval, and the table behind it.

    `columns` are the per-image parts with the class probabilities (`p_CLASS` on the reference,
    `q_CLASS` on the super-resolved face); `judge`, `definition` and `framing` say what was
    measured, `seed` seeds the bootstrap of the intervals.
    """

    columns: Columns
    judge: str
    definition: str
    framing: str
    seed: int

    def __float__(self) -> float:
        """Plain mean of ECM over the batch."""
        return set_mean(self._ecm)

    def __len__(self) -> int:
        return len(self._ecm)

    def __repr__(self) -> str:
        low, high = self.interval.low, self.interval.high
        return (
            f"EmotionConsistencyResult({float(self):.4f}, 95 % [{low:.4f}, {high:.4f}], "
            f"macro={self.macro:.4f}, n={len(self)}, {self.definition}, judge={self.judge!r}, "
            f"framing={self.framing!r})"
        )

    @cached_property
    def macro(self) -> float:
        """Mean over the reference's classes with at least 10 faces of the class means.

        The plain mean if no class has 10 faces, so it is never NaN.
        """
        return set_mean(self._ecm, self._classes)

    @cached_property
    def interval(self) -> Interval:
        """95 % bootstrap interval (10,000 draws) of `float(r)`; NaN under 6 faces."""
        return self._interval(None)

    @cached_property
    def macro_interval(self) -> Interval:
        """95 % bootstrap interval (10,000 draws) of `macro`; NaN under 6 faces."""
        return self._interval(self._classes)

    def to_frame(self) -> pd.DataFrame:
        """One row per image, in the order of the batch.

        Columns: `ecm`, `l_h`, `l_conf`; `label_hr` and `label_sr`, the judge's class names;
        `agreement`, whether they are equal; `p_k` and `q_k`, the probabilities of `label_hr` on
        HR and SR; `js`, the Jensen-Shannon divergence in nats.
        """
        return pd.DataFrame({name: self.columns[name] for name in FRAME_COLUMNS})

    @property
    def _ecm(self) -> np.ndarray:
        return self.columns["ecm"]

    @property
    def _classes(self) -> np.ndarray:
        return macro_classes(self.columns["label_hr"])[0]

    def _interval(self, classes: np.ndarray | None) -> Interval:
        return bca_interval(self._ecm, shared_rng(self.seed, len(self._ecm)), classes)


def emotion_consistency(
    sr: ImageLike,
    hr: ImageLike,
    judge: Judge | str = DEFAULT_JUDGE,
    *,
    alpha: float = ALPHA,
    distance: Distance = "hellinger",
    framing: str = "centre",
    seed: int = 0,
) -> EmotionConsistencyResult:
    """How far the emotion on super-resolved faces is from that on their references.

    ECM = alpha * L_H + ln(L_conf), where L_H is the Hellinger distance of the judge's class
    probabilities p on HR and q on SR, L_conf = 1 + |p_k - q_k| and k = argmax p. In
    [0, alpha + ln 2], which is [0, 1.193] at alpha = 0.5; 0 is the same expression, lower is
    better.

    This is `ecm/1`, our reading of arXiv 2502.09932, not checked against its definition section.
    Another `alpha` or `distance` (`cross_entropy`, `hamming`) gives another `definition`.

    Args:
        sr: Super-resolved faces: one image or a batch, see `affectbench.images.tensors.ImageLike`
            (tensors in [0, 1], uint8 arrays, Pillow images, paths, or a list of these). Floats
            are rounded to 8 bits, as for every metric: a batch in memory has the ECM of its files.
        hr: Their references, of the same shape.
        judge: A loaded judge, which must be on the device of the images, or a judge's name.
        framing: Where the face is: `centre` takes the central 70 % of both images, `whole` takes
            them as they are (crops already), other names are in `affectbench.faces.regions`.
            A data set's own framing is better than `centre`, if the images have one. The region
            is always that of `crop/1`; `crop/2`, from landmarks, is an option of `score`.
        seed: Seed of the bootstrap.

    Raises:
        InputError: Shapes that differ, values outside of [0, 1], NaN, an unreadable file, an
            unknown distance, a bad alpha, or an image for which the judge gives no finite logits.
        UnknownNameError: No such judge or framing.

    >>> faces = torch.rand(2, 3, 64, 64)
    >>> float(emotion_consistency(faces, faces))
    0.0
    """
    name = definition(alpha, distance)
    face_box(framing)
    sr_faces, hr_faces = as_pair(sr, hr)
    judge = _loaded(judge, sr_faces.device)
    parts = ecm_parts(
        face_logits(judge, unit_range(hr_faces), framing),
        face_logits(judge, unit_range(sr_faces), framing),
        alpha,
        distance,
    )
    columns = part_columns(parts, judge.classes)
    return EmotionConsistencyResult(columns, judge.spec.name, name, framing, seed)


def emotion_consistency_loss(
    sr: torch.Tensor,
    hr: ImageLike,
    judge: Judge | str,
    *,
    alpha: float = ALPHA,
    framing: str = "centre",
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> torch.Tensor:
    """A smoothed surrogate of ECM to train with, differentiable with respect to `sr`.

    The formula of `emotion_consistency` with sqrt(s + 1e-12) - 1e-6 as the root in L_H, in
    float32 also under autocast. Gradients are finite, and 0 for identical images; none reaches
    `hr`. A model trained with it must name the judge in its `trained_against`, and is not ranked
    by that judge.

    `sr` may leave [0, 1], as the output of a network in training does: the judge sees the values
    as they are, neither clamped nor rounded to 8 bits, which would stop the gradient. While `sr`
    has a gradient, NaN passes through, so that a gradient scaler can skip the step. `hr` has to lie
    in [0, 1]. Load the judge once with `load_judge`, on the device of `sr`: a name loads it anew in
    every call.

    Returns a scalar, or shape (N,) with `reduction="none"`. Range and direction as in
    `emotion_consistency`.

    Raises:
        InputError: `sr` is not a float tensor (N, 3, H, W) or (3, H, W), shapes that differ, `hr`
            outside of [0, 1], a bad alpha, an unknown reduction, or a judge without gradients.
        UnknownNameError: No such judge or framing.

    >>> sr, hr = torch.rand(2, 3, 64, 64, requires_grad=True), torch.rand(2, 3, 64, 64)
    >>> emotion_consistency_loss(sr, hr, load_judge("face-api")).backward()
    >>> sr.grad.shape
    torch.Size([2, 3, 64, 64])
    """
    definition(alpha)
    if reduction not in ("mean", "sum", "none"):
        raise InputError(f"unknown reduction '{reduction}'; known: mean, sum, none")
    faces, references = _trainable(sr), as_batch(hr, "hr").to(sr.device)
    require_same_shape(faces, references)
    judge = _loaded(judge, sr.device)
    if not judge.spec.differentiable:
        raise InputError(
            f"judge '{judge.spec.name}' gives no gradients, so nothing can be trained with it; "
            f"take another one, for example '{DEFAULT_JUDGE}'"
        )
    with torch.autocast(sr.device.type, enabled=False):
        with torch.no_grad():
            logits_hr = judge.logits(crop(references, framing)).float()
        logits_sr = judge.logits(crop(faces, framing)).float()
        values = smoothed_ecm(logits_hr, logits_sr, alpha)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()


def _loaded(judge: Judge | str, device: torch.device) -> Judge:
    """The judge itself, or the one of that name loaded on a device."""
    return load_judge(judge, device) if isinstance(judge, str) else judge


def _trainable(sr: torch.Tensor) -> torch.Tensor:
    """A float tensor as a float32 batch with its gradient; only its shape is checked."""
    if not isinstance(sr, torch.Tensor) or not sr.is_floating_point():
        kind = f"{sr.dtype} tensor" if isinstance(sr, torch.Tensor) else type(sr).__name__
        raise InputError(f"sr: a {kind} has no gradient; pass a float tensor (N, 3, H, W)")
    batch = sr.unsqueeze(0) if sr.ndim == 3 else sr
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise InputError(
            f"sr: the tensor has the shape {tuple(sr.shape)}; (N, 3, H, W) is needed, and nothing "
            "in it may be empty"
        )
    return batch.to(torch.float32)
