"""The records of a run that hold a judge's predictions on each face, by data set and judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectbench.errors import InputError, listed
from affectbench.records import Record
from affectbench.results.runs import Run
from affectbench.types import Columns

ORIGINALS = "HR"
"""The row of the originals."""


@dataclass(frozen=True)
class JudgedRows:
    """One judge's predictions on the faces of one data set: the columns of each model's record."""

    dataset: str
    judge: str
    ids: NDArray[np.str_]
    models: dict[str, Columns]

    @property
    def first(self) -> Columns:
        """The columns of the first model; the predictions on the originals are the same in all."""
        return next(iter(self.models.values()))

    @property
    def classes(self) -> tuple[str, ...]:
        """The judge's classes."""
        return tuple(n.removeprefix("q_") for n in self.first if n.startswith("q_") and n != "q_k")


def judged_rows(run: Run, versus: str) -> Iterator[JudgedRows]:
    """Yield the rows of each data set and judge.

    Raises InputError if the run has no ECM or no model `versus`, if a model has the name of the
    row of the originals, or if the models do not have the same faces.
    """
    records = [
        r for r in run.records if (r.metric["name"], r.role, r.status) == ("ecm", "model", "ok")
    ]
    names = sorted({r.row for r in records})
    if versus not in names:
        found = listed(names) or "no ecm of any model"
        raise InputError(f"{run.folder}: has no ecm of the model '{versus}'; it has {found}")
    if ORIGINALS in names:
        raise InputError(
            f"{run.folder}: a model is called '{ORIGINALS}', as the row of the originals is; run "
            "it again under another name (@name=LABEL)"
        )
    for dataset, judge in dict.fromkeys(map(_key, records)):
        own = [record for record in records if _key(record) == (dataset, judge)]
        if versus not in {record.row for record in own}:
            raise InputError(
                f"{run.folder}: has no ecm of the model '{versus}' on {dataset} under {judge}"
            )
        yield _rows(run, dataset, judge, own)


def _key(record: Record) -> tuple[str, str]:
    return record.dataset["name"], record.metric["identity"]["judge"]


def _rows(run: Run, dataset: str, judge: str, records: Sequence[Record]) -> JudgedRows:
    models = {record.row: run.columns(record) for record in records}
    ids = models[records[0].row]["id"]
    for name, columns in models.items():
        if not np.array_equal(columns["id"], ids):
            raise InputError(f"{name}: has other faces than {records[0].row}")
    return JudgedRows(dataset, judge, np.array([str(i) for i in ids]), models)
