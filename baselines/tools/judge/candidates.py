"""Compare candidates on the public test: `python -m tools.judge.candidates --data DIR RUN ...`.

Each RUN is the output folder of `tools.judge.train`; `A+B` is the mean of two runs' logits. Every
one is scored at each strength of the prior's correction, and the rows
are added to `candidates.csv`. The weights are rounded to float16 first, as they are shipped.
"""

from __future__ import annotations

import argparse
import csv
import logging
from pathlib import Path

import torch
from torch import Tensor

from tools.judge.calibration import calibrated, prior_of
from tools.judge.checkpoints import network_of, read_state
from tools.judge.data import Split, load_split
from tools.judge.measures import predict, vote_figures

_LOG = logging.getLogger("judge.candidates")
TABLE = Path(__file__).with_name("candidates.csv")
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
Row = dict[str, str | float]


def logits_of(names: str, runs: Path, faces: Tensor) -> Tensor:
    """Return the logits (N,7) of one run, or the mean of several."""
    networks = [network_of(*read_state(runs / name)) for name in names.split("+")]
    return torch.stack([predict(network, faces) for network in networks]).mean(0)


def rows_of(names: str, logits: Tensor, public: Split, prior: Tensor) -> list[Row]:
    """Return the figures of one candidate at every strength of the correction."""
    rows: list[Row] = []
    for strength in STRENGTHS:
        fitted, temperature = calibrated(logits, public.shares, prior, strength)
        row: Row = {"candidate": names, "strength": strength, "temperature": round(temperature, 4)}
        row |= {k: round(v, 4) for k, v in vote_figures(fitted, public.shares).items()}
        rows.append(row)
    return rows


def add_rows(rows: list[Row], table: Path) -> None:
    """Add rows to the table; those of the same candidate and strength are replaced."""
    known: list[Row] = []
    if table.exists():
        with table.open(encoding="utf-8", newline="") as stream:
            known = list(csv.DictReader(stream))
    new = {(str(row["candidate"]), float(row["strength"])) for row in rows}
    kept = [r for r in known if (str(r["candidate"]), float(r["strength"])) not in new]
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows([*kept, *rows])


def main(arguments: list[str] | None = None) -> None:
    """Score candidates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder that holds the runs")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    cache = options.runs / "similarity.npz"
    prior = prior_of(load_split(options.data, "train", cache).shares)
    public = load_split(options.data, "public_test", cache)
    for names in options.names:
        rows = rows_of(names, logits_of(names, options.runs, public.all_faces()), public, prior)
        add_rows(rows, options.table)
        for row in rows:
            _LOG.info("%s", row)


if __name__ == "__main__":
    main()
