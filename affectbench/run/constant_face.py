"""The choice of the anchor `one-face`: the face with the lowest ECM as every result."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affectbench.aggregate import macro_classes
from affectbench.metrics.ecm import ALPHA, ecm_parts
from affectbench.stats import set_mean

SCREENING_REFERENCES = 200
"""References per class for screening, evenly spaced in id order."""
FINALISTS = 50
"""Faces that are then scored exactly on all references."""
_AT_ONCE = 500


def best_constant_face(
    p: NDArray[np.floating[Any]], labels: NDArray[np.str_], *, screened: bool = False
) -> int:
    """Return the index of the face whose probabilities give the lowest set ECM as every result.

    `p` (N, K) are the reference faces' class probabilities, `labels` (N,) their classes. All faces
    are first scored approximately, on all references or, with `screened`, on a subset, so that the
    time is linear in N; then the best `FINALISTS` are scored exactly on all references. Ties go to
    the first face.
    """
    some = _evenly_spaced(labels) if screened else np.arange(len(p))
    order = np.argsort(_hasty_scores(p[some], labels[some], p), kind="stable")
    finalists = np.sort(order[:FINALISTS])
    logits = torch.from_numpy(p).double().log()
    classes, _ = macro_classes(labels)
    scores = [
        set_mean(ecm_parts(logits, face.expand_as(logits)).ecm.numpy(), classes)
        for face in logits[finalists][:, None]
    ]
    return int(finalists[np.argmin(scores)])


def _hasty_scores(
    p: NDArray[np.floating[Any]], labels: NDArray[np.str_], faces: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Return the set ECM of each of `faces` (C, K) as every result for `p` (N, K), to 1e-7.

    `ecm/1` by matrix products: the squared Hellinger distance is 1 minus the sum of sqrt(p q),
    which loses digits where p is close to q.
    """
    classes, names = macro_classes(labels)
    members = np.bincount(classes + 1).astype(np.float64)
    if names:
        members[0] = np.inf  # faces of classes that are not counted
    weights = 1.0 / members[classes + 1] / max(len(names), 1)
    p, faces = p.astype(np.float64), faces.astype(np.float64)
    roots, best = np.sqrt(p), p.argmax(axis=1)
    scores = []
    for part in np.array_split(faces, -(-len(faces) // _AT_ONCE)):
        l_h = np.sqrt(np.clip(1.0 - roots @ np.sqrt(part).T, 0.0, 1.0))
        l_conf = np.log1p(np.abs(p.max(axis=1)[:, None] - part[:, best].T))
        scores.append(weights @ (ALPHA * l_h + l_conf))
    return np.concatenate(scores)


def _evenly_spaced(labels: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return up to `SCREENING_REFERENCES` indices per class, so that each class still counts."""
    picked = []
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name)
        count = min(len(members), SCREENING_REFERENCES)
        picked.append(members[np.linspace(0, len(members) - 1, count).astype(np.intp)])
    return np.sort(np.concatenate(picked))
