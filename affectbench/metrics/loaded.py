"""Every metric of the library as an object: `load_metric`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from affectbench.aggregate import macro_classes
from affectbench.arguments import one_of, whole
from affectbench.errors import InputError
from affectbench.faces.regions import CROP_VERSION, CROPS, face_box
from affectbench.images.tensors import ImageLike, as_pair
from affectbench.judges import DEFAULT_JUDGE, JudgeLike, judge_spec, load_judge
from affectbench.metrics import metric_plugin, registered
from affectbench.metrics.accumulating import IS_TORCHMETRICS, Metric, is_distributed
from affectbench.metrics.distances import pack, unpack
from affectbench.stats import set_mean
from affectbench.types import (
    Columns,
    ImageMetric,
    Judge,
    JudgeSpec,
    MetricPlugin,
    MetricSettings,
    MetricSpec,
    content_id,
)

_CPU = torch.device("cpu")


class FaceMetric(Metric):
    """A metric of super-resolved faces: `metric(sr, hr)`, `update`, `compute`, `reset`, `to`.

    `metric(sr, hr)` adds a batch and returns its value; `compute` returns the value of all faces so
    far, as a table of `compare` shows it: the mean over the faces that have one, for `ecm` the
    macro mean, for a metric of sets (`fid`) that of the set. `per_image` returns a value for each
    image and adds nothing. Values are float64; without any face it is NaN.

    If torchmetrics is installed this is a `torchmetrics.Metric`, for a `MetricCollection` or a
    Lightning log; otherwise a plain class that does the same. With several processes of
    `torch.distributed` every one must call `compute`, which gathers the faces of all. Images that
    are on an accelerator are measured there, all others on the metric's own device (`to`).

    >>> faces = torch.rand(2, 3, 64, 64)
    >>> metric = load_metric("ssim")
    >>> metric.update(faces, faces)
    >>> float(metric.compute()), float(metric(faces, 1 - faces)) < 0.5
    (1.0, True)
    """

    is_differentiable = False
    full_state_update = False

    def __init__(
        self, plugin: MetricPlugin, settings: MetricSettings, judge: JudgeLike | None, **more: Any
    ) -> None:
        super().__init__(**({"sync_on_compute": False, **more} if IS_TORCHMETRICS else more))
        self._plugin, self._name, self._settings = plugin, plugin.spec.name, settings
        # In tuples and dicts: a submodule would follow .train() and .half(), and change numbers.
        self._judge = (judge,)
        self._built: dict[torch.device, ImageMetric] = {}
        self._widths: dict[str, int] = {}
        identity = {"name": plugin.spec.name, **plugin.identify(settings)}
        # A MetricCollection merges metrics whose states have the same names and first values.
        own = content_id({"identity": identity, "version": plugin.spec.version})
        self._numbers, self._vectors = f"numbers_{own}", f"vectors_{own}"
        for name in (self._numbers, self._vectors):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__() if IS_TORCHMETRICS else self.__dict__
        kept = {key: value for key, value in state.items() if key != "_plugin"}
        return {**kept, "_built": {}}  # networks are loaded again

    def __setstate__(self, state: dict[str, Any]) -> None:
        more = {"_plugin": metric_plugin(state["_name"])}
        if IS_TORCHMETRICS:
            super().__setstate__({**state, **more})  # type: ignore[misc]
        else:
            self.__dict__.update(state, **more)

    @property
    def spec(self) -> MetricSpec:
        """What the metric says of itself: direction, range, unit, source."""
        return self._plugin.spec

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value is better."""
        return self.spec.direction == "higher"

    def __repr__(self) -> str:
        judge = self._settings.judge
        return f"FaceMetric({self.spec.name}{f', {judge.name}' if judge else ''})"

    def per_image(self, sr: ImageLike, hr: ImageLike) -> torch.Tensor:
        """Return the value of each image: float64 (N,), NaN where there is none; nothing is added.

        Images and errors are as in `emotion_consistency`. Raises InputError for a metric of sets.
        """
        if self.spec.kind == "set":
            raise InputError(f"{self.spec.name} has a value for a set of faces: update, compute")
        values = np.asarray(self._columns(sr, hr)[self.spec.name], np.float64)
        return torch.from_numpy(values)

    def update(self, sr: ImageLike, hr: ImageLike) -> None:
        """Add a batch of pairs; images and errors are as in `emotion_consistency`."""
        columns = self._columns(sr, hr)
        kept = {n: np.asarray(columns[n]) for n in self._kept(columns)}
        numbers = [_number(c, self._classes) for c in kept.values() if c.dtype.kind != "O"]
        vectors = {name: unpack(c) for name, c in kept.items() if c.dtype.kind == "O"}
        self._widths = {name: vector.shape[1] for name, vector in vectors.items()}
        count = len(next(iter(kept.values())))
        rows = np.stack(numbers, 1) if numbers else np.empty((count, 0))
        wide = np.concatenate([*vectors.values()], 1) if vectors else np.empty((count, 0))
        getattr(self, self._numbers).append(torch.from_numpy(rows))
        getattr(self, self._vectors).append(torch.from_numpy(wide.astype(np.float32)))

    def forward(self, sr: ImageLike, hr: ImageLike) -> torch.Tensor:
        """Add a batch, and return the value of this batch alone."""
        self.update(sr, hr)
        last = [getattr(self, name)[-1].cpu() for name in (self._numbers, self._vectors)]
        return self._value(last[0], last[1], self._widths)

    def compute(self) -> torch.Tensor:
        """Return the value of all faces so far, in all processes: a float64 scalar."""
        parts = [(getattr(self, self._numbers), getattr(self, self._vectors), self._widths)]
        if is_distributed():
            found: list[Any] = [None] * dist.get_world_size()
            own = [[x.cpu() for x in part] for part in parts[0][:2]]
            dist.all_gather_object(found, (*own, self._widths))
            parts = found
        numbers = [x.cpu() for part in parts for x in part[0]]
        if not numbers:
            return torch.tensor(torch.nan, dtype=torch.float64)
        vectors = [x.cpu() for part in parts for x in part[1]]
        widths = next((part[2] for part in parts if part[2]), {})
        return self._value(torch.cat(numbers), torch.cat(vectors), widths)

    def _value(
        self, numbers: torch.Tensor, vectors: torch.Tensor, widths: dict[str, int]
    ) -> torch.Tensor:
        """Return the value of faces from their rows in the two states."""
        if self._plugin.finish is not None:
            pieces = torch.split(vectors, list(widths.values()), 1)
            packed = {n: pack(p.numpy()) for n, p in zip(widths, pieces, strict=True)}
            value = float(self._plugin.finish(packed)["value"])
        else:
            rows = numbers.numpy()
            known = rows[~np.isnan(rows[:, 0])]
            classes = macro_classes(known[:, 1])[0] if known.shape[1] > 1 else None
            value = set_mean(known[:, 0], classes) if len(known) else float("nan")
        return torch.tensor(value, dtype=torch.float64)

    def _kept(self, columns: Columns) -> Sequence[str]:
        """Return the columns that the value of a set is made of."""
        if self.spec.kind == "set":
            return list(columns)
        macro = self.spec.aggregate == "macro"
        return [self.spec.name, *(["label_hr"] if macro else [])]

    def _columns(self, sr: ImageLike, hr: ImageLike) -> Columns:
        sr_faces, hr_faces = as_pair(sr, hr)
        device = sr_faces.device if sr_faces.device.type != "cpu" else torch.device(self.device)
        if device not in self._built:
            self._built[device] = self._plugin.build(self._settings, self._judge_on(device), device)
        metric = self._built[device]
        found = metric.score(sr_faces, hr_faces, metric.reference(hr_faces))
        return self._plugin.derive(found)

    def _judge_on(self, device: torch.device) -> Judge | None:
        (judge,) = self._judge
        return None if judge is None else load_judge(judge, device)

    @property
    def _classes(self) -> tuple[str, ...]:
        return self._settings.judge.classes if self._settings.judge else ()


