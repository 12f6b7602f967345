"""Compare what the judge sees in each model's results with people's votes on the originals.

`share` is the expected share of people who would have chosen the expression that the judge predicts
for the result: its votes among those for the seven expressions, averaged over faces, in [0, 1],
higher is better. `balanced_share` averages this over the faces of each most-voted expression, then
over the expressions. `hellinger` is the mean Hellinger distance between the judge's probabilities
for the result and the vote shares, in [0, 1], lower is better. Intervals are over faces,
differences to `--versus` are paired, and their p is two-sided with Holm's correction over the
models of a judge.

The row `HR` is the judge on the originals, and `another voter` is the agreement of a single voter:
the share of the other voters who voted alike. Faces with fewer than five votes for the seven
expressions are excluded, and `n` is the number that remain. Classes of the judge beyond the seven
are ignored and its probabilities renormalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectbench.datasets.labels import MIN_VOTES, face_ids, read_label_table
from affectbench.errors import InputError, listed
from affectbench.results.judged import ORIGINALS, JudgedRows, judged_rows
from affectbench.results.runs import Run
from affectbench.stats.bootstrap import bca_interval
from affectbench.stats.paired import paired_difference
from affectbench.stats.ranking import holm
from affectbench.stats.sets import set_mean, shared_rng
from affectbench.types import EXPRESSIONS, Columns

VOTER = "another voter"
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """For each face (M,): the predicted expression's vote share, and the Hellinger distance."""

    share: Floats
    hellinger: Floats | None


def read_votes(table: Path) -> dict[str, Counts]:
    """Read the votes (7,) on each image id: the file name without its extension.

    Raises InputError for a table that cannot be used, and for one without votes.
    """
    labels = read_label_table(table)
    if labels.votes is None:
        raise InputError(
            f"{table}: holds no votes; needed: a column of counts for each of "
            f"{', '.join(EXPRESSIONS)}"
        )
    return dict(zip(face_ids(labels, table), labels.votes, strict=True))


def voted_shares(run: Run, votes: Mapping[str, Counts], versus: str) -> pd.DataFrame:
    """Return a row for HR, another voter and each model under each judge.

    Raises InputError if the run has no ECM or no model `versus`, if a face is not in the table, if
    no face has enough votes, or if a judge lacks one of the seven expressions.
    """
    rows: list[dict[str, Any]] = []
    for judged in judged_rows(run, versus):
        key = {"dataset": judged.dataset, "judge": judged.judge}
        rows += [{**key, **row} for row in _rows(judged, votes, versus, run.settings["seed"])]
    return pd.DataFrame(rows)


def _rows(
    judged: JudgedRows, votes: Mapping[str, Counts], versus: str, seed: int
) -> list[dict[str, Any]]:
    unknown = [face for face in judged.ids if face not in votes]
    if unknown:
        raise InputError(f"{len(unknown)} faces are not in the table of votes: {listed(unknown)}")
    if missing := [name for name in EXPRESSIONS if name not in judged.classes]:
        raise InputError(f"the judge {judged.judge} has no class {listed(missing)}")
    every = np.stack([votes[face] for face in judged.ids])
    keep = every.sum(1) >= MIN_VOTES
    if not keep.any():
        raise InputError(f"no face has {MIN_VOTES} votes for the seven expressions; n too small")
    counts = every[keep]
    readings = {
        ORIGINALS: _reading(judged.first, "p", keep, counts),
        VOTER: Reading(_another_voter(counts), None),
        **{name: _reading(c, "q", keep, counts) for name, c in judged.models.items()},
    }
    base = readings[versus]
    rows: list[dict[str, Any]] = [
        {"model": name, **_figures(reading, base, counts.argmax(1), seed)}
        for name, reading in readings.items()
    ]
    compared = [row for row in rows if row["model"] not in (versus, ORIGINALS, VOTER)]
    for column in ("share_p", "hellinger_p"):
        adjusted = holm([float(row[column]) for row in compared])
        for row, p in zip(compared, adjusted, strict=True):
            row[column] = p
    return rows


def _reading(columns: Columns, side: str, keep: NDArray[np.bool_], counts: Counts) -> Reading:
    """Compare a judge's probabilities (side `p`: HR, `q`: SR) with the votes (M, 7)."""
    p = np.stack([columns[f"{side}_{name}"] for name in EXPRESSIONS], axis=1)[keep]
    p = p.astype(np.float64) / p.sum(1, keepdims=True, dtype=np.float64)
    shares = counts / counts.sum(1, keepdims=True)
    squared = 0.5 * ((np.sqrt(p) - np.sqrt(shares)) ** 2).sum(1)
    return Reading(shares[np.arange(len(p)), p.argmax(1)], np.sqrt(np.minimum(squared, 1.0)))


def _another_voter(counts: Counts) -> Floats:
    """Return the expected share of a face's other voters who agree with one voter, from (M, 7).

    >>> _another_voter(np.array([[5, 0, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0, 0]])).tolist()
    [1.0, 0.4]
    """
    total = counts.sum(1)
    alike: Floats = (counts * (counts - 1)).sum(1) / (total * (total - 1))
    return alike


def _figures(
    reading: Reading, base: Reading, classes: NDArray[np.intp], seed: int
) -> dict[str, float]:
    return {
        "n": len(reading.share),
        **_figure("share", reading.share, base.share, seed),
        "balanced_share": set_mean(reading.share, classes),
        **_figure("hellinger", reading.hellinger, base.hellinger, seed),
    }


def _figure(name: str, values: Floats | None, base: Floats | None, seed: int) -> dict[str, float]:
    """Return a mean with its interval and paired difference; NaN where there are no values."""
    ends = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high", "_p")
    if values is None or base is None:
        return {f"{name}{end}": float("nan") for end in ends}
    interval = bca_interval(values, shared_rng(seed, len(values)))
    change = paired_difference(values, base, shared_rng(seed, len(values)))
    found = (interval.low, interval.high, change.estimate, change.low, change.high, change.p)
    figures = (set_mean(values), *found)
    return {f"{name}{end}": value for end, value in zip(ends, figures, strict=True)}
