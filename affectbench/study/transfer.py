"""(d) Does ECM under one judge predict whether other judges still see the labelled expression?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats

from affectbench.study.damage import Condition
from affectbench.study.judged import HR, Judged
from affectbench.study.pairs import Floats, auc, percentile_interval

DRAWS = 1_000
AUC_DRAWS = 200


def transfer(
    judged: Sequence[Judged],
    conditions: Sequence[Condition],
    persons: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """Return, for each judge A and each other judge B, over all damage conditions:

    - `spearman`: correlation over conditions of mean ECM under A and accuracy of B on the labels
      (-1: ECM ranks the conditions exactly as B's errors do);
    - `auc`: per image, pooled over conditions, AUC of ECM under A for "B right on HR, wrong on SR"
      against "B right on both".

    Intervals are 95 % percentile bootstraps over persons (1,000 draws, for `auc` 200).
    """
    damage = [c.name for c in conditions if c.kind == "damage"]
    weights = _person_weights(persons, np.random.default_rng(seed))
    rows = []
    for a in judged:
        ecm = np.stack([a.ecm(name).ecm.numpy() for name in damage])
        for b in judged:
            if b is a:
                continue
            right = np.stack([b.right(name) for name in damage])
            correlation = [_spearman(ecm, right, w) for w in weights]
            lost = _lost_auc(ecm, right, b.right(HR), weights[: 1 + AUC_DRAWS])
            rows.append(
                {
                    "ecm_of": a.name,
                    "accuracy_of": b.name,
                    "conditions": len(damage),
                    "accuracy_hr": float(b.right(HR).mean()),
                    **_with_interval("spearman", correlation),
                    **_with_interval("auc", lost),
                }
            )
    return pd.DataFrame(rows)


def _person_weights(persons: np.ndarray, rng: np.random.Generator) -> Floats:
    """Return face weights: row 0 all ones, then how often each face's person was drawn."""
    number, index = np.unique(persons, return_inverse=True)
    rows = [np.ones(len(persons))]
    for _ in range(DRAWS):
        picks = rng.integers(0, len(number), len(number))
        rows.append(np.bincount(picks, minlength=len(number))[index].astype(np.float64))
    return np.stack(rows)


def _spearman(ecm: Floats, right: np.ndarray, weights: Floats) -> float:
    scores = ecm @ weights / weights.sum()
    accuracy = right @ weights / weights.sum()
    if np.ptp(scores) == 0 or np.ptp(accuracy) == 0:
        return float("nan")  # a judge with constant output ranks nothing
    return float(scipy_stats.spearmanr(scores, accuracy).statistic)


def _lost_auc(ecm: Floats, right: np.ndarray, right_hr: np.ndarray, weights: Floats) -> Floats:
    scores = ecm[:, right_hr].ravel()
    lost = ~right[:, right_hr].ravel()
    return auc(scores, lost, np.tile(weights[:, right_hr], len(ecm)))


def _with_interval(name: str, values: ArrayLike) -> dict[str, float]:
    value, *drawn = np.asarray(values, dtype=np.float64)
    interval = percentile_interval(np.array(drawn))
    return {name: float(value), f"{name}_low": interval.low, f"{name}_high": interval.high}
