"""Rerun some faces of a finished run, from weights to metric, and compare the values."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from affectbench.adapters import ModelRequest, parse_model
from affectbench.datasets import load_dataset
from affectbench.datasets.manifest import make_manifest
from affectbench.datasets.pairs import FacePairs
from affectbench.errors import (
    AffectBenchError,
    InputError,
    UnknownNameError,
    WeightsError,
    listed,
)
from affectbench.faces.regions import CROP_VERSION
from affectbench.judges import judge_spec
from affectbench.metrics import metric_plugin
from affectbench.metrics.distances import unpack
from affectbench.metrics.selection import missing
from affectbench.records import Record
from affectbench.run.folder import RunFolder
from affectbench.run.plan import Cell, RunRequest, make_plan
from affectbench.run.session import run_comparison
from affectbench.types import Columns, JudgeSpec, TestProtocol

ROUNDED = 50.0
"""No face may differ by more than this many tolerances of its metric, and most must be within one;
on the machine that made the values they are equal bit for bit.

An output value halfway between two 8-bit levels may be rounded up on one kind of processor and down
on another, and a judge that is nearly certain can be sensitive to a single pixel's level: ecm of a
face changes by up to 0.002, of 32 faces by up to 0.0001 (Intel, AMD).
"""

VECTOR_TOLERANCE = 1e-3
"""The tolerance for features of set metrics: the norm of a difference over that of the vector."""

_ANCHORS = ("reference", "bicubic")  # the other anchors are chosen from the whole set


def run_again(
    settings: Mapping[str, Any],
    records: Sequence[Record],
    read: Callable[[Record], Columns],
    data_root: Path,
    *,
    weights: Path | None,
    faces: int,
    metrics: Sequence[str] | None = None,
    seed: int,
) -> list[str]:
    """Rerun seeded batches of at least `faces` faces, and return a message per difference.

    `read` returns the per-image values of a record. The messages also report a data set missing
    from `data_root`, a checkpoint missing from `weights`, a model or metric without its weights
    or package, and a judge that affectbench no longer has.
    """
    dataset = str(records[0].dataset["name"])
    wanted = _wanted(dataset, settings["metrics"], metrics)
    folder = data_root / dataset
    if not folder.is_dir():
        return [f"{dataset}: {folder} is not there, nothing was run again"]
    try:
        size, made = records[0].protocol, records[0].provenance
        protocol = TestProtocol(size["scale"], size["hr_size"], size["kernel"])
        batch_size, arguments = int(made["batch_size"]), settings["arguments"]
        number = int(records[0].dataset["revision"], 16)
    except (KeyError, ValueError) as error:
        return [f"{dataset}: its records do not say how they were made ({error})"]
    opened = load_dataset(dataset, folder)
    if make_manifest(FacePairs(opened, protocol)).revision != records[0].dataset["revision"]:
        return [f"{dataset}: the faces in {folder} are not those of the leaderboard"]
    rng = np.random.default_rng([seed, number])
    judges, gone = _judges(settings["judges"])
    left = [name for name in wanted if judges or not metric_plugin(name).spec.per_judge]
    lacking = {name: why for name in left if (why := missing(name) or _unfit(name, judges))}
    models = tuple(_relocated(argument, weights) for argument in arguments)
    absent = _absent(models, protocol.scale)
    request = RunRequest(
        models=tuple(model for model in models if model.label not in absent),
        datasets=((dataset, folder),),
        metrics=tuple(name for name in left if name not in lacking),
        judges=tuple(judge.name for judge in judges),
        convention=settings["convention"],
        crop=settings.get("crop", CROP_VERSION),
        protocol=protocol,
        anchors=_ANCHORS,
        versus=settings["versus"],
        ids=_whole_batches(opened.ids, batch_size, faces, rng),
        batch_size=batch_size,
        seed=settings["seed"],
    )
    problems = [f"{dataset}: {why}: its cells were not run again" for why in gone]
    problems += [f"{dataset}: {name} was not run again: {why}" for name, why in lacking.items()]
    problems += [f"{dataset}: {row} was not run again: {why}" for row, why in absent.items()]
    if not request.metrics or not request.models:
        return problems
    with tempfile.TemporaryDirectory(prefix="affectbench-") as temporary:
        others = [record for record in records if record.row not in absent]
        return problems + list(_differences(request, others, read, Path(temporary)))


def _absent(models: Sequence[ModelRequest], scale: int) -> dict[str, str]:
    """Return why a model cannot be built here, such as weights that were not fetched, by label."""
    found = {}
    for model in models:
        try:
            model.describe(scale)
        except WeightsError as error:
            found[model.label] = str(error)
    return found


def _judges(names: Sequence[str]) -> tuple[list[JudgeSpec], list[str]]:
    """Return the judges of a board that are available, and a message for each of the others."""
    specs, gone = [], []
    for name in names:
        try:
            specs.append(judge_spec(name))
        except UnknownNameError as error:
            gone.append(str(error))
    return specs, gone


def _unfit(metric: str, judges: Sequence[JudgeSpec]) -> str:
    """Return why no judge is suitable for a metric that needs one; empty if one is."""
    plugin = metric_plugin(metric)
    if not plugin.spec.per_judge:
        return ""
    reasons = [plugin.unfit(judge) for judge in judges]
    return "" if "" in reasons else ", ".join(reasons)


def _wanted(board: str, measured: Sequence[str], named: Sequence[str] | None) -> Sequence[str]:
    if named is None:
        return measured
    unknown = [name for name in named if name not in measured]
    if unknown:
        raise InputError(
            f"{board}: the board has no {listed(unknown)}; it has {', '.join(measured)}"
        )
    return named


def _whole_batches(
    ids: Sequence[str], size: int, faces: int, rng: np.random.Generator
) -> tuple[str, ...]:
    """Return random batches of the run, complete and in order, with at least `faces` faces.

    Batches are complete because the last bits of a network's output can depend on the rest of the
    batch. A batch that is large enough on its own is preferred.
    """
    shuffled = rng.permutation(-(-len(ids) // size))
    numbers = sorted(shuffled, key=lambda n: len(ids[n * size :][:size]) < faces)
    chosen: list[int] = []
    while len(chosen) < len(numbers) and sum(len(ids[n * size :][:size]) for n in chosen) < faces:
        chosen.append(int(numbers[len(chosen)]))
    return tuple(i for n in sorted(chosen) for i in ids[n * size :][:size])


def _differences(
    request: RunRequest,
    records: Sequence[Record],
    read: Callable[[Record], Columns],
    out: Path,
) -> Iterator[str]:
    outcome = run_comparison(request, out)
    for failed in outcome.failed:
        yield f"{failed.dataset['name']}: {failed.row} fails: {failed.error}"
    published = {
        _key((r.role, r.row), r.metric["identity"]): r for r in records if r.status == "ok"
    }
    folder = RunFolder(out)
    made = {model.label for model in request.models}
    for row in dict.fromkeys(r.row for r in records if r.role == "model" and r.row not in made):
        yield f"{request.datasets[0][0]}: {row} was not run again: run.json has no argument of it"
    for cell in make_plan(request, lambda _text: None)[0].cells:
        record = published.get(_key(cell.row.key, cell.measure.identity))
        where = f"{request.datasets[0][0]}: {cell.row.label}, {cell.measure.slug}"
        if record is None:
            yield f"{where}: the leaderboard has no such cell"
        elif record.model["revision"] != cell.row.spec.revision:
            yield f"{where}: the model is another revision than on the leaderboard"
        elif (sealed := folder.record(cell)) is None or sealed.status == "failed":
            if cell.row.role == "anchor":  # models that failed are named above
                yield f"{where}: has no values: {sealed.error if sealed else 'it was not run'}"
        else:
            yield from _unlike(where, cell, read(record), folder.columns(cell))


def _unlike(where: str, cell: Cell, old: Columns, new: Columns) -> Iterator[str]:
    name = cell.measure.metric
    if cell.measure.plugin.spec.kind == "set":
        same = _same_vectors(old, new)
    else:
        known = dict(zip(old["id"], old[name], strict=True))
        values = np.array([known.get(i, np.nan) for i in new["id"]])
        limit = cell.measure.plugin.spec.tolerance
        same = _within(values, new[name], limit)
        if same.mean() > 0.5:
            same = _within(values, new[name], ROUNDED * limit)
        same &= np.isin(new["id"], old["id"])
    if not same.all():
        worst = str(new["id"][np.argmin(same)])
        yield f"{where}: {int((~same).sum())} of {len(same)} faces differ, {worst} among them"


def _within(old: NDArray[Any], new: NDArray[Any], limit: float) -> NDArray[np.bool_]:
    """Return which values differ by at most `limit`; NaN matches only NaN."""
    return cast(NDArray[np.bool_], np.isclose(new, old, rtol=0.0, atol=limit, equal_nan=True))


def _same_vectors(old: Columns, new: Columns) -> NDArray[np.bool_]:
    """Return which faces have equal feature vectors, up to a fraction of their norm."""
    place = {i: row for row, i in enumerate(old["id"])}
    same = np.array([i in place for i in new["id"]])
    for name in new.keys() - {"id"}:
        found = unpack(new[name][same])
        stored = unpack(old[name][[place[i] for i in new["id"][same]]])
        far = np.linalg.norm(found - stored, axis=1)
        same[same] = far <= VECTOR_TOLERANCE * np.linalg.norm(stored, axis=1)
    return same


def _key(row: tuple[str, str], identity: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
    return row, json.dumps(identity, sort_keys=True)


def _relocated(argument: str, weights: Path | None) -> ModelRequest:
    """Return the model of an argument, with its checkpoint found by file name in `weights`."""
    if weights is not None:
        argument = re.sub(
            r"(checkpoint:|@weights=)([^@]+)",
            lambda m: m[1] + str(weights / Path(m[2]).name),
            argument,
        )
    try:
        return parse_model(argument)
    except AffectBenchError as error:
        raise type(error)(f"{error} (--weights DIR names the folder of checkpoints)") from error
