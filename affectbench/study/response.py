"""(b) Does ECM grow with damage? (c) Does it stay small under nuisance changes?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from affectbench.aggregate import macro_classes
from affectbench.stats import bca_interval, set_mean, sign_flip_p
from affectbench.study.damage import Condition
from affectbench.study.judged import Judged


def responses(
    judged: Judged, conditions: Sequence[Condition], gap: float, seed: int
) -> pd.DataFrame:
    """Return macro ECM of each condition with its 95 % interval, its mean, and ECM over `gap`."""
    rows = []
    for condition in conditions:
        parts = judged.ecm(condition.name)
        labels = np.array(judged.judge.classes)[parts.label_hr.numpy()]
        classes, _ = macro_classes(labels)
        values = parts.ecm.numpy()
        interval = bca_interval(values, np.random.default_rng(seed), classes)
        rows.append(
            {
                "judge": judged.name,
                "condition": condition.name,
                "kind": condition.kind,
                "ecm": set_mean(values, classes),
                "ecm_low": interval.low,
                "ecm_high": interval.high,
                "ecm_mean": float(values.mean()),
                "over_gap": float(values.mean()) / gap if gap else float("nan"),
                "same_label": float((parts.label_hr == parts.label_sr).double().mean()),
            }
        )
    return pd.DataFrame(rows)


def monotonicity(judged: Judged, conditions: Sequence[Condition], seed: int) -> pd.DataFrame:
    """Return, for each damage family, the steps that raise the mean, and two trend tests.

    `page_p` is Page's trend test over faces (ecm rises with the level); `worst_step_p` is the
    largest p-value of the sign-flip tests of single steps, halved (one-sided) for rising steps.
    """
    rows = []
    for family in dict.fromkeys(c.family for c in conditions if c.kind == "damage"):
        levels = sorted((c for c in conditions if c.family == family), key=lambda c: c.level)
        values = np.stack([judged.ecm(c.name).ecm.numpy() for c in levels])
        steps = np.diff(values, axis=0)
        rng = np.random.default_rng(seed)
        one_sided = [
            p / 2 if step.mean() > 0 else 1 - p / 2
            for step in steps
            for p in [sign_flip_p(step, rng)]
        ]
        rows.append(
            {
                "judge": judged.name,
                "family": family.strip(),
                "levels": ", ".join(f"{c.level:g}" for c in levels),
                "means": ", ".join(f"{mean:.3f}" for mean in values.mean(1)),
                "rising_steps": f"{int((steps.mean(1) > 0).sum())} of {len(steps)}",
                "page_p": _page_p(values),
                "worst_step_p": float(np.max(one_sided)),  # NaN if a step has none
            }
        )
    return pd.DataFrame(rows)


def _page_p(values: np.ndarray) -> float:
    """Return the p-value of Page's trend test of values (levels, N); NaN for a single face."""
    if values.shape[1] < 2:
        return float("nan")
    return float(scipy_stats.page_trend_test(values.T).pvalue)
