"""The definition `ecm/1` of the Emotion Consistency Metric, on class logits.

The paper (arXiv 2502.09932) gives ECM = alpha * L_H + log(L_conf) with alpha = 0.5. The section
that defines L_H and L_conf could not be read by us; the two definitions below are our reading.
With p and q the class probabilities on the reference and on the super-resolved face, k = argmax p:

- L_H    = sqrt(1/2 * sum_i (sqrt(p_i) - sqrt(q_i))^2), the Hellinger distance, in [0, 1]
- L_conf = 1 + |p_k - q_k|, in [1, 2]
- ECM    = alpha * L_H + ln(L_conf), in [0, 1.193] at alpha = 0.5; 0 is the same expression
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from affectbench.errors import InputError

Distance = Literal["hellinger", "cross_entropy", "hamming"]
DISTANCES: tuple[Distance, ...] = ("hellinger", "cross_entropy", "hamming")
ALPHA = 0.5


@dataclass(frozen=True)
class Parts:
    """Everything `ecm/1` says about N pairs; float64 tensors of shape (N,) but for p and q (N, K).

    `label_hr` and `label_sr` are class indices (int64); `p_k` and `q_k` are the probabilities of
    the reference's class; `js` is the Jensen-Shannon divergence in nats, in [0, ln 2].
    """

    ecm: torch.Tensor
    l_h: torch.Tensor
    l_conf: torch.Tensor
    label_hr: torch.Tensor
    label_sr: torch.Tensor
    p_k: torch.Tensor
    q_k: torch.Tensor
    js: torch.Tensor
    p: torch.Tensor
    q: torch.Tensor


def definition(alpha: float = ALPHA, distance: Distance = "hellinger") -> str:
    """The name under which scores of these settings are stored.

    >>> definition(), definition(alpha=0.3)
    ('ecm/1', 'ecm/1+alpha=0.3')
    """
    if distance not in DISTANCES:
        raise InputError(f"unknown distance '{distance}'; known: {', '.join(DISTANCES)}")
    if not 0.0 <= alpha < float("inf"):
        raise InputError(f"alpha is {alpha}; it must be a finite number that is not negative")
    name = "ecm/1"
    if alpha != ALPHA:
        name += f"+alpha={alpha:g}"
    if distance != "hellinger":
        name += f"+distance={distance}"
    return name


def ecm_parts(
    logits_hr: torch.Tensor,
    logits_sr: torch.Tensor,
    alpha: float = ALPHA,
    distance: Distance = "hellinger",
) -> Parts:
    """ECM and its parts from logits (N, K) of the reference and the super-resolved faces.

    Computed in float64 through log-probabilities: exactly 0 for identical logits, finite for
    one-hot outputs. Raises InputError for shapes that differ.

    >>> a = torch.tensor([[2.0, 0.0, 0.0]])
    >>> float(ecm_parts(a, a).ecm)
    0.0
    """
    definition(alpha, distance)
    if logits_hr.shape != logits_sr.shape or logits_hr.ndim != 2:
        raise InputError(
            f"logits have the shapes {tuple(logits_hr.shape)} and {tuple(logits_sr.shape)}; both "
            "must be the same (N, K)"
        )
    log_p = logits_hr.double().log_softmax(1)
    log_q = logits_sr.double().log_softmax(1)
    p, q = log_p.exp(), log_q.exp()
    label_hr, label_sr = p.argmax(1), q.argmax(1)
    p_k, q_k = _at(p, label_hr), _at(q, label_hr)
    l_conf = 1.0 + (p_k - q_k).abs()
    if distance == "hellinger":
        l_h = squared_hellinger(log_p, log_q).sqrt()
    elif distance == "cross_entropy":
        l_h = -(p * log_q).sum(1)
    else:
        l_h = (label_hr != label_sr).double()
    ecm = alpha * l_h + l_conf.log()
    js = jensen_shannon(log_p, log_q)
    return Parts(ecm, l_h, l_conf, label_hr, label_sr, p_k, q_k, js, p, q)


def squared_hellinger(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Squared Hellinger distance (N,), in [0, 1], of log-probabilities (N, K).

    Taken through half log-probabilities, whose gradient stays finite where p or q is 0.
    """
    return 0.5 * ((0.5 * log_p).exp() - (0.5 * log_q).exp()).square().sum(1)


def jensen_shannon(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence (N,) in nats, in [0, ln 2], of log-probabilities (N, K)."""
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2.0))
    p, q = log_p.exp(), log_q.exp()
    # p * (log p - log m) with 0 * log 0 = 0
    terms = torch.where(p > 0, p * (log_p - log_m), p) + torch.where(q > 0, q * (log_q - log_m), q)
    return (0.5 * terms.sum(1)).clamp(min=0.0)


def smoothed_ecm(
    logits_hr: torch.Tensor, logits_sr: torch.Tensor, alpha: float = ALPHA
) -> torch.Tensor:
    """A smoothed surrogate of ECM (N,) for training, differentiable with respect to both logits.

    sqrt(s + 1e-12) - 1e-6 stands for the square root in L_H, so that the gradient is finite
    where both faces look the same.
    """
    log_p, log_q = logits_hr.log_softmax(1), logits_sr.log_softmax(1)
    label = log_p.argmax(1)
    l_h = (squared_hellinger(log_p, log_q) + 1e-12).sqrt() - 1e-6
    gap = (_at(log_p, label).exp() - _at(log_q, label).exp()).abs()
    return alpha * l_h + gap.log1p()


def _at(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return values.gather(1, index[:, None]).squeeze(1)
