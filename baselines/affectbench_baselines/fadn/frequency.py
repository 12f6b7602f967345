"""Frequency masks from a DCT of the HR face: the target that FADN's predictor learns from LR.

Guidance by DCT masks is from the paper; the rule is ours. Each LR pixel corresponds to a block of
s x s HR pixels, classified by its AC energy in the orthonormal DCT of luma: per face, the `LOW`
share of pixels with the least energy is low, the `HIGH` share with the most is high.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

LOW, HIGH = 0.5, 0.2
_LUMA = (0.299, 0.587, 0.114)


def frequency_classes(hr: torch.Tensor, scale: int) -> torch.Tensor:
    """Return classes (0 low, 1 mid, 2 high): int64 (N, H/s, W/s) of HR (N, 3, H, W) in [0, 1]."""
    energy = ac_energy(hr, scale)
    flat = energy.flatten(1)
    low = flat.quantile(LOW, dim=1, keepdim=True)
    high = flat.quantile(1.0 - HIGH, dim=1, keepdim=True)
    classes = (flat > low).long() + (flat > high).long()
    return classes.view_as(energy)


def ac_energy(hr: torch.Tensor, scale: int) -> torch.Tensor:
    """Return the DCT energy of each s x s luma block without its DC term: (N, H/s, W/s)."""
    luma = torch.einsum("nchw,c->nhw", hr, hr.new_tensor(_LUMA))
    blocks = luma.unfold(1, scale, scale).unfold(2, scale, scale)
    basis = dct_matrix(scale).to(hr)
    spectrum = basis @ blocks @ basis.T
    return spectrum.square().sum((-2, -1)) - spectrum[..., 0, 0].square()


@lru_cache(maxsize=8)
def dct_matrix(size: int) -> torch.Tensor:
    """Return the orthonormal DCT-II matrix, (size, size): rows are frequencies."""
    n = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (n[None, :] + 0.5) * n[:, None]) * math.sqrt(2.0 / size)
    basis[0] /= math.sqrt(2.0)
    return basis.float()
