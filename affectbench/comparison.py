"""The result of `compare` and `score`: a table, per-image values, tests, and pages from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from affectbench.arguments import usable_path
from affectbench.errors import InputError
from affectbench.report.cells import lay_out
from affectbench.report.html.templating import rendered
from affectbench.report.table import wide_table
from affectbench.results.compare import compared
from affectbench.results.frame import Frame
from affectbench.results.pairs import PairedComparison, compare_rows, image_values
from affectbench.results.runs import Run, load_run
from affectbench.run.session import Outcome
from affectbench.texts import printable
from affectbench.types import Role


@dataclass(frozen=True, repr=False)
class Comparison:
    """A finished comparison: its table, its values, its failures, and its folder.

    `table` has a row per model, anchor and data set, and a column for each number. A notebook
    shows it as a table.
    """

    run: Run
    table: pd.DataFrame
    outcome: Outcome

    def __repr__(self) -> str:
        rows = [row for row in self._frame.rows if not row.is_anchor]
        models = list(dict.fromkeys(row.model for row in rows))
        sets = {row.dataset: row.n for row in self._frame.rows}
        parts = [
            _few(models, "model"),
            "on " + _few([f"{name} ({n})" for name, n in sets.items()], "data set"),
            _few(list(self._frame.columns), "metric"),
            *([f"{len(self.failed)} failed"] if self.failed else []),
        ]
        return printable(f"<Comparison: {'; '.join(parts)}>")

    def _repr_html_(self) -> str:
        return rendered("notebook", layout=lay_out(self._frame), failed=self.failed)

    @property
    def _frame(self) -> Frame:
        return self.run.once("frame of a comparison", lambda: compared(self.run))

    @property
    def folder(self) -> Path:
        """The folder of the results; already deleted if the call had no `out`."""
        return self.outcome.folder

    @property
    def gaps(self) -> tuple[str, ...]:
        """Metrics of a requested group that were skipped, each with its reason."""
        return tuple(str(gap) for gap in self.run.settings.get("gaps", ()))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on unusual files among the faces and the results."""
        return tuple(str(remark) for remark in self.run.settings.get("remarks", ()))

    @property
    def failed(self) -> tuple[str, ...]:
        """The error of each model cell that has no values."""
        return tuple(f"{r.row} on {r.dataset['name']}: {r.error}" for r in self.outcome.failed)

    def per_image(self, metric: str) -> pd.DataFrame:
        """Return the values behind a column of the table, a line for each row and face.

        `dataset`, `role`, `model` and `id` say whose a value is; it stands in the column named like
        the metric, and beside it what the metric knows of the face: for `ecm` the labels, and the
        probabilities of the classes. `metric` is a column of `table`, such as `psnr` or
        `ecm[face-api]`. Raises UnknownNameError for another one, and InputError for a metric that
        has no value for a single face, such as `fid`.
        """
        return image_values(self.run, metric)

    def compare(self, a: str, b: str, metric: str = "", dataset: str = "") -> PairedComparison:
        """Return how two rows differ on the faces that both have: difference, interval and p.

        `metric` is a column of the table (default: the first), `dataset` may be left out if there
        is one. The test is that of the table against `versus`, without the correction for several
        rows. Raises UnknownNameError for names that are not there, InputError for a row without
        values.
        """
        return compare_rows(self.run, a, b, metric, dataset)

    def images(
        self, row: str, dataset: str, metric: str = "ecm", role: Role | None = None
    ) -> pd.DataFrame:
        """Return the per-image values of one row; with several judges, those of the first.

        If a model and an anchor have the same name, the model is meant unless `role` is given.
        """
        for record in self.run.records:
            found = (record.row, record.dataset["name"], record.metric["name"])
            if found == (row, dataset, metric) and record.role == (role or record.role):
                return pd.DataFrame(self.run.columns(record))
        raise InputError(f"there is no {metric} of {row} on {dataset} in this comparison")


def load_comparison(folder: Path | str) -> Comparison:
    """Return the comparison that `compare`, `score` or the command left in a folder (`--out`).

    Raises RecordError for a folder without results, or with damaged ones.
    """
    path = usable_path(folder)
    run = load_run(path)
    failed = tuple(r for r in run.records if r.status == "failed" and r.role == "model")
    return finished(run, Outcome(path, 0, failed, len(failed)))


def finished(run: Run, outcome: Outcome) -> Comparison:
    """Return the comparison of a run."""
    return Comparison(run, wide_table(compared(run)), outcome)


def _few(names: Sequence[str], noun: str, most: int = 4) -> str:
    """Return a few names, or how many there are."""
    return ", ".join(names) if len(names) <= most else f"{len(names)} {noun}s"
