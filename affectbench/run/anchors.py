"""Anchor rows: reference points that every table shows and no ranking includes.

- `reference`: the HR face as Pillow JPEG, quality 95, chroma 4:4:4: the cost of invisible noise.
- `bicubic`: unless it is one of the models, under this name. Another model with that name does not
  replace it: model and anchor rows may share a name and are distinguished by their role.
- `wrong-face`: each result is another face of the set, by a fixed seeded derangement.
- `one-face`: the single face of the set that has the lowest ECM when used as every result. Above
  4,000 faces, all of them are screened on a subset of the references, and the best of these are
  then scored on all: `screened/1`, which is part of the anchor's revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from affectbench.adapters import parse_model
from affectbench.adapters.opened import open_model
from affectbench.run.measures import Measure
from affectbench.run.rows import Row
from affectbench.types import ModelSpec, content_id

ANCHORS = ("reference", "bicubic", "wrong-face", "one-face")
JPEG_QUALITY = 95

EXACT_FACES = 4000
"""Up to this many faces every face is tried on every other, which takes quadratic time."""
SCREENED = "screened/1"
"""How `one-face` is chosen among more faces."""


def anchor_rows(
    models: Sequence[Row], measures: Sequence[Measure], seed: int, faces: int
) -> Iterator[tuple[Row, list[Measure]]]:
    """Return the anchors of a data set of `faces` faces, each with the measures that score it.

    `one-face` differs between judges: each judge's ECM uses its own, all other metrics use that of
    the first judge. Without ECM, neither it nor `wrong-face` is made.
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


def derangement(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random cyclic permutation of range(n): no face maps to itself (n >= 2).

    >>> derangement(2, np.random.default_rng(0))
    array([1, 0])
    """
    order = rng.permutation(n)
    answer = np.empty(n, dtype=np.int64)
    answer[order] = np.roll(order, 1)
    return answer
