"""The definition `ecm/1` of the Emotion Consistency Metric, on class logits.

The paper (arXiv 2502.09932) gives ECM = alpha * L_H + log(L_conf) with alpha = 0.5. We could not
access the section that defines L_H and L_conf; the two definitions below are our reading.
With p and q the class probabilities on the reference and on the super-resolved face, k = argmax p:

- L_H    = sqrt(1/2 * sum_i (sqrt(p_i) - sqrt(q_i))^2), the Hellinger distance, in [0, 1]
- L_conf = 1 + |p_k - q_k|, in [1, 2]
- ECM    = alpha * L_H + ln(L_conf), in [0, 1.193] at alpha = 0.5; 0 is the same expression

Two other readings of L_H are available as named variants and never mixed with `ecm/1`:
`cross_entropy` (-sum_i p_i ln q_i, which has no upper bound and is not 0 for identical faces) and
`hamming` (1 if the two labels differ, else 0).

`EcmMetric` computes ECM per image for one judge. The other metrics of the judge's predictions are
derived from the same columns, so the judge runs once per image, whichever of them a run names:

- `agreement`: 1 if argmax q = k, else 0; its mean is the share of faces that keep their label
- `js_divergence`: Jensen-Shannon divergence of p and q in nats, in [0, ln 2]
- `confidence_drift`: |p_k - q_k|, in [0, 1]
- `valence_drift`, `arousal_drift`: absolute change of valence and arousal, on AffectNet's scale
  of -1 to 1, where the judge gives them. The set also gets the concordance correlation
  coefficient of SR and HR as `valence_ccc` and `arousal_ccc`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from affectbench.errors import AffectBenchError, InputError, listed
from affectbench.faces.landmarks import landmarker
from affectbench.faces.regions import LANDMARK_CROP_VERSION, crop
from affectbench.images.tensors import unit_range
from affectbench.metrics.base import OnReferenceFaces, undisturbed
from affectbench.types import (
    AffectiveJudge,
    Columns,
    FeatureJudge,
    ImageMetric,
    Judge,
    MetricSettings,
)

Distance = Literal["hellinger", "cross_entropy", "hamming"]
DISTANCES: tuple[Distance, ...] = ("hellinger", "cross_entropy", "hamming")
ALPHA = 0.5
CHUNK = 16
"""Faces per judge batch, so that memory does not grow with the number of faces."""
CONFIDENT = 0.5
"""A reference counts for `flip_rate` if its top class has at least this probability."""


@dataclass(frozen=True)
class Parts:
    """All parts of `ecm/1` for N pairs: float64 tensors (N,), except p and q, which are (N, K).

    `label_hr` and `label_sr` are class indices (int64); `p_k` and `q_k` are the probabilities of
    the reference's class; `js` is the Jensen-Shannon divergence in nats, in [0, ln 2].
    """

    ecm: torch.Tensor
    l_h: torch.Tensor
    l_conf: torch.Tensor
    label_hr: torch.Tensor
    label_sr: torch.Tensor
    p_k: torch.Tensor
    q_k: torch.Tensor
    js: torch.Tensor
    p: torch.Tensor
    q: torch.Tensor


def definition(alpha: float = ALPHA, distance: Distance = "hellinger") -> str:
    """Return the name under which scores with these settings are stored.

    Raises InputError for an unknown distance and for an alpha that is negative or not finite.

    >>> definition(), definition(alpha=0.3, distance="hamming")
    ('ecm/1', 'ecm/1+alpha=0.3+distance=hamming')
    """
    if distance not in DISTANCES:
        raise InputError(f"unknown distance '{distance}'; known: {', '.join(DISTANCES)}")
    if not 0.0 <= alpha < float("inf"):
        raise InputError(f"alpha is {alpha}; it must be a finite number that is not negative")
    name = "ecm/1"
    if alpha != ALPHA:
        # All digits: different settings must never share a name.
        name += f"+alpha={float(alpha)!r}".removesuffix(".0")
    if distance != "hellinger":
        name += f"+distance={distance}"
    return name


def ecm_parts(
    logits_hr: torch.Tensor,
    logits_sr: torch.Tensor,
    alpha: float = ALPHA,
    distance: Distance = "hellinger",
) -> Parts:
    """Return ECM and its parts from logits (N, K) of the reference and the super-resolved faces.

    Computed in float64 from log-probabilities: with the Hellinger distance, ECM is exactly 0 for
    identical logits and finite for one-hot outputs. The two sides are treated alike, except that k
    is the reference's class. No gradient: L_H has none where both sides are equal, see
    `smoothed_ecm`.

    Raises InputError for shapes that differ, and for NaN or infinite logits, naming the index of
    the image in the batch.

    >>> a = torch.tensor([[2.0, 0.0, 0.0]])
    >>> float(ecm_parts(a, a).ecm)
    0.0
    """
    definition(alpha, distance)
    if logits_hr.shape != logits_sr.shape or logits_hr.ndim != 2:
        raise InputError(
            f"logits have the shapes {tuple(logits_hr.shape)} and {tuple(logits_sr.shape)}; both "
            "must be the same (N, K)"
        )
    _require_finite(logits_hr, "hr")
    _require_finite(logits_sr, "sr")
    log_p = logits_hr.detach().double().log_softmax(1)
    log_q = logits_sr.detach().double().log_softmax(1)
    p, q = log_p.exp(), log_q.exp()
    label_hr, label_sr = log_p.argmax(1), log_q.argmax(1)
    p_k, q_k = _at(p, label_hr), _at(q, label_hr)
    l_conf = 1.0 + (p_k - q_k).abs()
    if distance == "hellinger":
        l_h = squared_hellinger(log_p, log_q).clamp(max=1.0).sqrt()  # rounding can exceed 1
    elif distance == "cross_entropy":
        l_h = -(p * log_q).sum(1)
    else:
        l_h = (label_hr != label_sr).double()
    ecm = alpha * l_h + l_conf.log()
    js = jensen_shannon(log_p, log_q)
    return Parts(ecm, l_h, l_conf, label_hr, label_sr, p_k, q_k, js, p, q)


def squared_hellinger(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Return the squared Hellinger distance (N,), in [0, 1], of log-probabilities (N, K).

    Computed from halved log-probabilities, whose gradient stays finite where p or q is 0.
    """
    return 0.5 * ((0.5 * log_p).exp() - (0.5 * log_q).exp()).square().sum(1)


