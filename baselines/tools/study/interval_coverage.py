"""How often 95 % intervals cover the true mean, and how often 5 % tests reject a true null.

    python -m tools.study.interval_coverage --out tables.md

Writes the tables of `docs/limitations.md`. A population is a distribution, or the per-image
values of a board's faces, drawn with replacement. Some minutes with the default of 2,000 samples:
a share of 0.95 is then known to 0.005.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectbench.results.runs import Run, load_run
from affectbench.stats import bca_intervals
from affectbench.stats.flips import sign_flip_ps
from affectbench.stats.moments import skewed_p

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
FACES = (6, 10, 20, 30, 100)
MODEL, VERSUS = "affectsrnet", "bicubic"
BOARD_METRICS = ("ecm", "ecm[face-api]", "js_divergence", "psnr", "lpips-alex")
RARE = {"10, 500": (10, 500), "10, 50, 200": (10, 50, 200), "12, 20, 40": (12, 20, 40)}


def distributions() -> dict[str, tuple[Draw, float]]:
    """Return populations by name: how to sample from them, and their mean."""
    return {
        "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
        "Student's t, 3 degrees": (lambda rng, shape: rng.standard_t(3, shape), 0.0),
        "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
        "lognormal": (lambda rng, shape: rng.lognormal(size=shape), math.exp(0.5)),
        "beta(0.5, 2)": (lambda rng, shape: rng.beta(0.5, 2.0, shape), 0.2),
        "15 % lost, others near 0": (_mixture, 0.15 * 0.85 + 0.85 / 9.0),
    }


def _mixture(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    lost = rng.random(shape) < 0.15
    return np.where(lost, rng.uniform(0.6, 1.1, shape), rng.beta(1.0, 8.0, shape))


def of_board(run: Run) -> dict[str, tuple[Draw, float]]:
    """Return the per-image values of a model, and their differences to another."""
    found: dict[str, tuple[Draw, float]] = {}
    for name in BOARD_METRICS:
        metric, _, judge = name.rstrip("]").partition("[")
        judge = judge or run.settings["judges"][0]
        by_row = {
            record.row: run.columns(record)[metric].astype(np.float64)
            for record in run.records
            if record.metric["name"] == metric
            and record.metric["identity"].get("judge", judge) == judge
        }
        values = by_row[MODEL]
        found[f"{name} of {MODEL}"] = (_resampled(values), float(values.mean()))
        change = values - by_row[VERSUS]
        found[f"{name}, less {VERSUS}"] = (_resampled(change), float(change.mean()))
    return found


def _resampled(values: Floats) -> Draw:
    return lambda rng, shape: rng.choice(values, shape)


def coverage(draw: Draw, mean: float, n: int, runs: int) -> float:
    """Return the share of samples of n faces whose interval covers the mean."""
    rng = np.random.default_rng([1, n])
    intervals = bca_intervals(draw(rng, (n, runs)), rng, draws=2000)
    return float(np.mean([one.low <= mean <= one.high for one in intervals]))


def sizes(rows: Floats, classes: NDArray[np.intp] | None = None) -> tuple[float, float]:
    """Return the shares of rows (runs, n) rejected at 5 %: by sign flips, and by the table's p."""
    flips = np.array(sign_flip_ps(rows, np.random.default_rng(2), classes, draws=2000))
    skewed = np.array([skewed_p(row, classes) for row in rows])
    return float((flips < 0.05).mean()), float((np.maximum(flips, skewed) < 0.05).mean())


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def coverage_table(populations: Mapping[str, tuple[Draw, float]], runs: int) -> Iterator[str]:
    """Yield the lines of the table of coverage."""
    yield _line(["values", *(f"n = {n}" for n in FACES)])
    yield "|---|" + "---:|" * len(FACES)
    for name, (draw, mean) in populations.items():
        yield _line([name, *(f"{coverage(draw, mean, n, runs):.3f}" for n in FACES)])


def size_tables(populations: Mapping[str, tuple[Draw, float]], runs: int) -> Iterator[str]:
    """Yield the lines of the rejection rates of plain means, and macro means with a small class."""
    yield _line(["differences", *(f"n = {n}" for n in FACES)])
    yield "|---|" + "---:|" * len(FACES)
    for name, (draw, mean) in populations.items():
        cells = []
        for n in FACES:
            flips, both = sizes(draw(np.random.default_rng([3, n]), (runs, n)) - mean)
            cells.append(f"{flips:.3f}, {both:.3f}")
        yield _line([name, *cells])
    yield ""
    yield _line(["smallest class", *(f"classes of {name}" for name in RARE)])
    yield "|---|" + "---:|" * len(RARE)
    for name, (draw, mean) in populations.items():
        cells = []
        for counts in RARE.values():
            rng = np.random.default_rng([4, sum(counts)])
            rare = draw(rng, (runs, counts[0])) - mean
            others = rng.normal(0.0, rare.std(), (runs, sum(counts[1:])))
            classes = np.repeat(np.arange(len(counts)), counts)
            flips, both = sizes(np.concatenate([rare, others], axis=1), classes)
            cells.append(f"{flips:.3f}, {both:.3f}")
        yield _line([name, *cells])


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", type=Path, default=Path("leaderboards/boards/celeba-x8"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    populations = {**distributions(), **of_board(load_run(options.board))}
    lines = [
        *coverage_table(populations, options.runs),
        "",
        *size_tables(populations, options.runs),
        "",
    ]
    options.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
