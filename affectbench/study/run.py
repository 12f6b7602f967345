"""Run all parts of the study on one set of labelled faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from affectbench import __version__
from affectbench.callbacks import Advance
from affectbench.errors import InputError, listed
from affectbench.faces.identity import load_face_descriptor
from affectbench.metrics.identity import face_descriptors
from affectbench.stats.sets import MIN_N
from affectbench.study.damage import DAMAGE, NUISANCE
from affectbench.study.faces import LabelledFaces
from affectbench.study.judged import HR, Judged, judge_faces
from affectbench.study.pairs import Pairs, cross_person_pairs, same_person_pairs
from affectbench.study.parts import one_face_attack, temperature_effect, term_correlation
from affectbench.study.people_sections import people_sections
from affectbench.study.report import Section, write_report
from affectbench.study.response import monotonicity, responses
from affectbench.study.separation import separation, weak_pairs
from affectbench.study.transfer import transfer
from affectbench.study.votes import voted_faces

CROSS_PAIRS = 20_000
PARTS = ("labels", "votes")
"""(a) to (f) use labels and damaged faces; (g) to (i) use votes."""


def run_study(
    faces: LabelledFaces,
    judges: Sequence[str],
    out: Path,
    *,
    framing: str = "whole",
    seed: int = 0,
    parts: Sequence[str] = PARTS,
    progress: Advance = lambda _text, _done, _total: None,
) -> Path:
    """Run the study and write it to a folder; return the path of the report.

    Without the part `labels`, judges run on the unchanged faces only. Raises InputError for an
    unknown part, and if there is nothing to study: no part, or votes for a set that has none.
    """
    _require_parts(parts, faces)
    conditions = (*DAMAGE, *NUISANCE) if "labels" in parts else ()
    judged = judge_faces(faces, conditions, judges, framing=framing, seed=seed, progress=progress)
    has_label = faces.emotions != ""
    sections = people_sections(judged, faces, seed) if "votes" in parts else []
    labelled = faces if has_label.all() else faces.part(has_label, "labelled")
    if len(labelled) and "labels" in parts:
        known = [one.part(has_label) for one in judged]
        sections = [*_labelled_sections(known, labelled, framing, seed), *sections]
    return write_report(_title(faces), _intro(faces, judged, framing), sections, out)


def _require_parts(parts: Sequence[str], faces: LabelledFaces) -> None:
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise InputError(
            f"no part of the study is called '{listed(unknown)}'; known: {listed(PARTS)}"
        )
    if "labels" not in parts:
        voted_faces(faces)


def _labelled_sections(
    judged: Sequence[Judged], faces: LabelledFaces, framing: str, seed: int
) -> list[Section]:
    """Return the parts (a) to (f), which use one labelled expression per face."""
    rng = np.random.default_rng(seed)
    device = torch.device("cpu")
    descriptors = face_descriptors(load_face_descriptor(device), faces.images, framing)
    cross = cross_person_pairs(faces.persons, faces.emotions, rng, CROSS_PAIRS)
    kinds = [("cross-person", "faces of two persons", cross)]
    if faces.has_persons:
        pairs = same_person_pairs(faces.persons, faces.emotions)
        kinds.insert(0, ("same-person", "faces of one person", pairs))
    sections = [
        Section(
            slug,
            f"(a) Other against same expression, {text}",
            _separation_reading(pairs),
            separation(judged, faces, descriptors, pairs, seed),
        )
        for slug, text, pairs in kinds
    ]
    gaps = _gaps(sections[0].table)
    sections += [*_response(judged, gaps, seed), _transfer(judged, faces, seed), *_parts(judged)]
    weak = pd.concat([weak_pairs(one, faces.emotions, kinds[0][2]) for one in judged])
    return [*sections, Section("weak-pairs", "(f) Where ECM fails", _WEAK, weak)]


def _separation_reading(pairs: Pairs) -> str:
    different = int(pairs.different.sum())
    same = len(pairs) - different
    text = (
        f"{different} pairs with different expressions, {same} with the same. "
        "0.5: the score knows nothing."
    )
    if not (different and same):
        text += " n too small: without pairs of both kinds there is no AUC and no gap."
    return text


_WEAK = (
    "Mean ECM between labelled expressions. `missed`: the share of pairs with different "
    "expressions that score below the median pair with the same one."
)


def _title(faces: LabelledFaces) -> str:
    return f"What ECM measures: {faces.name}"


def _intro(faces: LabelledFaces, judged: Sequence[Judged], framing: str) -> list[str]:
    has_label = faces.emotions != ""
    names, counts = np.unique(faces.emotions, return_counts=True)
    classes = ", ".join(
        f"{name or 'no label'} {count}" for name, count in zip(names, counts, strict=True)
    )
    accuracy = ", ".join(
        f"{one.name} {one.right(HR)[has_label].mean():.3f}" if has_label.any() else one.name
        for one in judged
    )
    return [
        f"Made by `affectbench validate` {__version__}; definition `ecm/1`, framing `{framing}`.",
        f"{len(faces)} faces ({classes}), {len(np.unique(faces.persons))} persons.",
        f"Accuracy of the judges on the untouched faces: {accuracy}.",
        "Judges that learned from these faces' source are no evidence about it.",
        *_too_small(faces),
    ]


def _too_small(faces: LabelledFaces) -> list[str]:
    """Return notes on what the set is too small for, one line each."""
    kinds = {
        "labelled expression, so that no pair of faces differs in it": set(faces.emotions) - {""},
        "person, so that there are no pairs of two": set(faces.persons),
    }
    notes = [f"n too small: one {what}." for what, found in kinds.items() if len(found) == 1]
    if len(faces) < MIN_N:
        notes.append(f"n too small: intervals and tests need {MIN_N} faces, here are {len(faces)}.")
    return notes


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
