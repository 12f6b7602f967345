"""Figures of a classifier from its logits: accuracy, recall, confusion, calibration, mirroring."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import CLASSES


@torch.inference_mode()
def predict(model: nn.Module, faces: Tensor, batch: int = 64) -> Tensor:
    """Logits (N,7) of faces (N,1,48,48)."""
    model.eval()
    return torch.cat([model(part) for part in torch.split(faces, batch)])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of faces whose largest logit is their label's, in [0,1]."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Counts (7,7): rows are true classes, columns predicted ones."""
    k = len(CLASSES)
    return torch.bincount(labels * k + logits.argmax(dim=1), minlength=k * k).view(k, k)


def recalls(counts: Tensor) -> Tensor:
    """Per-class recall (7,) of a confusion matrix; not a number where a class is absent."""
    return counts.diagonal().double() / counts.sum(dim=1).double()


def calibration_bins(probabilities: Tensor, labels: Tensor, bins: int = 15) -> Tensor:
    """Rows (bins,3) of count, mean confidence and accuracy over equal confidence intervals."""
    confidence, predicted = probabilities.double().max(dim=1)
    right = (predicted == labels).double()
    index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    totals = torch.zeros(bins, 3, dtype=torch.float64)
    totals.index_add_(0, index, torch.stack([torch.ones_like(right), confidence, right], dim=1))
    filled = totals[:, :1].clamp(min=1.0)
    return torch.cat([totals[:, :1], totals[:, 1:] / filled], dim=1)


def expected_calibration_error(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> float:
    """Mean |confidence - accuracy| over 15 bins weighted by their counts, in [0,1]; 0 is best."""
    table = calibration_bins(F.softmax(logits / temperature, dim=1), labels)
    gaps = (table[:, 1] - table[:, 2]).abs()
    return ((table[:, 0] * gaps).sum() / table[:, 0].sum()).item()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in [0.05, 20] with the least cross-entropy, by golden-section search."""
    ratio = (5**0.5 - 1) / 2

    def loss(log_temperature: float) -> float:
        scaled = logits.double() / torch.tensor(log_temperature).double().exp()
        return F.cross_entropy(scaled, labels).item()

    low, high = -3.0, 3.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(torch.tensor((low + high) / 2).double().exp())


def mirror_disagreement(logits: Tensor, mirrored: Tensor) -> dict[str, float]:
    """How a face and its mirror image differ: label changes, total variation and logit distance.

    `label_share` is in [0,1]; `mean_total_variation` and `max_total_variation` are half the L1
    distance of the two distributions, in [0,1]; `max_logit_difference` is in logits.
    """
    distance = (F.softmax(logits, dim=1) - F.softmax(mirrored, dim=1)).abs().sum(dim=1) / 2
    changed = logits.argmax(dim=1) != mirrored.argmax(dim=1)
    return {
        "label_share": changed.double().mean().item(),
        "mean_total_variation": distance.double().mean().item(),
        "max_total_variation": distance.max().item(),
        "max_logit_difference": (logits - mirrored).abs().max().item(),
    }
