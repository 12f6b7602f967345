"""Evaluate a judge on an externally labelled set, one expression per face: `file,emotion,...`."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectbench.images.reading import read_image
from affectbench.images.tensors import stack, unit_range
from affectbench.study.judged import HR, Judged
from affectbench.study.pairs import Pairs, cross_person_pairs, pair_auc, same_person_pairs
from affectbench.study.separation import judge_scores
from affectbench.types import Judge

_CROSS_PAIRS = 20_000


@torch.inference_mode()
def labelled_figures(judge: Judge, folder: Path) -> dict[str, Any]:
    """Return accuracy, recalls, and the AUC of ECM for other against same expressions.

    The person of a face is its `source_file` without the number.
    """
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    emotions = np.array([row["emotion"] for row in rows])
    names = [re.sub(r"_\d+\.\w+$", "", row["source_file"]) for row in rows]
    persons = np.unique(names, return_inverse=True)[1].astype(np.int64)
    images = stack([read_image(folder / row["file"]) for row in rows])
    parts = [judge.logits(unit_range(part)) for part in torch.split(images, 64)]
    one = Judged(judge, emotions, {HR: torch.cat(parts).double()})
    right = one.right(HR)
    recall = {str(name): float(right[emotions == name].mean()) for name in np.unique(emotions)}
    rng = np.random.default_rng(0)
    pairs = {
        "one_person": same_person_pairs(persons, emotions),
        "two_persons": cross_person_pairs(persons, emotions, rng, _CROSS_PAIRS),
    }
    return {
        "faces": len(rows),
        "accuracy": float(right.mean()),
        "balanced": float(np.mean(list(recall.values()))),
        "recall": recall,
        "auc": {name: _auc(one, kind) for name, kind in pairs.items()},
    }


def _auc(one: Judged, pairs: Pairs) -> dict[str, float]:
    value, interval = pair_auc(judge_scores(one, pairs)["ecm"], pairs, np.random.default_rng(0))
    return {"auc": value, "low": interval.low, "high": interval.high}
