"""Is the labelled expression still seen? Balanced accuracy of the judges on each model's results.

Balanced accuracy is the mean over the expressions of the share of faces that the judge gives their
label, in [0, 1], higher is better; chance level is 1 / expressions. Intervals are over faces. The
difference to `--versus` is paired and its p two-sided, as in the tables of a run, with Holm's
correction over the models of a judge. The row `HR` is the judge on the originals.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectbench.datasets.labels import face_ids, read_label_table
from affectbench.errors import InputError, listed
from affectbench.results.judged import ORIGINALS, JudgedRows, judged_rows
from affectbench.results.runs import Run
from affectbench.stats.bootstrap import bca_interval
from affectbench.stats.paired import paired_difference
from affectbench.stats.ranking import holm
from affectbench.stats.sets import set_mean, shared_rng


def read_labels(table: Path) -> dict[str, str]:
    """Return the emotion of each labelled image id: the file name without its extension.

    Raises InputError for a table that cannot be used (`read_label_table`).
    """
    labels = read_label_table(table)
    pairs = zip(face_ids(labels, table), labels.emotions.tolist(), strict=True)
    return {face: emotion for face, emotion in pairs if emotion}


def labelled_accuracy(run: Run, labels: Mapping[str, str], versus: str) -> pd.DataFrame:
    """Return a row for HR and each model under each judge, with differences to `versus`.

    Raises InputError if the run has no ECM, no such model, or a face without a label.
    """
    rows: list[dict[str, Any]] = []
    for judged in judged_rows(run, versus):
        key = {"dataset": judged.dataset, "judge": judged.judge}
        rows += [{**key, **row} for row in _rows(run, judged, labels, versus)]
    return pd.DataFrame(rows)


def _rows(
    run: Run, judged: JudgedRows, labels: Mapping[str, str], versus: str
) -> list[dict[str, Any]]:
    unknown = [face for face in judged.ids if face not in labels]
    if unknown:
        raise InputError(f"{len(unknown)} faces have no label: {listed(unknown)}")
    emotions = np.array([labels[face] for face in judged.ids])
    _require_classes(emotions, judged)
    classes = np.unique(emotions, return_inverse=True)[1]
    right = {
        ORIGINALS: judged.first["label_hr"] == emotions,
        **{name: columns["label_sr"] == emotions for name, columns in judged.models.items()},
    }
    rows: list[dict[str, Any]] = [
        {"model": name, **_figures(hits, classes, right[versus], run)}
        for name, hits in right.items()
    ]
    compared = [row for row in rows if row["model"] not in (versus, ORIGINALS)]
    for row, p in zip(compared, holm([float(row["p"]) for row in compared]), strict=True):
        row["p"] = p
    return rows


def _require_classes(emotions: NDArray[np.str_], judged: JudgedRows) -> None:
    """Reject labels that are not classes of the judge, which it could never predict."""
    strange = sorted(set(emotions.tolist()) - set(judged.classes))
    if strange:
        count = int(np.isin(emotions, strange).sum())
        raise InputError(
            f"{count} faces are labelled {listed(strange)}, which is no class of the judge "
            f"{judged.judge}; leave them out, or score with a judge that has it"
        )


def _figures(
    hits: NDArray[np.bool_], classes: NDArray[np.intp], base: NDArray[np.bool_], run: Run
) -> dict[str, float]:
    seed = int(run.settings["seed"])
    interval = bca_interval(hits, shared_rng(seed, len(hits)), classes)
    change = paired_difference(hits, base, shared_rng(seed, len(hits)), classes)
    return {
        "n": len(hits),
        "accuracy": float(hits.mean()),
        "balanced_accuracy": set_mean(hits, classes),
        "low": interval.low,
        "high": interval.high,
        "difference": change.estimate,
        "difference_low": change.low,
        "difference_high": change.high,
        "p": change.p,
    }
