"""What else a judge's two readings of a face say, beside ECM: plug-ins of one judge, per image.

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
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from affectbench.metrics.emotion import build, judged
from affectbench.types import Columns, Direction, JudgeSpec, MetricPlugin, MetricSpec


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


def _agreement(columns: Columns) -> Columns:
    return {name: columns[name] for name in ("agreement", "label_hr", "label_sr")}


def _js_divergence(columns: Columns) -> Columns:
    return {"js_divergence": columns["js"]}


def _confidence_drift(columns: Columns) -> Columns:
    p_k, q_k = columns["p_k"], columns["q_k"]
    return {"confidence_drift": np.abs(p_k - q_k), "p_k": p_k, "q_k": q_k}


def _drift(name: str) -> Callable[[Columns], Columns]:
    def derive(columns: Columns) -> Columns:
        hr, sr = (np.asarray(columns[f"{name}_{side}"], np.float64) for side in ("hr", "sr"))
        return {f"{name}_drift": np.abs(sr - hr), f"{name}_hr": hr, f"{name}_sr": sr}

    return derive


def _ccc(name: str) -> Callable[[Columns], Mapping[str, float]]:
    def summarise(columns: Columns) -> Mapping[str, float]:
        sr, hr = (np.asarray(columns[f"{name}_{side}"], np.float64) for side in ("sr", "hr"))
        known = np.isfinite(sr) & np.isfinite(hr)  # a face without a region has neither
        return {f"{name}_ccc": concordance(sr[known], hr[known])}

    return summarise


def _without_affect(judge: JudgeSpec) -> str:
    return "" if judge.affect else f"judge '{judge.name}' gives no valence and arousal"


def _spec(
    name: str, title: str, direction: Direction, highest: float, source: str, *, unit: str = ""
) -> MetricSpec:
    return MetricSpec(
        name=name,
        version="1",
        title=title,
        group="expression",
        direction=direction,
        unit=unit,
        range=(0.0, highest),
        per_judge=True,
        source=source,
    )


AGREEMENT = MetricPlugin(
    spec=_spec(
        "agreement", "Share of faces that keep their label", "higher", 1.0, "our definition"
    ),
    identify=judged,
    build=build,
    derive=_agreement,
)

JS_DIVERGENCE = MetricPlugin(
    spec=_spec(
        "js_divergence",
        "Jensen-Shannon divergence of the class probabilities",
        "lower",
        math.log(2.0),
        "Lin, IEEE Transactions on Information Theory 37, 1991",
        unit="nat",
    ),
    identify=judged,
    build=build,
    derive=_js_divergence,
)

CONFIDENCE_DRIFT = MetricPlugin(
    spec=_spec(
        "confidence_drift",
        "Change of the probability of the reference's class",
        "lower",
        1.0,
        "our definition: |p_k - q_k|",
    ),
    identify=judged,
    build=build,
    derive=_confidence_drift,
)


def _affect(name: str) -> MetricPlugin:
    return MetricPlugin(
        spec=_spec(
            f"{name}_drift", f"Absolute change of {name}", "lower", math.inf, "our definition"
        ),
        identify=judged,
        build=build,
        summarise=_ccc(name),
        derive=_drift(name),
        unfit=_without_affect,
    )


VALENCE_DRIFT = _affect("valence")
AROUSAL_DRIFT = _affect("arousal")
