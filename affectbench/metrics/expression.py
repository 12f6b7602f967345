"""What else a judge's two readings of a face say, beside ECM: metrics of one judge, per image.

All of them derive their columns from what `ecm` computes, so that a judge is asked once for each
image, whichever of them a run names. With p and q the class probabilities on HR and SR and
k = argmax p:

- `agreement`: 1 if argmax q = k, else 0; its mean is the share of faces that keep their label
- `js_divergence`: Jensen-Shannon divergence of p and q in nats, in [0, ln 2]
- `confidence_drift`: |p_k - q_k|, in [0, 1]
- `valence_drift`, `arousal_drift`: absolute change of valence and arousal, on AffectNet's scale
  of -1 to 1, where the judge gives them. The set also gets the concordance correlation
  coefficient of SR and HR as `valence_ccc` and `arousal_ccc`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from affectbench.types import Columns


def concordance(x: ArrayLike, y: ArrayLike) -> float:
    """Lin's concordance correlation coefficient of x and y (N,), in [-1, 1]; higher is better.

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2), variances over N: 1 only where x = y.
    NaN for fewer than two values, and where both are the same constant. Source: L. I. Lin, "A
    Concordance Correlation Coefficient to Evaluate Reproducibility", Biometrics 45, 1989.

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
    """1 where the judge sees the same label on both, else 0."""
    return {name: columns[name] for name in ("agreement", "label_hr", "label_sr")}


def js_divergence(columns: Columns) -> Columns:
    """The Jensen-Shannon divergence of p and q."""
    return {"js_divergence": columns["js"]}


def confidence_drift(columns: Columns) -> Columns:
    """|p_k - q_k|, with both."""
    p_k, q_k = columns["p_k"], columns["q_k"]
    return {"confidence_drift": np.abs(p_k - q_k), "p_k": p_k, "q_k": q_k}


def drift(name: str, columns: Columns) -> Columns:
    """The absolute change of valence or arousal, with both."""
    hr, sr = (np.asarray(columns[f"{name}_{side}"], np.float64) for side in ("hr", "sr"))
    return {f"{name}_drift": np.abs(sr - hr), f"{name}_hr": hr, f"{name}_sr": sr}


def ccc(name: str, columns: Columns) -> Mapping[str, float]:
    """The concordance of valence or arousal on SR and HR, over the faces that have both."""
    sr, hr = (np.asarray(columns[f"{name}_{side}"], np.float64) for side in ("sr", "hr"))
    known = np.isfinite(sr) & np.isfinite(hr)  # a face without a region has neither
    return {f"{name}_ccc": concordance(sr[known], hr[known])}
