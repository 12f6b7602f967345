"""(e) The two terms of ECM, the judge's temperature, and the one-face attack on the set score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from affectbench.aggregate import macro_classes
from affectbench.metrics.ecm import ecm_parts
from affectbench.stats import set_mean
from affectbench.study.damage import Condition
from affectbench.study.judged import HR, Judged

TEMPERATURES = (0.5, 0.75, 1.5, 2.0, 3.0)


def term_correlation(judged: Judged, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Return Pearson's correlation of L_H and ln L_conf over faces, per damage condition."""
    rows = []
    for condition in conditions:
        if condition.kind == "damage":
            parts = judged.ecm(condition.name)
            r = _pearson(parts.l_h.numpy(), parts.l_conf.log().numpy())
            rows.append({"judge": judged.name, "condition": condition.name, "pearson": r})
    return pd.DataFrame(rows)


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two columns; NaN if one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def temperature_effect(judged: Judged, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Return Kendall's tau of the conditions' order at other temperatures with the judge's own.

    `damage` covers all damage conditions, `severe` the half of them with the larger ECM.
    """
    names = [c.name for c in conditions if c.kind == "damage"]
    own = _set_scores(judged, names, 1.0)
    severe = own >= np.median(own)
    rows = []
    for temperature in TEMPERATURES:
        scores = _set_scores(judged, names, temperature)
        rows.append(
            {
                "judge": judged.name,
                "temperature": temperature,
                "tau_damage": kendalltau(own, scores).statistic,
                "tau_severe": kendalltau(own[severe], scores[severe]).statistic,
                "mean_ecm": float(scores.mean()),
            }
        )
    return pd.DataFrame(rows)


def one_face_attack(judged: Judged) -> dict[str, float | str]:
    """Return the lowest set score of any single face shown for every input, as macro and as mean.

    Compared with bicubic x8: under a sound score the attack is no better than bicubic.
    """
    logits = judged.logits[HR]
    classes = _classes(judged, logits)
    macro, plain = [], []
    for face in logits[:, None]:
        ecm = ecm_parts(logits, face.expand_as(logits)).ecm.numpy()
        macro.append(set_mean(ecm, classes))
        plain.append(float(ecm.mean()))
    bicubic = judged.ecm("bicubic x 8").ecm.numpy()
    return {
        "judge": judged.name,
        "one_face_ecm": min(macro),
        "bicubic_x8_ecm": set_mean(bicubic, classes),
        "one_face_ecm_mean": min(plain),
        "bicubic_x8_ecm_mean": float(bicubic.mean()),
    }


def _set_scores(judged: Judged, names: Sequence[str], temperature: float) -> np.ndarray:
    classes = _classes(judged, judged.logits[HR])
    return np.array(
        [set_mean(judged.ecm(name, temperature).ecm.numpy(), classes) for name in names]
    )


def _classes(judged: Judged, logits: torch.Tensor) -> np.ndarray:
    labels = np.array(judged.judge.classes)[logits.argmax(1).numpy()]
    return np.asarray(macro_classes(labels)[0])
