"""The flags that exclude a row from a ranking."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

from affectbench.aggregate import ComparedFaces, compared_faces
from affectbench.records import Record
from affectbench.results.columns import scorer_of
from affectbench.results.facts import facts_of, through_network
from affectbench.results.runs import Run
from affectbench.stats import MIN_N, difference_p, set_mean, shared_rng


def is_trained_against(record: Record) -> bool:
    """Whether the model was trained against its scorer, or a metric that uses the same network."""
    learned = record.model.get("trained_against", ())
    if not learned:
        return False
    scorer = scorer_of(record.metric)
    network = facts_of(record.metric).network
    alike = {scorer, network, *through_network(network)} if network else {scorer}
    return not alike.isdisjoint(learned)


def is_contaminated(record: Record, ids: Sequence[str]) -> bool:
    """Whether the model declares that it was trained on faces of this data set.

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


def without_information(run: Run, judge: str) -> set[tuple[str, str]]:
    """Return the data set and name of each model that carries no expression information.

    Such a model is not significantly better under this judge than both `wrong-face` and `one-face`.
    """
    scored: dict[tuple[str, str, str], Record] = {}
    for record in run.records:
        said = record.metric["identity"].get("judge", judge)
        if (record.metric["name"], record.status, said) == ("ecm", "ok", judge):
            scored[str(record.dataset["name"]), record.role, record.row] = record
    found = set()
    for (dataset, role, model), record in scored.items():
        if role != "model" or record.n < MIN_N:
            continue
        anchors = [scored.get((dataset, "anchor", name)) for name in ("wrong-face", "one-face")]
        known = [anchor for anchor in anchors if anchor is not None]
        key = ("no information", record.id, *(anchor.id for anchor in known))
        rows = [other for (name, _, _), other in scored.items() if name == dataset]
        if len(known) == 2 and run.once(key, partial(_knows_nothing, run, record, known, rows)):
            found.add((dataset, model))
    return found


def faces_of(run: Run, records: Sequence[Record]) -> ComparedFaces:
    """Return the faces that rows are compared on; these are their records of one metric."""
    key = ("faces", *(record.id for record in records))
    columns = (run.columns(record) for record in records)
    return run.once(key, lambda: compared_faces(list(columns), records[0].metric))


def _knows_nothing(
    run: Run, record: Record, anchors: Sequence[Record], rows: Sequence[Record]
) -> bool:
    """Whether a model is not significantly better than each of the anchors.

    Paired test of ECM (`difference_p`), two-sided p < 0.05, for each of them alone: all must be
    passed, so that no correction is needed. False where there are too few faces to say.
    """
    faces = faces_of(run, rows)
    ours, classes = faces.values(run.columns(record)), faces.classes
    for anchor in anchors:
        theirs = faces.values(run.columns(anchor))
        p = difference_p(ours - theirs, shared_rng(int(run.settings["seed"]), len(ours)), classes)
        if math.isnan(p):
            return False
        if p >= 0.05 or set_mean(ours - theirs, classes) >= 0:
            return True
    return False
