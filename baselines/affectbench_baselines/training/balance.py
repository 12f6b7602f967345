"""Draw training faces of rare expressions more often, as the emotion loss's judge reads them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from affectbench.images.tensors import stack, unit_range
from affectbench.types import Judge
from affectbench_baselines.training.faces import GROUP_BOXES, Faces, face_box, window

HEAT = 4.0
"""Temperature of the reading, as in the loss: the judge is nearly certain of most faces."""

LARGEST = 8.0
"""No face is drawn more often than this many times the average."""

_BATCH, _SIZE = 32, 112


def draw_weights(faces: Faces, judge: Judge, balance: float) -> NDArray[np.float64]:
    """Return the probability (n,) of drawing each face.

    With p the judge's softened probabilities of a face and q their mean over all faces, a face has
    the weight (sum over the K classes of p / (K q)) to the power of `balance`.
    """
    p = _readings(faces, judge)
    weights = (p / p.mean(0)).mean(1) ** balance
    weights = np.minimum(weights / weights.mean(), LARGEST)
    return np.asarray(weights / weights.sum())


def _readings(faces: Faces, judge: Judge) -> NDArray[np.float64]:
    found = []
    for first in range(0, len(faces), _BATCH):
        crops = [_face(faces, i) for i in range(first, min(first + _BATCH, len(faces)))]
        with torch.no_grad():
            logits = judge.logits(unit_range(stack(crops)))
        found.append((logits / HEAT).softmax(1).double().numpy())
    return np.concatenate(found)


def _face(faces: Faces, index: int) -> NDArray[np.uint8]:
    box = face_box(faces.landmarks[index])
    if box is None:
        box = GROUP_BOXES.get(faces.ids[index].partition("/")[0], (0.0, 0.0, 1.0, 1.0))
    left, top, right, _ = box
    side = min(right - left, 1.0)
    left, top = (min(max(edge, 0.0), 1.0 - side) for edge in (left, top))
    return window(faces.images[index], left, top, side, _SIZE)
