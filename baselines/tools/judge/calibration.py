"""Two numbers fitted after training: a temperature and the strength of the prior correction.

Votes on faces from the web are mostly neutral and happy. A network trained on them is biased to
these on ambiguous faces; `strength` times the log of the prior is subtracted from its logits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_ROUNDS = 60
_LOW, _HIGH = -3.0, 3.0


def prior_of(shares: Tensor) -> Tensor:
    """Return the mean share (7,) of each expression in votes (N,7)."""
    return shares.mean(0)


def without_prior(logits: Tensor, prior: Tensor, strength: float) -> Tensor:
    """Return the logits less `strength` times the log of the prior relative to a uniform one."""
    log = prior.log()
    return logits - strength * (log - log.mean())


def calibrated(
    logits: Tensor, shares: Tensor, prior: Tensor, strength: float
) -> tuple[Tensor, float]:
    """Return corrected logits divided by the temperature that fits the votes best, and that."""
    corrected = without_prior(logits, prior, strength)
    temperature = fit_temperature(corrected, shares)
    return corrected / temperature, temperature


def fit_temperature(logits: Tensor, shares: Tensor) -> float:
    """Return the temperature with the least cross-entropy to the votes, by golden sections."""
    ratio = (5**0.5 - 1) / 2

    def loss(log_temperature: float) -> float:
        scaled = logits.double() / torch.tensor(log_temperature).double().exp()
        return F.cross_entropy(scaled, shares.double()).item()

    low, high = _LOW, _HIGH
    for _ in range(_ROUNDS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(torch.tensor((low + high) / 2).double().exp())
