"""Emotion consistency of in-memory images: the score, and a loss for training."""

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
from affectbench.judges import DEFAULT_JUDGE, JudgeLike, load_judge
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
from affectbench.types import Columns

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
    """ECM of a batch of pairs: the value as `float(r)`, its interval, and the per-image table.

    `columns` holds the per-image parts and the class probabilities (`p_CLASS` on the reference,
    `q_CLASS` on the super-resolved face). `judge`, `definition` and `framing` record what was
    measured; `seed` seeds the bootstrap of the intervals.
    """

    columns: Columns
    judge: str
    definition: str
    framing: str
    seed: int

    def __float__(self) -> float:
        """Return the plain mean of ECM over the batch."""
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
        """Macro mean: the mean of the class means over reference classes with at least 10 faces.

        If no class has 10 faces it is the plain mean, so it is never NaN.
        """
        return set_mean(self._ecm, self._classes)

    @cached_property
    def interval(self) -> Interval:
        """95 % bootstrap interval (10,000 draws) of `float(r)`; NaN for fewer than 6 faces."""
        return self._interval(None)

    @cached_property
    def macro_interval(self) -> Interval:
        """95 % bootstrap interval (10,000 draws) of `macro`; NaN for fewer than 6 faces."""
        return self._interval(self._classes)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per image, in batch order.

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
    judge: JudgeLike = DEFAULT_JUDGE,
    *,
    alpha: float = ALPHA,
    distance: Distance = "hellinger",
    framing: str = "centre",
    seed: int = 0,
) -> EmotionConsistencyResult:
    """Return the Emotion Consistency Metric (ECM) of super-resolved faces and their references.

    ECM = alpha * L_H + ln(L_conf), where L_H is the Hellinger distance between the judge's class
    probabilities p on HR and q on SR, L_conf = 1 + |p_k - q_k| and k = argmax p. The range is
    [0, alpha + ln 2], i.e. [0, 1.193] at alpha = 0.5. Lower is better; 0 means the same expression.

    This is `ecm/1`, our reading of arXiv 2502.09932; it was not checked against the paper's
    definition section. Any other `alpha` or `distance` (`cross_entropy`, `hamming`) gives a
    different `definition`.

    Args:
        sr: Super-resolved faces: one image or a batch, see `affectbench.images.tensors.ImageLike`
            (tensors and arrays, uint8 or floats in [0, 1]; Pillow images, paths, or a list of
            these). Floats are rounded to 8 bits, as for every metric, so that a batch in memory
            scores the same as its image files.
        hr: The references, of the same shape.
        judge: The name of a judge, a loaded judge on the same device as the images, or a module
            or function from face crops (N, 3, H, W) in [0, 1] to logits (N, K): see
            `affectbench.judges.held` for what it may say of itself.
        framing: How the faces are framed: `centre` takes the central 70 % of both images, `whole`
            the full images (already face crops); for other names see `affectbench.faces.regions`.
            If the images come from a data set with its own framing, prefer that to `centre`. The
            region is always `crop/1`; `crop/2`, from landmarks, is an option of `score`.
        seed: Seed of the bootstrap.

    Raises:
        InputError: The shapes differ, values lie outside [0, 1] or are NaN, a file cannot be
            read, the distance is unknown, alpha is invalid, or the judge's logits for an image are
            not finite.
        UnknownNameError: There is no such judge or framing.

    >>> faces = torch.rand(2, 3, 64, 64)
    >>> float(emotion_consistency(faces, faces))
    0.0
    """
    name = definition(alpha, distance)
    face_box(framing)
    sr_faces, hr_faces = as_pair(sr, hr)
    loaded = load_judge(judge, sr_faces.device)
    parts = ecm_parts(
        face_logits(loaded, unit_range(hr_faces), framing),
        face_logits(loaded, unit_range(sr_faces), framing),
        alpha,
        distance,
    )
    columns = part_columns(parts, loaded.classes)
    return EmotionConsistencyResult(columns, loaded.spec.name, name, framing, seed)


def emotion_consistency_loss(
    sr: torch.Tensor,
    hr: ImageLike,
    judge: JudgeLike,
    *,
    alpha: float = ALPHA,
    framing: str = "centre",
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> torch.Tensor:
    """Return a smoothed surrogate of ECM for training, differentiable with respect to `sr`.

    The formula is that of `emotion_consistency`, with sqrt(s + 1e-12) - 1e-6 instead of the root
    in L_H; it is computed in float32 even under autocast. Gradients are finite, and 0 for identical
    images; `hr` gets none. A model trained with this loss must list the judge in its
    `trained_against`, and is not ranked by that judge.

    `sr` may lie outside [0, 1], as network outputs do during training: values are neither clamped
    nor rounded to 8 bits, which would stop the gradient. While `sr` requires a gradient, NaN
    passes through, so that a gradient scaler can skip the step. `hr` must lie in [0, 1]. Load the
    judge once with `load_judge`, on the device of `sr`: passing a name reloads it in every call,
    and a module is copied in every call.

    Returns a scalar, or shape (N,) with `reduction="none"`. Range and direction are those of
    `emotion_consistency`.

    Raises:
        InputError: `sr` is not a float tensor (N, 3, H, W) or (3, H, W), the shapes differ, `hr`
            lies outside [0, 1], alpha is invalid, the reduction is unknown, or the judge is not
            differentiable.
        UnknownNameError: There is no such judge or framing.

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
    loaded = load_judge(judge, sr.device)
    if not loaded.spec.differentiable:
        raise InputError(
            f"judge '{loaded.spec.name}' gives no gradients, so nothing can be trained with it; "
            f"take another one, for example '{DEFAULT_JUDGE}'"
        )
    with torch.autocast(sr.device.type, enabled=False):
        with torch.no_grad():
            logits_hr = loaded.logits(crop(references, framing)).float()
        logits_sr = loaded.logits(crop(faces, framing)).float()
        values = smoothed_ecm(logits_hr, logits_sr, alpha)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()


def _trainable(sr: torch.Tensor) -> torch.Tensor:
    """Return a float tensor as a float32 batch with its gradient; only the shape is checked."""
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