def jensen_shannon(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence (N,), in [0, ln 2] nats, of log-probabilities (N, K).

    The log-probabilities must be finite. Exactly 0 for identical distributions.
    """
    gap = log_q - log_p
    terms = log_p.exp() * _log_mean_ratio(gap) + log_q.exp() * _log_mean_ratio(-gap)
    return (-0.5 * terms.sum(1)).clamp(0.0, math.log(2.0))


def _log_mean_ratio(gap: torch.Tensor) -> torch.Tensor:
    """Return ln((1 + e^gap) / 2), the log of (p + q) / 2 over p; no overflow, exactly 0 at 0."""
    return gap.clamp(min=0.0) + (0.5 * torch.expm1(-gap.abs())).log1p()


def smoothed_ecm(
    logits_hr: torch.Tensor, logits_sr: torch.Tensor, alpha: float = ALPHA
) -> torch.Tensor:
    """Return a smoothed surrogate of ECM (N,) for training, differentiable in both logits.

    sqrt(s + 1e-12) - 1e-6 replaces the square root in L_H, so that the gradient is finite where
    the two sides are nearly equal (and 0 where they are equal). It differs from `ecm/1` by at most
    alpha * 1e-6, plus float32 rounding. Non-finite values pass through.
    """
    log_p, log_q = logits_hr.log_softmax(1), logits_sr.log_softmax(1)
    label = log_p.argmax(1)
    l_h = (squared_hellinger(log_p, log_q) + 1e-12).sqrt() - 1e-6
    gap = (_at(log_p, label).exp() - _at(log_q, label).exp()).abs()
    return alpha * l_h + gap.log1p()


def _require_finite(logits: torch.Tensor, side: str) -> None:
    bad = (~logits.isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        raise InputError(
            f"{side}: the judge's logits are NaN or infinite for image {listed(map(str, bad))} of "
            "the batch (counted from 0); the judge cannot read it, leave it out"
        )


def _at(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return values.gather(1, index[:, None]).squeeze(1)


@dataclass(frozen=True)
class Readings:
    """A judge's logits (N, K), and valence and arousal (N, 2) if it predicts them."""

    logits: torch.Tensor
    affect: torch.Tensor | None


class EcmMetric:
    """ECM of one judge and framing, behind the runner's interface: uint8 images (N, 3, H, W)."""

    def __init__(self, judge: Judge, framing: str, device: torch.device) -> None:
        self._judge = judge
        self._framing = framing
        self._device = device

    def reference(self, hr: torch.Tensor) -> Readings:
        """Return the judge's predictions on the HR faces, computed once for all models."""
        images = unit_range(hr.to(self._device))
        if isinstance(self._judge, AffectiveJudge):
            return Readings(*_in_chunks(self._judge.logits_and_affect, images, self._framing))
        return Readings(face_logits(self._judge, images, self._framing), None)

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Readings) -> Columns:  # noqa: ARG002
        """Return the columns of `part_columns` for each image.

        If the judge predicts them, also `valence_hr`, `valence_sr`, `arousal_hr` and `arousal_sr`.
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
    """Return logits (N, K) of the face regions of images (N, 3, H, W) in [0, 1], on the CPU."""
    return _in_chunks(lambda x: (judge.logits(x),), images, framing)[0]


def face_features(judge: FeatureJudge, images: torch.Tensor, framing: str) -> torch.Tensor:
    """Return features (N, D) of the face regions of images (N, 3, H, W) in [0, 1], on the CPU."""
    return _in_chunks(lambda x: (judge.features(x),), images, framing)[0]


def _in_chunks(
    ask: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], images: torch.Tensor, framing: str
) -> tuple[torch.Tensor, ...]:
    with undisturbed(images.device):
        chunks = torch.split(crop(images, framing), CHUNK)
        answers = [tuple(part.cpu() for part in ask(chunk)) for chunk in chunks]
    return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))


def part_columns(parts: Parts, classes: Sequence[str]) -> Columns:
    """Return parts as named numpy columns: labels as class names, p and q per class as float32."""
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


def build(settings: MetricSettings, judge: Judge | None, device: torch.device) -> ImageMetric:
    """Return the metric for one judge and framing."""
    if settings.crop == LANDMARK_CROP_VERSION:
        metric = EcmMetric(_required(judge), "whole", device)
        return OnReferenceFaces(metric, landmarker(settings.framing, device))
    return EcmMetric(_required(judge), settings.framing, device)


def summarise(columns: Columns) -> Mapping[str, float]:
    """Return `agreement`, the share of faces with equal labels, and `flip_rate`.

    Both are taken over the faces whose region is known. `flip_rate` is the share of confident
    references whose label changes: those with p_k >= 0.5 (our choice: it excludes faces whose label
    is close to a coin toss); NaN if there are none.
    """
    agreement = np.asarray(columns["agreement"], dtype=np.float64)
    known = ~np.isnan(agreement)
    agreement = agreement[known]
    confident = np.asarray(columns["p_k"])[known] >= CONFIDENT
    flips = 1.0 - agreement[confident]
    return {
        "agreement": float(agreement.mean()) if agreement.size else float("nan"),
        "flip_rate": float(flips.mean()) if flips.size else float("nan"),
    }


def _required(judge: Any) -> Any:
    if judge is None:
        raise AffectBenchError("metrics of expression need a judge; name one with --judges")
    return judge


def concordance(x: ArrayLike, y: ArrayLike) -> float:
    """Return Lin's concordance correlation coefficient of x and y (N,), in [-1, 1].

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2), with variances over N. Higher is better; 1
    only if x = y. NaN for fewer than two values, and if both are the same constant. Source: L. I.
    Lin, "A Concordance Correlation Coefficient to Evaluate Reproducibility", Biometrics 45, 1989.

    >>> round(concordance([0.0, 1.0, 2.0], [0.5, 1.5, 2.5]), 4)
    0.8421
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.size < 2:
        return math.nan
    spread = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    return float(2.0 * covariance / spread) if spread > 0 else math.nan


