"""Find faces of one split that are near-duplicates of faces in another.

Two faces are compared by the correlation of their locally normalised halves in size, which neither
exposure, contrast nor compression changes much, with the inner part of one sliding over the other
by up to four pixels, as it is and mirrored.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.judge.augment import blur

SAME_PICTURE = 0.75  # copies lie above 0.8; the tail of unlike faces ends a little below
_SIGMA = 4.0  # pixels over which brightness and contrast are taken
_FLOOR = 1e-4  # of the local variance: keeps a flat region flat
_MARGIN = 2  # of the halved faces: how far the inner part may slide
_CHUNK = 4000


def similarity(faces: Tensor, others: Tensor) -> Tensor:
    """Return, for each of `faces` (N,48,48) uint8, its largest correlation (N,) with `others`."""
    templates = _normalised(others)
    inner = templates[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    known = torch.cat([_unit(inner), _unit(inner.flip(2))])
    maps = _normalised(faces)
    side = inner.shape[1]
    best = torch.full((len(faces),), -1.0)
    for top in range(2 * _MARGIN + 1):
        for left in range(2 * _MARGIN + 1):
            windows = _unit(maps[:, top : top + side, left : left + side])
            parts = [(part @ known.T).amax(1) for part in torch.split(windows, _CHUNK)]
            best = torch.maximum(best, torch.cat(parts))
    return best


def _normalised(faces: Tensor) -> Tensor:
    """Normalise (N,48,48) uint8 to (N,24,24) of local mean 0 and standard deviation 1."""
    parts = []
    for part in torch.split(faces, _CHUNK):
        x = part.float().div(255.0).unsqueeze(1)
        difference = x - blur(x, _SIGMA)
        deviation = (blur(difference * difference, _SIGMA) + _FLOOR).sqrt()
        parts.append(F.avg_pool2d(blur(difference / deviation, 0.8), 2).squeeze(1))
    return torch.cat(parts)


def _unit(maps: Tensor) -> Tensor:
    """Flatten (N,h,w) to (N,h*w) of mean 0 and norm 1, so that dot products are correlations."""
    flat = maps.flatten(1)
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)
