"""(h) Do a judge's probabilities match the vote shares? (i) On which faces do they not?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affectbench.metrics.ecm import squared_hellinger
from affectbench.stats import bca_interval, set_mean
from affectbench.study.judged import Judged
from affectbench.study.pairs import Floats, percentile_interval
from affectbench.study.votes import Voted, seven_logits, vote_logits
from affectbench.types import EXPRESSIONS

BINS = 15
DRAWS = 1_000
MOST = 15
"""Faces listed for each judge."""


def probabilities(judged: Judged, voted: Voted) -> Floats:
    """Return the judge's probabilities (M, 7) of the voted faces."""
    result: Floats = seven_logits(judged, voted).softmax(1).numpy()
    return result


def hellinger(logits: torch.Tensor, votes: NDArray[np.int64]) -> Floats:
    """Return the Hellinger distance (M,) between a judge's logits (M, 7) and the votes (M, 7)."""
    squared = squared_hellinger(logits.log_softmax(1), vote_logits(votes).log_softmax(1))
    result: Floats = squared.clamp(max=1.0).sqrt().numpy()
    return result


def divergence(logits: torch.Tensor, shares: Floats) -> Floats:
    """Return KL(votes, judge) in nats (M,) of logits (M, 7); lower is better, no upper bound."""
    kept = np.where(shares > 0, shares, 1.0)
    terms = shares * (np.log(kept) - logits.log_softmax(1).numpy())
    result: Floats = terms.sum(1)
    return result


def calibration_error(confidence: Floats, shares: Floats, weights: Floats) -> float:
    """Return the mean |confidence - share of votes| over 15 equal bins of the confidence (M,).

    Bins are weighted by their total weight; `weights` (M,) are how often each face is drawn. In
    [0, 1]; lower is better.

    >>> one = np.ones(4)
    >>> calibration_error(0.75 * one, np.array([1.0, 1.0, 1.0, 0.0]), one)
    0.0
    """
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(index, weights * (confidence - shares), BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def calibration(judged: Sequence[Judged], voted: Voted, seed: int) -> pd.DataFrame:
    """Return, for each judge, how well its probabilities match the vote shares.

    - `hellinger`, `kl`: mean distance to the votes, and mean KL(votes, judge);
    - `ece_first`: calibration error of the judge's top class against its share of votes;
    - `ece_each`: the mean calibration error of the seven probabilities;
    - `accuracy`, `balanced`: where more than half of the people agree (`clear` faces), the share of
      faces on which the judge predicts their label, and the mean of that share over the
      expressions.

    Intervals are 95 %, over faces.
    """
    return pd.DataFrame([_calibration_row(one, voted, seed) for one in judged])


def _calibration_row(judged: Judged, voted: Voted, seed: int) -> dict[str, object]:
    logits, shares = seven_logits(judged, voted), voted.shares
    p = probabilities(judged, voted)
    hits = (p.argmax(1) == voted.labels)[voted.clear].astype(np.float64)
    classes = voted.labels[voted.clear]
    return {
        "judge": judged.name,
        "faces": len(voted),
        **_mean("hellinger", hellinger(logits, voted.votes), seed),
        **_mean("kl", divergence(logits, shares), seed),
        **_first_choice(p, shares, seed),
        "ece_each": _each_choice(p, shares),
        "clear": int(voted.clear.sum()),
        **_mean("accuracy", hits, seed),
        **_mean("balanced", hits, seed, classes),
    }


def _mean(
    name: str, values: Floats, seed: int, classes: NDArray[np.intp] | None = None
) -> dict[str, float]:
    interval = bca_interval(values, np.random.default_rng(seed), classes)
    return {
        name: set_mean(values, classes),
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


def _first_choice(p: Floats, shares: Floats, seed: int) -> dict[str, float]:
    n = len(p)
    if not n:
        return {"ece_first": np.nan, "ece_first_low": np.nan, "ece_first_high": np.nan}
    first = p.argmax(1)
    confidence, share = p[np.arange(n), first], shares[np.arange(n), first]
    rng = np.random.default_rng(seed)
    drawn = [
        calibration_error(confidence, share, np.bincount(picks, minlength=n).astype(np.float64))
        for picks in rng.integers(0, n, (DRAWS, n))
    ]
    interval = percentile_interval(np.array(drawn))
    value = calibration_error(confidence, share, np.ones(n))
    return {"ece_first": value, "ece_first_low": interval.low, "ece_first_high": interval.high}


def _each_choice(p: Floats, shares: Floats) -> float:
    if not len(p):
        return float("nan")
    ones = np.ones(len(p))
    errors = [calibration_error(p[:, k], shares[:, k], ones) for k in range(len(EXPRESSIONS))]
    return float(np.mean(errors))


def recalls(judged: Sequence[Judged], voted: Voted) -> pd.DataFrame:
    """Return, for each expression that over half of the people see, the judge's recall."""
    rows = []
    for one in judged:
        said = probabilities(one, voted).argmax(1)
        for k, name in enumerate(EXPRESSIONS):
            here = voted.clear & (voted.labels == k)
            recall = float((said[here] == k).mean()) if here.any() else float("nan")
            row = {"judge": one.name, "expression": name, "faces": int(here.sum())}
            rows.append({**row, "recall": recall})
    return pd.DataFrame(rows)


def disagreements(judged: Sequence[Judged], voted: Voted, most: int = MOST) -> pd.DataFrame:
    """Return the faces with the largest Hellinger distance between a judge and the votes."""
    names = np.array(EXPRESSIONS)
    rows = []
    for one in judged:
        distance = hellinger(seven_logits(one, voted), voted.votes)
        p, shares = probabilities(one, voted), voted.shares
        for face in np.argsort(-distance, kind="stable")[:most]:
            seen, said = voted.labels[face], p[face].argmax()
            rows.append(
                {
                    "judge": one.name,
                    "file": voted.files[face],
                    "most_voted": names[seen],
                    "share": float(shares[face, seen]),
                    "judge_says": names[said],
                    "probability": float(p[face, said]),
                    "hellinger": float(distance[face]),
                }
            )
    return pd.DataFrame(rows)
