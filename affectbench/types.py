"""Shared types of affectbench: frozen specs and structural protocols.

Nothing here imports torch, so that specs can be listed, compared and stored without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Direction = Literal["higher", "lower"]
MetricKind = Literal["image", "set", "cost"]
Extra = Literal["distribution", "metrics"]
MOST_DIGITS = 17
Colour = Literal["rgb", "grey"]
Role = Literal["model", "anchor", "published"]
Box = tuple[float, float, float, float]
"""Relative region (left, top, right, bottom) of an image, each in [0, 1]."""

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""The seven expression classes of the bundled judges, in the order all of them use."""


def content_id(content: Mapping[str, Any]) -> str:
    """Return an id derived from content alone: 16 hex digits of the SHA-256 of its JSON form."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class JudgeSpec:
    """A facial-expression classifier: its inputs, its outputs, and where it comes from.

    `input_size` is the side in pixels of the square network input; `temperature` divides the
    logits before the softmax and is part of the judge's revision. `features` is the length D of
    its feature vectors, 0 for a judge without any (see `FeatureJudge`); `affect` is whether it
    predicts valence and arousal (see `AffectiveJudge`).
    """

    name: str
    title: str
    input_size: int
    colour: Colour
    classes: tuple[str, ...]
    temperature: float
    differentiable: bool
    licence: str
    training_data: str
    origin: str
    sha256: str
    features: int = 0
    affect: bool = False

    @property
    def revision(self) -> str:
        """An id that changes whenever the judge's outputs can change."""
        return content_id(
            {
                "sha256": self.sha256,
                "temperature": self.temperature,
                "input_size": self.input_size,
                "colour": self.colour,
                "classes": self.classes,
            }
        )


@dataclass(frozen=True)
class ModelSpec:
    """What a super-resolution model needs and what it was trained with.

    `scale` is the network's own; None for a model that supports any scale, or if it is unknown.
    LR height and width must be multiples of `size_multiple`, and `value_range` is the range of the
    network's own input and output tensors; the adapter pads and converts, so the runner only sees
    faces of any size in [0, 1].
    `trained_on` lists data sets (`celeba`), or id lists as `celeba:PATH_OR_RANGE`;
    `trained_against` lists every learned scorer (judge, identity, landmark or perceptual network)
    that a training loss used. `revision` changes whenever the outputs can change; `revision_from`
    says what it was derived from, and `revision_lacks` what affects outputs but could not be
    covered: results of a model that lacks anything are never reused.
    """

    name: str
    scale: int | None
    revision: str
    licence: str = "unknown"
    parameters: int | None = None
    colour: Colour = "rgb"
    value_range: tuple[float, float] = (0.0, 1.0)
    size_multiple: int = 1
    weights_sha256: str | None = None
    trained_on: tuple[str, ...] = ()
    trained_against: tuple[str, ...] = ()
    note: str = ""
    revision_from: str = ""
    revision_lacks: str = ""


@dataclass(frozen=True)
class DatasetSpec:
    """A published set of aligned face images.

    `framing` names the relative face region of `affectbench.faces.regions` that all of its HR
    images share.
    """

    name: str
    title: str
    framing: str
    licence: str
    layout: str
    source: str


Kernel = Literal["pil-bicubic", "matlab-bicubic", "opencv-area", "given"]


