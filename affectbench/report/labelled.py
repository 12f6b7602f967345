"""Is the labelled expression still seen? Balanced accuracy of the judges on each model's results.

    affectbench compare --models bicubic,mine --datasets faces --data faces=DIR --out RUN
    python -m affectbench.report.labelled RUN --labels labels.csv --out labelled.csv

The table has the columns `file` and `emotion`. Balanced accuracy is the mean over the expressions
of the share of faces that the judge gives their label, in [0, 1], higher is better; by guessing it
is 1 / expressions. Intervals are over faces, the difference to `--versus` is paired and its p
two-sided, as in the tables of a run; Holm's over the models of a judge. The row `HR` is the judge
on the originals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectbench.errors import AffectBenchError, InputError, listed
from affectbench.records import Record, write_atomic
from affectbench.report.results import Run, load_run
from affectbench.stats.bootstrap import bca_interval
from affectbench.stats.paired import paired_difference
from affectbench.stats.ranking import holm
from affectbench.stats.sets import set_mean, shared_rng

ORIGINALS = "HR"


def read_labels(table: Path) -> dict[str, str]:
    """The emotion of each image id, which is the file's name without its ending."""
    try:
        rows = pd.read_csv(table, dtype=str, keep_default_na=False)
        return {Path(f).stem: e for f, e in zip(rows["file"], rows["emotion"], strict=True)}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{table}: no table with the columns file and emotion ({error})") from None


def labelled_accuracy(run: Run, labels: Mapping[str, str], versus: str) -> pd.DataFrame:
    """A row for HR and each model under each judge, differences to the model `versus`.

    Raises InputError if the run has no ECM, no such model, or a face without a label.
    """
    records = [
        r for r in run.records if (r.metric["name"], r.role, r.status) == ("ecm", "model", "ok")
    ]
    if versus not in {r.row for r in records}:
        found = listed(sorted({r.row for r in records})) or "no ecm of any model"
        raise InputError(f"{run.folder}: has no ecm of the model '{versus}'; it has {found}")
    rows: list[dict[str, Any]] = []
    for dataset, judge in dict.fromkeys(map(_key, records)):
        own = [record for record in records if _key(record) == (dataset, judge)]
        key = {"dataset": dataset, "judge": judge}
        rows += [{**key, **row} for row in _rows(run, own, labels, versus)]
    return pd.DataFrame(rows)


def _key(record: Record) -> tuple[str, str]:
    return record.dataset["name"], record.metric["identity"]["judge"]


def _rows(
    run: Run, records: Sequence[Record], labels: Mapping[str, str], versus: str
) -> list[dict[str, Any]]:
    columns = run.columns(records[0])
    ids = columns["id"]
    unknown = [str(i) for i in ids if str(i) not in labels]
    if unknown:
        raise InputError(f"{len(unknown)} faces have no label: {listed(unknown)}")
    emotions = np.array([labels[str(i)] for i in ids])
    classes = np.unique(emotions, return_inverse=True)[1]
    right = {ORIGINALS: columns["label_hr"] == emotions}
    for record in records:
        columns = run.columns(record)
        if not np.array_equal(columns["id"], ids):
            raise InputError(f"{record.row}: has other faces than {records[0].row}")
        right[record.row] = columns["label_sr"] == emotions
    rows: list[dict[str, Any]] = [
        {"model": name, **_figures(hits, classes, right[versus], run)}
        for name, hits in right.items()
    ]
    compared = [row for row in rows if row["model"] not in (versus, ORIGINALS)]
    for row, p in zip(compared, holm([float(row["p"]) for row in compared]), strict=True):
        row["p"] = p
    return rows


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table; exit code 2 for an input error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--versus", default="bicubic")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        labels = read_labels(options.labels)
        table = labelled_accuracy(load_run(options.run), labels, options.versus)
    except AffectBenchError as error:
        parser.error(str(error))
    write_atomic(options.out, table.to_csv(index=False, float_format="%.4f").encode())


if __name__ == "__main__":
    main()
