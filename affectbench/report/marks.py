"""What takes a row out of a ranking, and how a table says so."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from affectbench.aggregate import align
from affectbench.records import Record
from affectbench.report.results import Run
from affectbench.stats import set_mean, sign_flip_p

SMALL = "n too small"
CONTAMINATED = "contaminated"
NO_INFORMATION = "no-expression-information"
TRAINED_AGAINST = "trained-against"


def is_dagger(record: Record) -> bool:
    """Whether the model was trained against the judge that scores it here."""
    judge = record.metric["identity"].get("judge")
    return judge is not None and judge in record.model.get("trained_against", ())


def is_contaminated(record: Record, ids: Iterable[str]) -> bool:
    """Whether the model was trained on faces of this data set, by what it declares.

    `trained_on` entries are a data set's name, or `name:FIRST-LAST` for a range of ids.
    """
    for entry in record.model.get("trained_on", ()):
        name, _, span = str(entry).partition(":")
        if name != record.dataset["name"]:
            continue
        limits = re.fullmatch(r"(\w+)-(\w+)", span)
        if not limits or any(limits[1] <= image_id <= limits[2] for image_id in ids):
            return True
    return False


def knows_nothing(run: Run, record: Record, others: Mapping[str, Record]) -> bool:
    """Whether a model is not significantly better than both `wrong-face` and `one-face`.

    Paired sign-flip test of ECM, two-sided p < 0.05, for each of the two alone: both must be
    passed, so that no correction is needed. False where there are too few faces to say.
    """
    for name in ("wrong-face", "one-face"):
        if name not in others:
            return False
        anchor = others[name]
        ours, theirs, classes = align(run.columns(record), run.columns(anchor), record.metric)
        rng = np.random.default_rng([int(run.settings["seed"]), int(record.id, 16)])
        p = sign_flip_p(ours - theirs, rng, classes)
        if math.isnan(p):
            return False
        if p >= 0.05 or set_mean(ours - theirs, classes) >= 0:
            return True
    return False
