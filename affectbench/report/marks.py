"""What takes a row out of a ranking, and how a table says so.

A mark is a list of words joined by `; `: no word holds a semicolon, so that the words can be told
apart again. `failed: REASON` is one word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from affectbench.aggregate import align
from affectbench.records import Record
from affectbench.report.results import Run
from affectbench.results.columns import scorer_of
from affectbench.results.facts import facts_of, through_network
from affectbench.stats import difference_p, set_mean, shared_rng
from affectbench.texts import printable

SMALL = "n too small"
CONTAMINATED = "contaminated"
NO_INFORMATION = "no-expression-information"
TRAINED_AGAINST = "trained-against"
FAILED = "failed: "


def joined(words: Iterable[str]) -> str:
    """A row's mark."""
    return "; ".join(words)


def words_of(mark: str) -> list[str]:
    """The words of a mark."""
    return mark.split("; ") if mark else []


def failure(error: str) -> str:
    """The word of a failed cell: its reason on one line, without semicolons."""
    return FAILED + printable(" ".join(error.replace(";", ",").split()))


def failures_of(mark: str) -> str:
    """The reasons in a mark."""
    reasons = [word.removeprefix(FAILED) for word in words_of(mark) if word.startswith(FAILED)]
    return ", ".join(reasons)


def against(scorer: str) -> str:
    """The word of a model that was trained against a scorer."""
    return f"{TRAINED_AGAINST}:{scorer}"


def barred(rows: pd.DataFrame, scorer: str) -> pd.Series[bool]:
    """Which rows of the table this scorer may not rank."""
    bars = {CONTAMINATED, against(scorer)}
    return rows["mark"].map(lambda mark: not bars.isdisjoint(words_of(mark))).astype(bool)


def is_dagger(record: Record) -> bool:
    """Whether the model was trained against what scores it here, or through the same network."""
    learned = record.model.get("trained_against", ())
    if not learned:
        return False
    scorer = scorer_of(record.metric)
    network = facts_of(record.metric).network
    alike = {scorer, network, *through_network(network)} if network else {scorer}
    return not alike.isdisjoint(learned)


def is_contaminated(record: Record, ids: Sequence[str]) -> bool:
    """Whether the model was trained on faces of this data set, by what it declares.

    `trained_on` entries are a data set's name, or `name:FIRST-LAST` for a range of ids: numbers
    compare as numbers, other ids as text. Any other list (a path) counts as the whole set.
    """
    for entry in record.model.get("trained_on", ()):
        name, _, span = str(entry).partition(":")
        if name != record.dataset["name"]:
            continue
        limits = re.fullmatch(r"(\w+)-(\w+)", span)
        if not limits or any(_within(limits[1], image_id, limits[2]) for image_id in ids):
            return True
    return False


def _within(first: str, image_id: str, last: str) -> bool:
    if all(text.isdecimal() for text in (first, image_id, last)):
        return int(first) <= int(image_id) <= int(last)
    return first <= image_id <= last


def knows_nothing(run: Run, record: Record, others: Mapping[str, Record]) -> bool:
    """Whether a model is not significantly better than both `wrong-face` and `one-face`.

    Paired test of ECM (`difference_p`), two-sided p < 0.05, for each of the two alone: both must be
    passed, so that no correction is needed. False where there are too few faces to say.
    """
    for name in ("wrong-face", "one-face"):
        if name not in others:
            return False
        anchor = others[name]
        ours, theirs, classes = align(run.columns(record), run.columns(anchor), record.metric)
        p = difference_p(ours - theirs, shared_rng(int(run.settings["seed"]), len(ours)), classes)
        if math.isnan(p):
            return False
        if p >= 0.05 or set_mean(ours - theirs, classes) >= 0:
            return True
    return False
