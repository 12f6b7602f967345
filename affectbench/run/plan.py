"""From a user's request to cells: the grid of rows, data sets, metrics and judges.

A cell's id is a hash of everything that determines its numbers: the revisions of model, data set,
metric and judge, and the protocol. Planning reads faces (for the data set's revision) and hashes
weights. It imports no torch and runs no model, except models whose spec is only known once they are
built. Plans can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from affectbench.adapters import ModelRequest
from affectbench.adapters.opened import open_model
from affectbench.adapters.prefix import LR_SIZE
from affectbench.arguments import DEFAULT_METRICS
from affectbench.callbacks import Note
from affectbench.datasets import RemarkableDataset, load_dataset
from affectbench.datasets.folder import open_folder
from affectbench.datasets.manifest import make_manifest
from affectbench.datasets.pairs import FacePairs
from affectbench.datasets.protocol import validate
from affectbench.datasets.remembered import FaceMemory
from affectbench.devices import usable_device
from affectbench.errors import InputError, UnknownNameError, listed
from affectbench.faces.regions import CROP_VERSION, face_box
from affectbench.images.results import pair
from affectbench.judges import judge_spec
from affectbench.records import distinct_slugs
from affectbench.run.anchors import ANCHORS, anchor_rows
from affectbench.run.measures import Measure, Selection, SmallestImage, select
from affectbench.run.rows import Row
from affectbench.types import (
    Dataset,
    DatasetSpec,
    MetricSettings,
    TestProtocol,
    as_json,
    content_id,
)


@dataclass(frozen=True)
class RunRequest:
    """A request to compare models.

    `datasets` pairs names with folders (None: built in); `framing` overrides the data set's.
    `metrics` holds names of metrics and groups. `limit` takes the first faces of each set, `ids`
    exactly these. With `plain_folders` the name of a data set is only a label, and every image of
    its folder is used. `smallest` describes the HR images if the protocol leaves their size open.
    `crop` is the version of the face region for ECM. `lr` is where LR
    faces are that exist already (see `images.results`). With `keep_rows` the rows of the folder's
    earlier runs stay in its table; `earlier` names them, since `versus` may be one of them.
    """

    models: tuple[ModelRequest, ...]
    datasets: tuple[tuple[str, Path | None], ...] = (("demo", None),)
    metrics: tuple[str, ...] = DEFAULT_METRICS
    judges: tuple[str, ...] = ()
    convention: str = "rgb"
    crop: str = CROP_VERSION
    protocol: TestProtocol = field(default_factory=TestProtocol)
    framing: str | None = None
    anchors: tuple[str, ...] = ANCHORS
    versus: str = "bicubic"
    limit: int | None = None
    ids: tuple[str, ...] | None = None
    plain_folders: bool = False
    batch_size: int = 32
    device: str = "auto"
    seed: int = 0
    save_images: bool = False
    smallest: SmallestImage | None = None
    lr: str = ""
    keep_rows: bool = False
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One (row, data set, protocol, metric): `id` is a content hash, `relative` a readable path."""

    row: Row
    dataset: str
    measure: Measure
    content: Mapping[str, Any]
    folder: PurePosixPath

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits of the hash of `content`."""
        return content_id(self.content)

    @property
    def relative(self) -> Path:
        """Path below `records/` and `images/`; the caller sets the suffix."""
        return Path(self.folder / f"{self.measure.slug}-{self.id}.x")


@dataclass(frozen=True)
class DatasetPlan:
    """All cells of one data set: the input of an executor.

    `metrics` are those of the cells, `gaps` lists the metrics that were left out and why: both are
    the same for all data sets of a run. `remarks` lists oddities of the set's files or of stored
    results for it.
    """

    name: str
    title: str
    framing: str
    ids: tuple[str, ...]
    revision: str
    protocol: TestProtocol
    cells: tuple[Cell, ...]
    batch_size: int
    device: str
    seed: int
    save_images: bool
    metrics: tuple[str, ...]
    gaps: tuple[str, ...]
    remarks: tuple[str, ...]
    pairs: FacePairs = field(compare=False, repr=False)

    def batches(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield batch numbers with their ids; boundaries depend on ids and batch size only."""
        for number, start in enumerate(range(0, len(self.ids), self.batch_size)):
            yield number, self.ids[start : start + self.batch_size]

    def record_data(self) -> dict[str, Any]:
        """Return the data set's part of a record."""
        return {
            "name": self.name,
            "title": self.title,
            "framing": self.framing,
            "revision": self.revision,
            "n": len(self.ids),
        }


def make_plan(
    request: RunRequest, note: Note, memory: FaceMemory | None = None
) -> list[DatasetPlan]:
    """Return the plan of a comparison, one entry per data set.

    Raises InputError or UnknownNameError for anything that cannot be run as requested; `note` is
    called with progress messages. Faces that `memory` knows are not read.
    """
    validate(request.protocol)
    _require_sane(request)
    judges = [judge_spec(name) for name in request.judges]
    side = request.protocol.hr_size
    smallest = SmallestImage(side) if side else request.smallest
    settings = _settings(request, request.framing or "")
    selection = select(request.metrics, judges, settings, smallest)
    opened = [
        (name, _open(name, folder, request.plain_folders)) for name, folder in request.datasets
    ]
    models = _model_rows(request, note)
    plans = []
    for name, dataset in opened:
        note(f"{name}: reading {len(_ids(request, dataset))} faces")
        plans.append(_plan_dataset(request, name, dataset, selection, models, memory=memory))
    return plans


def _ids(request: RunRequest, dataset: Dataset) -> tuple[str, ...]:
    return request.ids or tuple(dataset.ids[: request.limit])