def agreement(columns: Columns) -> Columns:
    """Return 1 where the judge predicts the same label on both, else 0."""
    return {name: columns[name] for name in ("agreement", "label_hr", "label_sr")}


def js_divergence(columns: Columns) -> Columns:
    """Return the Jensen-Shannon divergence of p and q."""
    return {"js_divergence": columns["js"]}


def confidence_drift(columns: Columns) -> Columns:
    """Return |p_k - q_k|, with p_k and q_k."""
    p_k, q_k = columns["p_k"], columns["q_k"]
    return {"confidence_drift": np.abs(p_k - q_k), "p_k": p_k, "q_k": q_k}


def drift(name: str, columns: Columns) -> Columns:
    """Return the absolute change of valence or arousal, with both values."""
    hr, sr = (np.asarray(columns[f"{name}_{side}"], np.float64) for side in ("hr", "sr"))
    return {f"{name}_drift": np.abs(sr - hr), f"{name}_hr": hr, f"{name}_sr": sr}


def ccc(name: str, columns: Columns) -> Mapping[str, float]:
    """Return the concordance of valence or arousal on SR and HR, over faces that have both."""
    sr, hr = (np.asarray(columns[f"{name}_{side}"], np.float64) for side in ("sr", "hr"))
    known = np.isfinite(sr) & np.isfinite(hr)  # a face without a region has neither
    return {f"{name}_ccc": concordance(sr[known], hr[known])}
