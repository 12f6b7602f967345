"""Measures of agreement between a judge's distributions and human votes."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from affectbench.types import EXPRESSIONS

PAIRS = 50_000
_PAIR_SEED = 20261128
_BINS = 15


@torch.inference_mode()
def predict(model: nn.Module, faces: Tensor, batch: int = 64) -> Tensor:
    """Return the logits (N,7) of faces (N,1,48,48)."""
    model.eval()
    return torch.cat([model(part).float() for part in torch.split(faces, batch)])


def ecm_of_pairs(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ECM as ecm/1 defines it, of reference rows `p` and image rows `q` (N,7)."""
    hellinger = np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(1))
    rows, top = np.arange(len(p)), p.argmax(1)
    ecm: NDArray[np.float64] = 0.5 * hellinger + np.log1p(np.abs(p[rows, top] - q[rows, top]))
    return ecm


def random_pairs(count: int, pairs: int = PAIRS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of `pairs` random pairs of distinct faces among `count`."""
    generator = np.random.default_rng(_PAIR_SEED)
    first = generator.integers(0, count, pairs)
    second = (first + generator.integers(1, count, pairs)) % count
    return first, second


def agreement(
    p: NDArray[np.float64],
    votes: NDArray[np.float64],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> float:
    """Return Spearman's correlation of the ECM of pairs with the ECM of their votes."""
    first, second = pairs
    judged = ecm_of_pairs(p[first], p[second])
    felt = ecm_of_pairs(votes[first], votes[second])
    return float(spearmanr(judged, felt).statistic)


def vote_figures(logits: Tensor, shares: Tensor) -> dict[str, float]:
    """Return every figure that candidates are compared by.

    `accuracy`, `balanced` and the recalls count the faces where over half of the votes agree.
    `ece` is the mean, over the seven expressions, of |mean probability - mean share of votes| in
    bins of the probability, each weighted by its count and summed; `ece_top` is that of
    the judge's first choice alone.
    """
    p = logits.double().softmax(1).numpy()
    votes = shares.double().numpy()
    return {
        "spearman": agreement(p, votes, random_pairs(len(p))),
        **accuracy_figures(p, votes),
        "hellinger": float(np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(votes)) ** 2).sum(1)).mean()),
        "kl": kl(p, votes),
        "ece": classwise_ece(p, votes),
        "ece_top": top_ece(p, votes),
    }


def accuracy_figures(p: NDArray[np.float64], votes: NDArray[np.float64]) -> dict[str, float]:
    """Return accuracy, balanced accuracy and recalls where over half of the votes agree."""
    clear = votes.max(1) > 0.5
    truth, seen = votes[clear].argmax(1), p[clear].argmax(1)
    recall = {
        name: float((seen[truth == k] == k).mean()) if (truth == k).any() else math.nan
        for k, name in enumerate(EXPRESSIONS)
    }
    return {
        "accuracy": float((truth == seen).mean()),
        "balanced": float(np.nanmean(list(recall.values()))),
        **{f"recall_{name}": value for name, value in recall.items()},
    }


def kl(p: NDArray[np.float64], votes: NDArray[np.float64]) -> float:
    """Return the mean Kullback-Leibler divergence KL(votes, p) in nats."""
    ratio = np.where(votes > 0, votes / np.maximum(p, 1e-12), 1.0)
    return float((votes * np.log(ratio)).sum(1).mean())


def top_bins(p: NDArray[np.float64], votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows (15,3) of count, mean confidence and mean share of votes for the first choice."""
    rows, top = np.arange(len(p)), p.argmax(1)
    return _bins(p[rows, top], votes[rows, top])


def top_ece(p: NDArray[np.float64], votes: NDArray[np.float64]) -> float:
    """Return the calibration error of the first choice against its share of the votes."""
    return _gap(top_bins(p, votes))


def classwise_ece(p: NDArray[np.float64], votes: NDArray[np.float64]) -> float:
    """Return the mean calibration error of the seven probabilities against shares of votes."""
    return float(np.mean([_gap(_bins(p[:, k], votes[:, k])) for k in range(p.shape[1])]))


def _bins(confidence: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    count = np.bincount(index, minlength=_BINS).astype(float)
    filled = np.maximum(count, 1.0)
    means = [np.bincount(index, value, _BINS) / filled for value in (confidence, share)]
    return np.stack([count, *means], axis=1)


def _gap(table: NDArray[np.float64]) -> float:
    return float((table[:, 0] * np.abs(table[:, 1] - table[:, 2])).sum() / table[:, 0].sum())


def mirror_disagreement(logits: Tensor, mirrored: Tensor) -> dict[str, float]:
    """Return how far a face and its mirror image differ: label changes and logits."""
    changed = logits.argmax(dim=1) != mirrored.argmax(dim=1)
    return {
        "label_share": changed.double().mean().item(),
        "max_logit_difference": (logits - mirrored).abs().max().item(),
    }
