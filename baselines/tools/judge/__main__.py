"""Make the judge from the data: `python -m tools.judge --data DIR --runs DIR`, in `baselines`.

Trains the teachers and the students, each in a folder of `--runs`, and writes the weights. A
run that is complete there is kept, and one that was interrupted goes on. Evaluation opens the
private test and is a command of its own: `python -m tools.judge.evaluate`, then
`python -m tools.judge.card`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from tools.judge import freeze, teach, train

TEACHERS = ("warm-96", "warm-112", "again-96")
FIRST_STUDENT = "student-a"
STUDENTS = ("student-c", "student-d", "student-e")
"""Each continues from the previous one, and learns from the first student's predictions."""
STRENGTH = "0.2"
_CONFIGS = Path(__file__).with_name("configs")


def main(arguments: list[str] | None = None) -> None:
    """Run every step that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of FER2013 and FER+")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    options = parser.parse_args(arguments)
    places = ["--data", str(options.data), "--runs", str(options.runs)]
    for name in TEACHERS:
        _train(name, options.data, options.runs, [])
    taught = _teach(TEACHERS, options.runs / "teachers.npy", places)
    _train(FIRST_STUDENT, options.data, options.runs, ["--teacher", str(taught)])
    taught = _teach([FIRST_STUDENT], options.runs / "teacher-a.npy", places)
    for name in STUDENTS:
        _train(name, options.data, options.runs, ["--teacher", str(taught)])
    freeze.main([STUDENTS[-1], *places, "--strength", STRENGTH])


def _teach(teachers: Sequence[str], out: Path, places: Sequence[str]) -> Path:
    if not out.exists():
        teach.main([*teachers, *places, "--out", str(out)])
    return out


def _train(name: str, data: Path, runs: Path, more: list[str]) -> None:
    out, begun = runs / name, []
    if (out / "checkpoint.pt").exists():
        if torch.load(out / "checkpoint.pt", weights_only=True)["progress"] >= 1.0:
            return
        begun = ["--resume"]
    config = str(_CONFIGS / f"{name}.json")
    places = ["--data", str(data), "--config", config, "--out", str(out)]
    train.main([*places, *more, *begun])


if __name__ == "__main__":
    main()
