"""All parts of the study on one set of labelled faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from affectbench import __version__
from affectbench.faces.identity import load_face_descriptor
from affectbench.metrics.identity import face_descriptors
from affectbench.study.damage import DAMAGE, NUISANCE
from affectbench.study.faces import LabelledFaces
from affectbench.study.judged import HR, Judged, judge_faces
from affectbench.study.pairs import cross_person_pairs, same_person_pairs
from affectbench.study.parts import one_face_attack, temperature_effect, term_correlation
from affectbench.study.report import Section, write_report
from affectbench.study.response import monotonicity, responses
from affectbench.study.separation import separation, weak_pairs
from affectbench.study.transfer import transfer

CROSS_PAIRS = 20_000


def run_study(
    faces: LabelledFaces,
    judges: Sequence[str],
    out: Path,
    *,
    framing: str = "whole",
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda _text, _done, _total: None,
) -> Path:
    """Run the study and write it to a folder; the path of the report."""
    conditions = (*DAMAGE, *NUISANCE)
    judged = judge_faces(faces, conditions, judges, framing=framing, seed=seed, progress=progress)
    rng = np.random.default_rng(seed)
    device = torch.device("cpu")
    descriptors = face_descriptors(load_face_descriptor(device), faces.images, framing)
    sections = []
    cross = cross_person_pairs(faces.persons, faces.emotions, rng, CROSS_PAIRS)
    kinds = [("cross-person", "faces of two persons", cross)]
    if faces.has_persons:
        pairs = same_person_pairs(faces.persons, faces.emotions)
        kinds.insert(0, ("same-person", "faces of one person", pairs))
    for slug, text, pairs in kinds:
        reading = (
            f"{int(pairs.different.sum())} pairs with different expressions, "
            f"{int((~pairs.different).sum())} with the same. 0.5: the score knows nothing."
        )
        sections.append(
            Section(
                slug,
                f"(a) Other against same expression, {text}",
                reading,
                separation(judged, faces, descriptors, pairs, seed),
            )
        )
    gaps = _gaps(sections[0].table)
    sections += [*_response(judged, gaps, seed), _transfer(judged, faces, seed), *_parts(judged)]
    weak = pd.concat([weak_pairs(one, faces.emotions, kinds[0][2]) for one in judged])
    sections.append(Section("weak-pairs", "(f) Where ECM fails", _WEAK, weak))
    return write_report(_title(faces), _intro(faces, judged, framing), sections, out)


_WEAK = (
    "Mean ECM between labelled expressions. `missed`: the share of pairs with different "
    "expressions that score below the median pair with the same one."
)


def _title(faces: LabelledFaces) -> str:
    return f"What ECM measures: {faces.name}"


def _intro(faces: LabelledFaces, judged: Sequence[Judged], framing: str) -> list[str]:
    names, counts = np.unique(faces.emotions, return_counts=True)
    classes = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    accuracy = ", ".join(f"{one.name} {one.right(HR).mean():.3f}" for one in judged)
    return [
        f"Made by `affectbench validate` {__version__}; definition `ecm/1`, framing `{framing}`.",
        f"{len(faces)} faces ({classes}), {len(np.unique(faces.persons))} persons.",
        f"Accuracy of the judges on the untouched faces: {accuracy}.",
        "Judges that learned from these faces' source are no evidence about it.",
    ]


def _gaps(table: pd.DataFrame) -> dict[str, float]:
    ecm = table[table.score == "ecm"]
    return dict(zip(ecm.judge, ecm.gap, strict=True))


def _response(judged: Sequence[Judged], gaps: dict[str, float], seed: int) -> list[Section]:
    conditions = (*DAMAGE, *NUISANCE)
    response = pd.concat([responses(one, conditions, gaps[one.name], seed) for one in judged])
    trend = pd.concat([monotonicity(one, conditions, seed) for one in judged])
    return [
        Section(
            "response",
            "(b, c) Response to damage and to what must not matter",
            "`over gap`: mean ECM divided by the gap of ECM in the first table, "
            "what a change of expression is worth. For a nuisance it should be near 0.",
            response,
        ),
        Section(
            "monotonicity",
            "(b) Does more damage give more ECM?",
            "`page p`: Page's trend test. `worst step p`: the largest one-sided sign-flip p of "
            "a step; above 0.05, a step does not rise for certain.",
            trend,
        ),
    ]


def _transfer(judged: Sequence[Judged], faces: LabelledFaces, seed: int) -> Section:
    return Section(
        "transfer",
        "(d) ECM of one judge, labelled expressions seen by another",
        "`spearman`: over conditions, mean ECM against the other judge's accuracy. `auc`: per "
        "image, ECM for an expression that the other judge saw and has lost.",
        transfer(judged, (*DAMAGE, *NUISANCE), faces.persons, seed),
    )


def _parts(judged: Sequence[Judged]) -> list[Section]:
    conditions = (*DAMAGE, *NUISANCE)
    terms = pd.concat([term_correlation(one, conditions) for one in judged])
    heat = pd.concat([temperature_effect(one, conditions) for one in judged])
    attack = pd.DataFrame([one_face_attack(one) for one in judged])
    return [
        Section("terms", "(e) Correlation of the two terms", "Per face, L_H and ln L_conf.", terms),
        Section("temperature", "(e) Temperature", "Does it change the conditions' order?", heat),
        Section(
            "one-face",
            "(e) One face shown for everybody",
            "The best constant face against bicubic x8, as macro mean and as plain mean.",
            attack,
        ),
    ]
