"""(a) and (f): pairs of labelled faces scored by ECM, its parts and the baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from affectbench.images.tensors import unit_range
from affectbench.metrics.ecm import ecm_parts
from affectbench.metrics.fidelity import psnr, ssim
from affectbench.study.faces import LabelledFaces
from affectbench.study.judged import HR, Judged
from affectbench.study.pairs import Floats, Pairs, gap, pair_auc

CHUNK = 256


def judge_scores(judged: Judged, pairs: Pairs) -> dict[str, Floats]:
    """Return pair scores by one judge, averaged over both directions; larger is more different."""
    first, second = judged.logits[HR][pairs.first], judged.logits[HR][pairs.second]
    there, back = ecm_parts(first, second), ecm_parts(second, first)
    logits_apart = (first.log_softmax(1) - second.log_softmax(1)).norm(dim=1)
    scores = {
        "ecm": (0.5 * (there.ecm + back.ecm)).numpy(),
        "L_H alone": there.l_h.numpy(),
        "L_conf alone": (0.5 * (there.l_conf.log() + back.l_conf.log())).numpy(),
        "label disagreement": (there.label_hr != there.label_sr).double().numpy(),
        "JS divergence": there.js.numpy(),
        "distance of log-probabilities": logits_apart.numpy(),
    }
    if judged.features is not None:
        distances = judged.features[pairs.first] - judged.features[pairs.second]
        scores["distance of features"] = distances.norm(dim=1).numpy()
    return scores


def judgeless_scores(
    faces: LabelledFaces, descriptors: torch.Tensor, pairs: Pairs
) -> dict[str, Floats]:
    """Return pair scores that involve no expression judge; larger is more different.

    Negated PSNR and SSIM (convention `rgb`), and the distance of the faces' identity descriptors
    (N, D).
    """
    none = torch.empty(0)
    found: dict[str, list[torch.Tensor]] = {"PSNR": [none], "SSIM": [none]}
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        a = unit_range(faces.images[pairs.first[part]])
        b = unit_range(faces.images[pairs.second[part]])
        found["PSNR"].append(-psnr(a, b))
        found["SSIM"].append(-ssim(a, b))
    scores = {name: torch.cat(values).numpy() for name, values in found.items()}
    distances = (descriptors[pairs.first] - descriptors[pairs.second]).norm(dim=1)
    return {**scores, "identity distance": distances.numpy()}


def separation(
    judged: Sequence[Judged],
    faces: LabelledFaces,
    descriptors: torch.Tensor,
    pairs: Pairs,
    seed: int,
) -> pd.DataFrame:
    """Return the AUC of every score with its interval; `gap` is the weighted mean difference."""
    rows = []
    by_judge = [(one.name, judge_scores(one, pairs)) for one in judged]
    for judge, scores in [*by_judge, ("-", judgeless_scores(faces, descriptors, pairs))]:
        for name, values in scores.items():
            value, interval = pair_auc(values, pairs, np.random.default_rng(seed))
            rows.append(
                {
                    "judge": judge,
                    "score": name,
                    "auc": value,
                    "auc_low": interval.low,
                    "auc_high": interval.high,
                    "gap": gap(values, pairs),
                }
            )
    return pd.DataFrame(rows)


def weak_pairs(judged: Judged, emotions: np.ndarray, pairs: Pairs) -> pd.DataFrame:
    """Return (f): mean ECM of each pair of labelled expressions, lowest first, and of equal ones.

    `missed` is the share of different-expression pairs whose ECM is below the median of the
    same-expression pairs: changes that ECM does not detect.
    """
    scores = judge_scores(judged, pairs)["ecm"]
    same = scores[~pairs.different]
    median_same = float(np.median(same)) if len(same) else float("nan")
    names = np.sort(np.stack([emotions[pairs.first], emotions[pairs.second]]), axis=0)
    table = pd.DataFrame(
        {
            "judge": judged.name,
            "expressions": [f"{a} / {b}" for a, b in names.T],
            "different": pairs.different,
            "ecm": scores,
            "missed": np.where(pairs.different & (len(same) > 0), scores < median_same, np.nan),
        }
    )
    grouped = table.groupby(["judge", "expressions", "different"], as_index=False)
    result = grouped.agg(pairs=("ecm", "size"), ecm=("ecm", "mean"), missed=("missed", "mean"))
    return result.sort_values(["different", "ecm"], ascending=[False, True], ignore_index=True)
