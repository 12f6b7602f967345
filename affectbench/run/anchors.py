"""Anchor rows: points of reference that every table has and no ranking includes.

- `reference`: the HR face as Pillow JPEG, quality 95, chroma 4:4:4: what invisible noise costs.
- `bicubic`: unless it is one of the models, under this name. Another model that was given the name
  does not replace it: rows of models and of anchors may have one name, and are told apart by role.
- `wrong-face`: each face answered by another face of the set, a fixed seeded derangement.
- `one-face`: the one face of the set which, shown for every input, has the lowest ECM. Beyond
  4,000 faces all of them are tried on some of the references, and the best of these on all of them:
  `screened/1`, which is part of the anchor's revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affectbench.adapters import parse_model
from affectbench.adapters.opened import open_model
from affectbench.aggregate import macro_classes
from affectbench.run.rows import Row
from affectbench.stats import set_mean
from affectbench.types import ModelSpec, content_id

if TYPE_CHECKING:
    from affectbench.run.plan import Measure

ANCHORS = ("reference", "bicubic", "wrong-face", "one-face")
JPEG_QUALITY = 95

EXACT_FACES = 4000
"""Up to so many every face is tried on every other, whose time grows with the square."""
SCREENED = "screened/1"
"""How `one-face` is chosen of more faces."""
SCREENING_REFERENCES = 200
"""References of each class that every face is tried on, evenly spaced in the order of their ids."""
FINALISTS = 50
"""Faces that are then tried exactly on all references."""
_AT_ONCE = 500


def anchor_rows(
    models: Sequence[Row], measures: Sequence[Measure], seed: int, faces: int
) -> Iterator[tuple[Row, list[Measure]]]:
    """The anchors of a data set of so many `faces`, each with the measures it is scored by.

    `one-face` is another face for another judge: each judge's ECM is taken with its own, all
    other metrics with that of the first judge. Without ECM neither it nor `wrong-face` is made.
    """
    every = list(measures)
    yield _anchor("reference", {"jpeg_quality": JPEG_QUALITY, "subsampling": "4:4:4"}), every
    bicubic = _bicubic(measures[0].settings.scale)
    if all((m.label, m.spec.revision) != (bicubic.label, bicubic.spec.revision) for m in models):
        yield bicubic, every
    if all(measure.metric != "ecm" for measure in every):
        return
    yield _anchor("wrong-face", {"seed": seed}), every
    choice = {"choice": SCREENED} if faces > EXACT_FACES else {}
    judges = list(dict.fromkeys(measure.judge for measure in every if measure.judge))
    for index, judge in enumerate(judges):
        scored = [m for m in every if m.judge == judge or (index == 0 and m.judge is None)]
        yield _anchor("one-face", {"judge": judge.revision, **choice}, judge.name), scored


def _bicubic(scale: int) -> Row:
    model = open_model(parse_model("bicubic"), scale)
    return Row("bicubic", "anchor", model.spec, model)


def _anchor(name: str, content: dict[str, object], judge: str = "") -> Row:
    revision = content_id({"anchor": name, **content})
    spec = ModelSpec(name=name, scale=None, revision=revision, licence="-", note="anchor")
    return Row(name, "anchor", spec, judge=judge)


def best_constant_face(
    p: NDArray[np.floating[Any]], labels: NDArray[np.str_], *, screened: bool = False
) -> int:
    """The index of the face whose probabilities, shown for every input, have the lowest set ECM.

    `p` (N, K) are the reference faces' class probabilities, `labels` (N,) their classes. All faces
    are tried in floating-point haste, on all references or, with `screened`, on a part of them so
    that time grows with N alone; then the `FINALISTS` exactly, on all references. The first of
    equally good faces is taken.
    """
    import torch

    from affectbench.metrics.ecm import ecm_parts

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
    """The set ECM of each of `faces` (C, K) in the place of all references `p` (N, K), to 1e-7.

    `ecm/1` by matrix products: the squared Hellinger distance is 1 less the sum of sqrt(p q), which
    loses digits where p is nearly q.
    """
    from affectbench.metrics.ecm import ALPHA

    classes, names = macro_classes(labels)
    members = np.bincount(classes + 1).astype(np.float64)
    if names:
        members[0] = np.inf  # faces of classes that do not count
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
    """Up to `SCREENING_REFERENCES` indices of each class: no class becomes too small to count."""
    picked = []
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name)
        count = min(len(members), SCREENING_REFERENCES)
        picked.append(members[np.linspace(0, len(members) - 1, count).astype(np.intp)])
    return np.sort(np.concatenate(picked))


def derangement(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A random cyclic permutation of range(n): no face answers for itself (n >= 2).

    >>> derangement(2, np.random.default_rng(0))
    array([1, 0])
    """
    order = rng.permutation(n)
    answer = np.empty(n, dtype=np.int64)
    answer[order] = np.roll(order, 1)
    return answer