@dataclass(frozen=True)
class TestProtocol:
    """How HR and LR faces are made: HR is resized to `hr_size`, LR is HR reduced by `scale`.

    Both are uint8. A model sees only the LR face. The kernel `given` means that both exist already:
    nothing is resized. `hr_size` None keeps images at their own size,
    square or not, for scoring existing results.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    scale: int = 8
    hr_size: int | None = 128
    kernel: Kernel = "pil-bicubic"

    @property
    def name(self) -> str:
        """For example `x8-128-pil-bicubic`; `x8-any-pil-bicubic` if images keep their size."""
        return f"x{self.scale}-{self.hr_size or 'any'}-{self.kernel}"


@dataclass(frozen=True)
class MetricSpec:
    """What a metric measures: identity (`name`, `version`), unit, range, direction and source.

    `aggregate` is how per-image values become the set's value: `mean`, or `macro` (the mean of
    class means over the reference's expression classes). `per_judge` metrics are computed once
    for each judge of a run. `min_size` is the least length in pixels of an image's shorter side;
    `by_convention` is what the run's convention adds to it: its border on both sides (`border`),
    or the border and the SSIM window instead of `min_size` (`window`).
    A value over fewer than `few_faces` faces is shown with a warning, and the metrics in `beside`
    are computed along with it.

    The other fields control presentation and checks. `label` is the display name (empty: `name`),
    `digits` the number of decimals shown, `summaries` the values of `MetricPlugin.summarise` that
    tables show next to the metric. `tolerance` is how far a face's value may deviate when it is
    recomputed on another machine. `network` names the network that the metric is based on: a model
    trained against it, or against another metric of that network, is not ranked. Figures use the
    metric of a run with the highest `quality_axis` as the measure of image quality (0: never), and
    plot the columns in `regions`, the metric for each region of the face. A metric that `leads`
    comes first in its group. `table.csv` has the metrics with a `front` above 0 first, in that
    order. `extras` are the extras of affectbench that computing it needs.
    """

    name: str
    version: str
    title: str
    group: str
    direction: Direction
    range: tuple[float, float]
    source: str
    kind: MetricKind = "image"
    unit: str = ""
    aggregate: Literal["mean", "macro"] = "mean"
    per_judge: bool = False
    min_size: int = 1
    few_faces: int = 0
    beside: tuple[str, ...] = ()
    by_convention: Literal["nothing", "border", "window"] = "nothing"
    label: str = ""
    digits: int = 4
    summaries: tuple[str, ...] = ()
    tolerance: float = 1e-4
    network: str = ""
    quality_axis: int = 0
    regions: tuple[str, ...] = ()
    leads: bool = False
    front: int = field(default=0, metadata={"recorded": False})
    extras: tuple[Extra, ...] = field(default=(), metadata={"recorded": False})

    def __post_init__(self) -> None:
        """Raise ValueError for facts that no record could keep."""
        for name, known in (("direction", Direction), ("kind", MetricKind)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is none of {', '.join(get_args(known))}"
                )
        if type(self.digits) is not int or not 0 <= self.digits <= MOST_DIGITS:
            raise ValueError(f"digits {self.digits!r} is no number from 0 to {MOST_DIGITS}")
        unknown = [extra for extra in self.extras if extra not in get_args(Extra)]
        if unknown:
            raise ValueError(f"extra {unknown[0]!r} is none of {', '.join(get_args(Extra))}")

    @property
    def display(self) -> str:
        """The name as people write it: `PSNR`."""
        return self.label or self.name


class Judge(Protocol):
    """A loaded facial-expression classifier."""

    @property
    def spec(self) -> JudgeSpec:
        """What it says about itself."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes."""
        ...

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class logits (N, K), temperature applied, of crops (N, 3, H, W) in [0, 1]."""
        ...


@runtime_checkable
class FeatureJudge(Protocol):
    """A judge that also returns the features that its classification layer uses."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features (N, D) of face crops (N, 3, H, W) in [0, 1]."""
        ...