def _model_rows(request: RunRequest, note: Note) -> list[Row]:
    """Return the models' rows; builds those whose spec is only known once they are built."""
    protocol, device = request.protocol, "cpu"
    if any(model.known_when_built for model in request.models):
        device = str(usable_device(request.device))
    lr_size = (protocol.hr_size or LR_SIZE * protocol.scale) // protocol.scale
    rows = []
    for asked in request.models:
        model = open_model(asked, protocol.scale, lr_size, device)
        rows.append(Row(asked.label, "model", model.spec, model))
        if model.spec.revision_lacks:
            note(f"{asked.label}: is computed again, {model.spec.revision_lacks}")
    return rows


def _require_sane(request: RunRequest) -> None:
    if not request.models:
        raise InputError("no models: name at least one, such as --models bicubic")
    if not request.datasets:
        raise InputError("no data sets: name at least one, such as --datasets demo")
    if request.batch_size < 1 or (request.limit is not None and request.limit < 1):
        raise InputError("--batch-size and --limit must be at least 1")
    sets = tuple(name for name, _ in request.datasets)
    for what, given in (("judge", request.judges), ("data set", sets)):
        if len(set(given)) != len(given):
            raise InputError(f"a {what} is named twice: {', '.join(given)}")
    labels = [*(model.label for model in request.models), *request.earlier]
    if request.versus not in {*labels, "bicubic"}:
        raise UnknownNameError(
            f"--versus {request.versus}: is none of the models ({', '.join(labels)}) "
            "and not bicubic"
        )


def _plan_dataset(
    request: RunRequest,
    name: str,
    dataset: Dataset,
    selection: Selection,
    models: Sequence[Row],
    *,
    memory: FaceMemory | None,
) -> DatasetPlan:
    ids = _ids(request, dataset)
    pairs = FacePairs(dataset, request.protocol, _given_lr(request, name, ids))
    # What is remembered of a face covers HR, from which LR follows.
    remembered = memory.of(dataset, request.protocol) if memory and not request.lr else None
    plan = DatasetPlan(
        name=name,
        title=_title(dataset.spec, request.framing),
        framing=_framing(request, dataset.spec),
        ids=ids,
        revision=make_manifest(pairs, ids, remembered).revision,
        protocol=request.protocol,
        cells=(),
        batch_size=request.batch_size,
        device=request.device,
        seed=request.seed,
        save_images=request.save_images,
        metrics=selection.metrics,
        gaps=selection.gaps,
        remarks=_remarks(request, name, dataset),
        pairs=pairs,
    )
    measures = _measures(request, plan.framing, selection)
    anchors = anchor_rows(models, measures, request.seed, len(ids))
    grid = [(row, measures) for row in models]
    grid += [(row, measured) for row, measured in anchors if row.label in request.anchors]
    root = distinct_slugs(("dataset", other) for other, _ in request.datasets)["dataset", name]
    places = distinct_slugs(row.key for row, _ in grid)
    cells = [
        _cell(plan, row, measure, PurePosixPath(root, places[row.key]))
        for row, measured in grid
        for measure in measured
    ]
    return replace(plan, cells=tuple(cells))


def _given_lr(request: RunRequest, name: str, ids: Sequence[str]) -> Mapping[str, Path] | None:
    """Return the files of LR faces that exist already; None where LR is made from HR."""
    if not request.lr:
        return None
    paired = pair(request.lr, name, ids)
    if missing := [image_id for image_id in ids if image_id not in paired.paths]:
        rule = f"; {paired.rule}" if paired.rule else ""
        raise InputError(
            f"--lr {request.lr}: {len(missing)} of {len(ids)} faces of {name} have no LR face: "
            f"{listed(missing)}{rule}"
        )
    return paired.paths


def _remarks(request: RunRequest, name: str, dataset: Dataset) -> tuple[str, ...]:
    own = dataset.remarks() if isinstance(dataset, RemarkableDataset) else ()
    ids = dataset.ids
    models = [f"{m.label}: {remark}" for m in request.models for remark in m.remarks(name, ids)]
    return tuple(f"{name}: {remark}" for remark in (*own, *models))


def _framing(request: RunRequest, spec: DatasetSpec) -> str:
    if request.framing is None:
        return spec.framing
    face_box(request.framing)  # fail now for an unknown framing, even if no metric uses it
    if not request.plain_folders and spec.framing not in ("centre", request.framing):
        raise InputError(
            f"--framing {request.framing}: data set '{spec.name}' has its own, {spec.framing}; "
            "leave the option out, or take the folder under a name of your own"
        )
    return request.framing


def _title(spec: DatasetSpec, framing: str | None) -> str:
    """Return the set's title, with the framing if the user gave one or if it is unknown."""
    if framing:
        return f"{spec.title}, framing {framing}"
    return f"{spec.title}, framing unknown" if spec.framing == "centre" else spec.title


def _open(name: str, folder: Path | None, plain: bool) -> Dataset:
    return open_folder(name, folder) if plain and folder else load_dataset(name, folder)


def _measures(request: RunRequest, framing: str, selection: Selection) -> list[Measure]:
    base = _settings(request, framing)
    measures = [Measure(name, replace(base, judge=judge)) for name, judge in selection.measures]
    for measure in measures:
        _ = measure.identity  # fail now for an unknown convention, not after the first model
    return measures


def _settings(request: RunRequest, framing: str) -> MetricSettings:
    return MetricSettings(
        convention=request.convention,
        scale=request.protocol.scale,
        framing=framing,
        crop=request.crop,
    )


def _cell(plan: DatasetPlan, row: Row, measure: Measure, folder: PurePosixPath) -> Cell:
    content = {
        "model": row.spec.revision,
        "dataset": plan.revision,
        "protocol": as_json(plan.protocol),
        "metric": measure.identity,
    }
    return Cell(row, plan.name, measure, content, folder)
