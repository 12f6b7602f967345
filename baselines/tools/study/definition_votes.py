"""Which of the candidate definitions of ECM agrees best with people's votes?

    python -m tools.study.definition_votes --faces DIR --labels CSV --judges resnet-ferplus \\
        --out docs/study/definition-votes

For random pairs of faces, each candidate's score between a judge's two readings is set against its
score between the two faces' shares of votes, by Spearman's correlation. A candidate that people's
votes themselves tell little about could win or lose by that, so that all candidates also stand
against one and the same score of the votes, `ecm/1`, and their ceilings (`study.agreement`) are
given. Choose on one set of faces, and report on another.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from affectbench import __version__
from affectbench.errors import AffectBenchError
from affectbench.judges import expand_judges
from affectbench.metrics.ecm import ecm_parts
from affectbench.study.agreement import (
    DRAWS,
    SPLITS,
    FacePairs,
    ceiling_of,
    correlations,
    halves,
    random_pairs,
)
from affectbench.study.faces import read_faces
from affectbench.study.judged import Judged, judge_faces
from affectbench.study.pairs import Floats, percentile_interval
from affectbench.study.report import Section, write_sections
from affectbench.study.votes import Voted, seven_logits, vote_logits, voted_faces
from tools.study.definition import OWN, candidates_of

Scores = Mapping[str, Floats]


def pair_scores(logits: torch.Tensor, pairs: FacePairs) -> Scores:
    """Return each candidate's score of the pairs (P,), with the first face as reference."""
    return candidates_of(ecm_parts(logits[pairs.first], logits[pairs.second]))


def compare(
    judged: Sequence[Judged], voted: Voted, seed: int, draws: int = DRAWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each judge and candidate, and the ceiling of each candidate.

    - `spearman`: of the candidate under the judge with the candidate on the votes;
    - `difference`: that less the one of `ecm/1`, on the same draws;
    - `with_ecm_1`: of the candidate under the judge with `ecm/1` on the votes.
    """
    rng = np.random.default_rng(seed)
    pairs = random_pairs(voted.persons, rng)
    people = pair_scores(vote_logits(voted.votes), pairs)
    rows = []
    for one in judged:
        said = pair_scores(seven_logits(one, voted), pairs)
        two = {("own", name): (said[name], people[name]) for name in said}
        fixed = {("fixed", name): (said[name], people[OWN]) for name in said}
        named = {f"{kind} {name}": value for (kind, name), value in {**two, **fixed}.items()}
        found = correlations(named, pairs, np.random.default_rng(seed), draws)
        rows += [_row(one.name, name, found) for name in said]
    return pd.DataFrame(rows), _ceilings(voted, pairs, rng, draws)


def _row(judge: str, name: str, found: Scores) -> dict[str, object]:
    own, first, fixed = found[f"own {name}"], found[f"own {OWN}"], found[f"fixed {name}"]
    return {
        "judge": judge,
        "candidate": name,
        **_interval("spearman", own),
        **_interval("difference", own - first),
        **_interval("with_ecm_1", fixed),
        **_interval("difference_with_ecm_1", fixed - found[f"fixed {OWN}"]),
    }


def _ceilings(voted: Voted, pairs: FacePairs, rng: np.random.Generator, draws: int) -> pd.DataFrame:
    splits: dict[str, tuple[Floats, Floats]] = {}
    names: Sequence[str] = ()
    for i in range(SPLITS):
        one, two = (pair_scores(vote_logits(half), pairs) for half in halves(voted.votes, rng))
        names = list(one)
        splits |= {f"{name} {i}": (one[name], two[name]) for name in names}
    found = correlations(splits, pairs, rng, draws)
    rows = []
    for name in names:
        agree = np.mean([found[f"{name} {i}"] for i in range(SPLITS)], axis=0)
        rows.append({"candidate": name, **_interval("ceiling", ceiling_of(agree))})
    return pd.DataFrame(rows)


def _interval(name: str, values: Floats) -> dict[str, float]:
    interval = percentile_interval(values[1:])
    return {name: float(values[0]), f"{name}_low": interval.low, f"{name}_high": interval.high}


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the candidates and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.study.definition_votes")
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True, help="file, and columns of votes")
    parser.add_argument("--judges", default="panel", help="comma list (default: panel)")
    parser.add_argument("--name", default="voted faces", help="title of the set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        faces = read_faces(options.faces, options.labels, options.name)
        voted = voted_faces(faces)
        names = expand_judges(options.judges.split(","))
        judged = judge_faces(
            faces, (), names, framing="whole", seed=options.seed, progress=lambda *_: None
        )
        table, ceilings = compare(judged, voted, options.seed)
    except AffectBenchError as error:
        parser.error(str(error))
    intro = [
        f"Made by `python -m tools.study.definition_votes`, affectbench {__version__}.",
        f"{len(voted)} of {len(faces)} faces have enough votes.",
    ]
    sections = [
        Section("candidates", "Agreement of the candidates with people", _CANDIDATES, table),
        Section("ceilings", "What could be reached", _CEILINGS, ceilings),
    ]
    title = f"Which definition of ECM agrees with people? {options.name}"
    write_sections(title, intro, sections, options.out / "definition-votes.md")


_CANDIDATES = (
    "`spearman`: the candidate under the judge with the same candidate on the votes, over random "
    "pairs of faces; `difference`: that less the one of `ecm/1` on the same draws. `with ecm 1`: "
    "with `ecm/1` on the votes for every candidate. Intervals are 95 %, bootstrapped over faces."
)
_CEILINGS = (
    "The square root of the reliability of each candidate on the votes, from random halves of them."
)


if __name__ == "__main__":
    main()
