"""Reject stored results that do not match the faces that they are paired with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from affectbench.errors import InputError, ModelError, listed
from affectbench.images.resemblance import sketch, unlike
from affectbench.run.plan import DatasetPlan
from affectbench.types import ModelSpec, StoredResults

CHECKED = 300
"""Faces to check, evenly spread over a larger set: each check decodes a face once more."""

SHARE = 0.2
"""A larger share of mismatches is rejected. Wrong pairings have 0.8 and more, right ones 0.1."""

NAMED = 5


def checked_spec(results: StoredResults, plan: DatasetPlan) -> ModelSpec:
    """Return the results' spec, with a note listing faces that the results do not match.

    Raises ModelError, naming some faces and the remedy, if there are too many to be single bad
    results: at least two, and more than `SHARE` of those that can be compared.
    """
    compared, odd = _unlike(results, plan)
    if not odd:
        return results.spec
    found = f"{len(odd)} of {compared} results do not look like the originals of their names"
    if len(odd) <= SHARE * compared or len(odd) == 1 < compared:
        note = f"{found}: {listed(odd, NAMED)}"
        return replace(results.spec, note=f"{results.spec.note}; {note}".lstrip("; "))
    raise ModelError(
        f"{results.spec.name}: {found} ({listed(odd, NAMED)}); check that both folders hold the "
        "same faces under the same names, not shifted, mirrored or of another set. If they are "
        "right, insist with images:DIR@mismatch=allow (score: --allow-mismatch)"
    )


def _unlike(results: StoredResults, plan: DatasetPlan) -> tuple[int, list[str]]:
    """Return how many faces were compared, and the ids of those whose results do not match."""
    ids, ours, theirs = [], [], []
    for image_id in _spread(plan.ids):
        try:
            sr = results.read(image_id)
        except InputError:
            continue  # has no result, which the run counts
        hr = plan.pairs.read(image_id)[0]
        if sr.shape == hr.shape:
            ids.append(image_id)
            ours.append(sketch(sr))
            theirs.append(sketch(hr))
    if not ids:
        return 0, []
    return len(ids), list(np.array(ids)[unlike(ours, theirs)])


def _spread(ids: Sequence[str]) -> list[str]:
    places = np.linspace(0, len(ids) - 1, min(len(ids), CHECKED)).round().astype(int)
    return [ids[place] for place in places]
