"""Is the labelled expression still seen? Balanced accuracy of the judges on each model's results.

    affectbench compare --models bicubic,mine --datasets faces --data faces=DIR --out RUN
    python -m affectbench.report.labelled RUN --labels labels.csv --out labelled.csv
    python -m affectbench.report.labelled RUN --labels votes.csv --votes --out voted.csv

The table has the columns `file` and `emotion`; with `--votes`, one column for each expression with
the number of people who saw it (`affectbench.results.voted` says what is written then).

Balanced accuracy is the mean over the expressions of the share of faces that the judge gives their
label, in [0, 1], higher is better; by guessing it is 1 / expressions. Intervals are over faces, the
difference to `--versus` is paired and its p two-sided, as in the tables of a run; Holm's over the
models of a judge. The row `HR` is the judge on the originals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from affectbench.errors import AffectBenchError
from affectbench.records import write_atomic
from affectbench.results.labelled import labelled_accuracy, read_labels
from affectbench.results.runs import load_run
from affectbench.results.voted import read_votes, voted_shares


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table; exit code 2 for an input error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--votes", action="store_true", help="compare with the votes of people")
    parser.add_argument("--versus", default="bicubic")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        if options.votes:
            votes = read_votes(options.labels)
            table = voted_shares(load_run(options.run), votes, options.versus)
        else:
            labels = read_labels(options.labels)
            table = labelled_accuracy(load_run(options.run), labels, options.versus)
    except AffectBenchError as error:
        parser.error(str(error))
    write_atomic(options.out, table.to_csv(index=False, float_format="%.4f").encode())


if __name__ == "__main__":
    main()
