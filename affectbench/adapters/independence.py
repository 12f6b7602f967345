"""Whether what a model makes of a face depends on that face alone.

The value of a face is kept under the names of model and face, whatever else was in its batch, and
is used again by runs with batches of another size. So every run compares the first batch of each
model with faces of it one by one, and a model that answers those otherwise has no row.
"""

from __future__ import annotations

import torch

from affectbench.adapters.contract import BATCH_TOLERANCE, checked_sr
from affectbench.errors import ModelError
from affectbench.types import Model

ROUNDING = 1 / 255
"""How far a face alone may be off where few digits are computed with (CUDA, half precision).

There the size of a batch decides how sums are rounded; what is in it may still change nothing.
"""

_MORE_SEEDS = range(1000, 1004)  # of random numbers: four tosses of a coin seldom agree
_UNLIKE = 0.05  # mean distance of two faces, from which their statistics differ for sure


def require_independent(model: Model, lr: torch.Tensor, sr: torch.Tensor, scale: int) -> None:
    """Raise ModelError unless the first and the last face of a batch give the same SR alone.

    `sr` is what the model gave for `lr`, not rounded. Where the batch could show no difference (one
    face, or nearly the same one throughout), a made-up image keeps the face company.
    """
    if float((lr - lr[:1]).abs().mean((1, 2, 3)).max()) < _UNLIKE:
        company = torch.cat([lr[:-1] if len(lr) > 1 else lr, _unlike(lr[:1])])
        try:
            lr, sr = company, checked_sr(model, company.clone(), scale)
        except ModelError:
            if len(lr) == 1:  # it serves faces one by one, and so it will
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
    """An image of another brightness and contrast than any face it is made of."""
    return face / 4 + (0.75 if float(face.mean()) < 0.5 else 0.0)


def _has_few_digits(sr: torch.Tensor) -> bool:
    """Whether sums may have been rounded to less than float32."""
    halves = (torch.float16, torch.bfloat16)
    return sr.is_cuda or any(torch.equal(sr, sr.to(dtype).float()) for dtype in halves)


def _is_rounding(model: Model, lr: torch.Tensor, sr: torch.Tensor, index: int, scale: int) -> bool:
    """Whether a batch of the same size with other faces gives this face to the last bit."""
    others = torch.cat([_unlike(face[None]) for face in lr])
    others[index] = lr[index]
    return torch.equal(checked_sr(model, others, scale, seed=1)[index], sr[index])