@runtime_checkable
class AffectiveJudge(Protocol):
    """A judge that also predicts valence and arousal, on AffectNet's scale of -1 to 1."""

    def logits_and_affect(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits (N, K), and valence and arousal (N, 2), of face crops in one pass."""
        ...


class Model(Protocol):
    """A loaded super-resolution model: LR (N, 3, h, w) in [0, 1] to SR (N, 3, s*h, s*w)."""

    @property
    def spec(self) -> ModelSpec:
        """What it says about itself."""
        ...

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR for LR."""
        ...


@runtime_checkable
class StoredResults(Protocol):
    """Existing super-resolved faces, looked up by the id of their reference."""

    @property
    def spec(self) -> ModelSpec:
        """What it says about itself."""
        ...

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """Read the SR image (H, W, 3); raise InputError if there is none or it cannot be read."""
        ...


@runtime_checkable
class ResultsOfSets(Protocol):
    """Stored results of several data sets, each with its own files."""

    def of(self, dataset: str, ids: Collection[str]) -> StoredResults:
        """Return the results of one data set's faces."""
        ...


class Dataset(Protocol):
    """An opened set of face images. `read` is safe to call concurrently."""

    @property
    def spec(self) -> DatasetSpec:
        """What it says about itself."""
        ...

    @property
    def ids(self) -> tuple[str, ...]:
        """The image ids, sorted: the file names without suffix."""
        ...

    def read(self, image_id: str) -> NDArray[np.uint8]:
        """Read the square face image (H, W, 3) from which the protocol makes HR."""
        ...


@dataclass(frozen=True)
class DatasetPlugin:
    """What an `affectbench.datasets` entry point names.

    `open(folder)` detects the layout and the ids of a set without reading pixels; the folder is
    None for sets that include their faces. It raises InputError, naming the supported layouts.
    """

    spec: DatasetSpec
    open: Callable[[Path | None], Dataset]


@dataclass(frozen=True)
class JudgePlugin:
    """What an `affectbench.judges` entry point names: a spec, and how to load it on a device.

    Weights that do not ship with the library have no SHA-256 until their file is found: their
    `spec.sha256` is empty, and `found()` finds or downloads the file and returns the full spec.
    """

    spec: JudgeSpec
    load: Callable[[torch.device], Judge]
    found: Callable[[], JudgeSpec] | None = None


@dataclass(frozen=True)
class ModelPlugin:
    """What an `affectbench.models` entry point names.

    `describe(scale, options)` returns the spec without heavy work; `load(scale, options, device)`
    returns the model. `options` come from the command line (`name@key=value@key=value`).
    """

    name: str
    title: str
    describe: Callable[[int, Mapping[str, str]], ModelSpec]
    load: Callable[[int, Mapping[str, str], torch.device], Model | StoredResults]


@dataclass(frozen=True)
class MetricSettings:
    """The options of a run that can change a metric's numbers.

    `crop` is the version of the face region used for ECM (`faces.regions.CROPS`).
    """

    convention: str
    scale: int
    framing: str
    judge: JudgeSpec | None = None
    crop: str = "crop/1"


Columns = Mapping[str, "np.ndarray"]
"""Per-image values: each column an array of shape (N,)."""


class ImageMetric(Protocol):
    """A metric ready to run on batches of uint8 images (N, 3, H, W)."""

    def reference(self, hr: torch.Tensor) -> Any:
        """Return small results of the HR images alone, computed once for all models."""
        ...

    def score(self, sr: torch.Tensor, hr: torch.Tensor, reference: Any) -> Columns:
        """Return the per-image columns; the one named like the metric is its value."""
        ...


def _nothing(_columns: Columns) -> Mapping[str, float]:
    return {}


def _nothing_needed() -> None:
    return


def _everything(columns: Columns) -> Columns:
    return columns


def _any_judge(_judge: JudgeSpec) -> str:
    return ""


@dataclass(frozen=True)
class MetricPlugin:
    """What an `affectbench.metrics` entry point names.

    `identify(settings)` returns everything besides the images that determines the numbers: it
    becomes part of the cell's id and of its record. `build(settings, judge, device)` creates the
    metric. `summarise(columns)` adds set-level values that are not a mean of the metric itself,
    such as a count. A metric with `spec.aggregate == "macro"` returns a column `label_hr`, the
    reference's class.

    `derive(columns)` selects or computes a cell's columns from those of the built metric. Metrics
    with the same `build` and settings are computed once per batch of a run, and each derives its
    own columns from the result: a judge runs only once per face.

    `require()` raises AssetMissingError or MissingPackageError if the metric lacks anything besides
    the extras of its spec. It is cheap, and a run calls it before anything else. `unfit(judge)`
    returns why a judge cannot be used for the metric, or an empty string.

    A metric of kind `set` has no value per image. Its columns are the inputs of the set-level
    value, such as features, and `finish(columns)` computes it: a record's `value`, `low` and `high`
    (NaN where no interval is known), `n`, and anything else that the metric reports for the set.
    Its columns hold one entry per image as usual; a vector is an entry of bytes, little-endian
    float32 (`metrics.distances`). `difference(a, b, rng)` compares two models' columns of the same
    faces in the same order: `diff` (a minus b), `diff_low`, `diff_high` and two-sided `p`, NaN
    where unknown. Both are None for all other kinds.

    A metric of kind `cost` is measured for each model in every run: see `metrics.cost`.
    """

    spec: MetricSpec
    identify: Callable[[MetricSettings], Mapping[str, Any]]
    build: Callable[[MetricSettings, Judge | None, torch.device], ImageMetric]
    summarise: Callable[[Columns], Mapping[str, float]] = _nothing
    require: Callable[[], object] = _nothing_needed
    finish: Callable[[Columns], Mapping[str, float]] | None = None
    difference: Callable[[Columns, Columns, np.random.Generator], Mapping[str, float]] | None = None
    derive: Callable[[Columns], Columns] = _everything
    unfit: Callable[[JudgeSpec], str] = _any_judge


def as_json(spec: Any) -> dict[str, Any]:
    """Convert a frozen dataclass to plain JSON data (tuples become lists).

    Fields that no record keeps are left out.
    """
    kept = {f.name for f in fields(spec) if f.metadata.get("recorded", True)}
    return {k: v for k, v in json.loads(json.dumps(asdict(spec))).items() if k in kept}
