"""A check that a model's result for a face depends on that face alone.

A face's value is stored by model and face, regardless of its batch, and is reused by runs with
another batch size. So every run compares each model's first batch with single faces of it, and a
model whose results differ gets no row.
"""

from __future__ import annotations

import torch

from affectbench.adapters.contract import BATCH_TOLERANCE, checked_sr
from affectbench.errors import ModelError
from affectbench.types import Model

ROUNDING = 1 / 255
"""How far a single face may deviate at reduced precision (CUDA, half precision).

There the batch size affects how sums are rounded; the content of a batch must still not matter.
"""

_MORE_SEEDS = range(1000, 1004)  # a random model seldom agrees with itself four times
_UNLIKE = 0.05  # mean distance between two faces at which their statistics certainly differ


def require_independent(model: Model, lr: torch.Tensor, sr: torch.Tensor, scale: int) -> None:
    """Raise ModelError unless the first and the last face of a batch give the same SR alone.

    `sr` is the model's unrounded output for `lr`. If the batch could not reveal a difference (a
    single face, or nearly identical ones), a synthetic image is added to it.
    """
    if float((lr - lr[:1]).abs().mean((1, 2, 3)).max()) < _UNLIKE:
        company = torch.cat([lr[:-1] if len(lr) > 1 else lr, _unlike(lr[:1])])
        try:
            lr, sr = company, checked_sr(model, company.clone(), scale)
        except ModelError:
            if len(lr) == 1:  # it supports single faces only, and is called with those
                return
    for index in (0, len(lr) - 1):
        _require_same_alone(model, lr, sr, index, scale)


def _require_same_alone(
    model: Model, lr: torch.Tensor, sr: torch.Tensor, index: int, scale: int
) -> None:
    face, name = lr[index : index + 1], model.spec.name
    try:
        alone = checked_sr(model, face.clone(), scale, seed=1 + index)
    except ModelError as error:
        raise ModelError(f"{error} (a face alone; in a batch of {len(lr)} it works)") from error
    difference = _distance(alone, sr[index : index + 1])
    if difference <= BATCH_TOLERANCE:
        return
    more = (checked_sr(model, face.clone(), scale, seed) for seed in _MORE_SEEDS)
    again = max(_distance(alone, sr_again) for sr_again in more)
    if again > BATCH_TOLERANCE:
        raise ModelError(
            f"{name}: the same face gives another result each time, off by {again:.2g} (at most "
            f"{BATCH_TOLERANCE:g}): is dropout in training mode, or does it draw random numbers? "
            "Call .eval() on the network, or draw from a generator of its own with a fixed seed"
        )
    if difference <= ROUNDING and _has_few_digits(sr) and _is_rounding(model, lr, sr, index, scale):
        return
    raise ModelError(
        f"{name}: the result of a face depends on its batch: alone it is off by {difference:.2g} "
        f"(at most {BATCH_TOLERANCE:g}): is BatchNorm in training mode, or is something computed "
        "over the whole batch? Call .eval() on the network before it is used or exported"
    )


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def _unlike(face: torch.Tensor) -> torch.Tensor:
    """Return an image whose brightness and contrast differ from those of `face`."""
    return face / 4 + (0.75 if float(face.mean()) < 0.5 else 0.0)


def _has_few_digits(sr: torch.Tensor) -> bool:
    """Return whether SR may have been computed at less than float32 precision."""
    halves = (torch.float16, torch.bfloat16)
    return sr.is_cuda or any(torch.equal(sr, sr.to(dtype).float()) for dtype in halves)


def _is_rounding(model: Model, lr: torch.Tensor, sr: torch.Tensor, index: int, scale: int) -> bool:
    """Return whether a batch of the same size with other faces gives bitwise the same result."""
    others = torch.cat([_unlike(face[None]) for face in lr])
    others[index] = lr[index]
    return torch.equal(checked_sr(model, others, scale, seed=1)[index], sr[index])