def load_metric(
    name: str,
    *,
    judge: JudgeLike = DEFAULT_JUDGE,
    convention: str = "rgb",
    scale: int = 8,
    framing: str = "centre",
    crop: str = CROP_VERSION,
    **settings: Any,
) -> FaceMetric:
    """Return a metric of images by name: all of `list_metrics` but those of a model's cost.

    `name` may also be `python:FILE:NAME`, as for `compare`.

    `judge` matters to metrics of expression, `convention` and `scale` to PSNR and SSIM; `framing`
    says where the face is, as in `emotion_consistency`, and `crop` is the region for ECM.
    `settings` are torchmetrics' own arguments. Raises UnknownNameError, with a suggestion, for an
    unknown name, and AssetMissingError or MissingExtraError, with the command that helps, where
    weights or packages are missing.

    >>> black = torch.zeros(1, 3, 16, 16)
    >>> load_metric("psnr").per_image(black, black + 10 / 255).round(decimals=3)
    tensor([28.1310], dtype=torch.float64)
    """
    name = registered(name)
    plugin = metric_plugin(name)
    if plugin.spec.kind == "cost":
        raise InputError(f"{name} is measured of a model, in every run of compare, not of images")
    plugin.require()
    face_box(framing)
    given: JudgeLike | None = judge if plugin.spec.per_judge else None
    spec: JudgeSpec | None = None
    if given is not None:
        spec = judge_spec(given) if isinstance(given, str) else load_judge(given).spec
        if why := plugin.unfit(spec):
            raise InputError(f"metric '{name}': {why}; name another judge")
    used = MetricSettings(
        convention, whole("scale", scale), framing, spec, one_of("crop", crop, CROPS)
    )
    return FaceMetric(plugin, used, given, **settings)


def _number(column: np.ndarray[Any, Any], classes: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return a column as float64: labels become the numbers of their classes."""
    if column.dtype.kind == "U":
        return np.array([classes.index(str(label)) for label in column], np.float64)
    return column.astype(np.float64)
