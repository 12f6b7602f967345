"""Models of every kind behind one interface, from LR faces in [0, 1] to SR faces.

A model is written as the name of an installed plug-in (`bicubic`) or as `PREFIX:TARGET`
(`checkpoint:x4.pth`), with options `@key=value`. Nothing here imports torch before `load`.
"""

from __future__ import annotations

import threading
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from affectbench.adapters.checkpoint import CHECKPOINT
from affectbench.adapters.containment import contained
from affectbench.adapters.declared import require_sound
from affectbench.adapters.images import IMAGES
from affectbench.adapters.onnx import ONNX
from affectbench.adapters.prefix import LR_SIZE, Loading, require_file
from affectbench.adapters.python import PYTHON
from affectbench.adapters.syntax import (
    KERNELS,
    kernel_option,
    require_known,
    split_options,
    without_options,
)
from affectbench.adapters.torchscript import TORCHSCRIPT
from affectbench.arguments import is_file, is_folder, usable_path
from affectbench.devices import usable_device
from affectbench.errors import AffectBenchError, InputError, UnknownNameError, WeightsError, closest
from affectbench.registry import Late, Registry
from affectbench.texts import printable
from affectbench.types import Model, ModelPlugin, ModelSpec, StoredResults, content_id

if TYPE_CHECKING:
    import torch

PREFIXES = {a.prefix: a for a in (CHECKPOINT, ONNX, TORCHSCRIPT, PYTHON, IMAGES)}

OBJECT = "object"
"""The kind of a model that is a Python object: see `adapters.objects`."""

_load_held = Late("affectbench.adapters.held:load_held")
_load_isolated = Late("affectbench.adapters.isolation:load_isolated")

MODELS: Registry[ModelPlugin] = Registry("affectbench.models", "model", ModelPlugin)

BASELINES = ("affectsrnet", "fadn", "rrdbnet", "sadn", "wnet")
"""The plug-ins of the affectbench-baselines distribution."""


@dataclass(frozen=True)
class ModelRequest:
    """A requested model: small, picklable, and not loaded yet.

    `argument` is the text it was parsed from; `label` names its row. `kind` is a prefix, or
    empty for a plug-in. `isolate` loads and runs it in its own process, and so does `timeout`:
    the limit in seconds for loading it and for each batch. `held` is the model itself if it is an
    object of this process, which can neither be isolated nor pickled.
    """

    argument: str
    label: str
    kind: str
    target: str
    options: tuple[tuple[str, str], ...]
    isolate: bool = False
    timeout: float | None = None
    held: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.held is not None and (self.isolate or self.timeout is not None):
            raise InputError(
                f"{self.label}: is an object of this process, and --isolate and --timeout need a "
                "model that another process can load: write a factory, python:FILE:FACTORY"
            )
        if self.timeout is not None and not 0 < self.timeout < threading.TIMEOUT_MAX:
            raise InputError(f"a timeout of {self.timeout:g} s: must be a number above 0")

    @property
    def _runs_apart(self) -> bool:
        """Whether it runs in its own process; stored results and resampling never need one."""
        own = self.kind == "images" or (not self.kind and self.target in KERNELS)
        return not own and (self.isolate or self.timeout is not None)

    def describe(self, scale: int) -> ModelSpec:
        """Return the spec as far as it is known without loading the model or importing torch.

        The revision is final unless the model is `known_when_built`; scale, parameters and what the
        model itself declares are known after `load`. Raises an AffectBenchError if a file cannot
        be read or an option is unknown.
        """
        options = dict(self.options)
        if self.kind == OBJECT:
            made = content_id({"object": self.label})
            return ModelSpec(self.label, None, made, revision_lacks="it could not be built")
        with contained(self.argument):
            if self.kind:
                return PREFIXES[self.kind].describe(self.label, self.target, options)
            spec = MODELS.load(self.target).describe(scale, _without_name(options))
            return require_sound(spec, self.argument)

    @property
    def known_when_built(self) -> bool:
        """Whether the revision can be computed only from the built model."""
        vouched_for = "revision" in dict(self.options)
        return self.kind == OBJECT or (self.kind == "python" and not vouched_for)

    def load(
        self, scale: int, device: str | torch.device = "cpu", lr_size: int = LR_SIZE
    ) -> Model | StoredResults:
        """Load the model, ready for `scale` on `device`.

        A model that is `known_when_built` is called once with a face of `lr_size` pixels.
        Raises InputError if it does not support that scale or the device is not available,
        WeightsError for unusable weights, MissingExtraError, and ModelError if user code raises.
        """
        usable, options = usable_device(device), dict(self.options)
        if self._runs_apart:
            isolated: Model = _load_isolated(self.argument, scale, usable, lr_size, self.timeout)
            return isolated
        with contained(self.argument if self.held is None else self.label):
            if self.kind:
                spec = self.describe(scale)
                loading = Loading(self.argument, self.target, options, spec, scale, lr_size)
                if self.kind == OBJECT:
                    model: Model | StoredResults = _load_held(self.held, loading, usable)
                else:
                    model = PREFIXES[self.kind].load(loading, usable)
            else:
                model = MODELS.load(self.target).load(scale, _without_name(options), usable)
            require_sound(model.spec, self.argument)
            return model

    def remarks(self, dataset: str, faces: Collection[str]) -> list[str]:
        """Return remarks for the user before the model is run on a data set, one line each."""
        if self.kind not in PREFIXES:
            return []
        return PREFIXES[self.kind].remarks(self.target, dict(self.options), dataset, faces)


@dataclass(frozen=True)
class ModelEntry:
    """A line of `affectbench models`: a plug-in's name, or the syntax of a prefix adapter."""

    name: str
    title: str
    options: tuple[str, ...] = ()


def parse_models(text: str) -> list[ModelRequest]:
    """Parse a comma list of models, such as `bicubic,checkpoint:x4.pth@then=bicubic`.

    Raises UnknownNameError (with a suggestion), WeightsError or InputError for a model that does
    not exist, and InputError if two of them would have the same row name.
    """
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces:
        raise InputError("no models: name at least one, such as bicubic")
    requests = [_parse_piece(piece, alone=len(pieces) == 1) for piece in pieces]
    require_distinct(requests)
    return requests


def require_distinct(requests: Sequence[ModelRequest]) -> None:
    """Raise InputError if two models would have the same row name."""
    labels = [unicodedata.normalize("NFC", request.label) for request in requests]
    label, count = Counter(labels).most_common(1)[0]
    if count > 1:
        alike = [r for r, own in zip(requests, labels, strict=True) if own == label]
        twins = " and ".join(r.argument for r in alike)
        held = any(r.held is not None for r in alike)
        remedy = "name them: {'NAME': model}" if held else "add @name=LABEL to one of them"
        raise InputError(f"{twins} would both be called '{label}'; {remedy}")


def parse_model(argument: str) -> ModelRequest:
    """Parse one model, without splitting at commas; errors as in `parse_models`."""
    head, options = split_options(argument)
    kind, colon, target = head.partition(":")
    if colon and kind in PREFIXES:
        adapter = PREFIXES[kind]
        if not target:
            raise InputError(f"{argument}: nothing follows the colon; write {adapter.syntax}")
        usable_path(target)
        if not adapter.any_option:
            require_known(options, adapter.known_options, argument)
        kernel_option(options, argument)
        if "weights" in options:
            require_file(options["weights"])
        stem = adapter.check(target)
        return _request(argument, options.get("name", stem), kind, target, options)
    if kind == OBJECT:
        raise InputError(
            f"{argument}: was an object of another Python process; name a model that can be loaded "
            "again, such as python:FILE:FACTORY"
        )
    if head not in MODELS:
        _refuse_unknown(head)
    return _request(argument, options.get("name", head), "", head, options)


def load_model(
    name: str, scale: int = 8, device: str | torch.device = "cpu"
) -> Model | StoredResults:
    """Load the model of an argument such as `bicubic` or `checkpoint:x4.pth@then=bicubic`.

    It maps float32 LR (N, 3, h, w) in [0, 1] to SR (N, 3, scale*h, scale*w), which may overshoot
    [0, 1] slightly. `images:` returns stored results instead.

    >>> load_model("bicubic", scale=4).spec.name
    'bicubic'
    """
    return parse_model(name).load(scale, device)


def list_models() -> list[ModelEntry]:
    """Return the installed plug-ins, and the syntax of each prefix adapter."""
    entries = [ModelEntry(name, _title(name)) for name in MODELS]
    for adapter in PREFIXES.values():
        entries.append(ModelEntry(adapter.syntax, adapter.title, adapter.known_options))
    return entries


def _parse_piece(piece: str, alone: bool) -> ModelRequest:
    try:
        return parse_model(piece)
    except (InputError, WeightsError) as error:
        target = without_options(piece).partition(":")[2]
        if alone or not target or is_file(target) or is_folder(target):
            raise
        raise type(error)(
            f"{error} (commas separate models: a path that holds one cannot stand in a list)"
        ) from error


def _request(
    argument: str, label: str, kind: str, target: str, options: dict[str, str]
) -> ModelRequest:
    return ModelRequest(argument, printable(label), kind, target, tuple(options.items()))


def _without_name(options: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in options.items() if key != "name"}


def _title(name: str) -> str:
    try:
        return MODELS.load(name).title
    except AffectBenchError as error:
        return f"cannot be used: {error}"


_KINDS = {".onnx": "onnx", ".py": "python", ".ts": "torchscript", ".jit": "torchscript"}


def _refuse_unknown(head: str) -> NoReturn:
    prefix, colon, target = head.partition(":")
    if head in BASELINES:
        hint = "it comes with affectbench-baselines: pip install affectbench-baselines"
    elif is_folder(head):
        hint = f"it is a folder: did you mean 'images:{head}'?"
    elif is_file(head):
        kind = _KINDS.get(Path(head).suffix.lower(), "checkpoint")
        factory = ":FACTORY" if kind == "python" else ""
        hint = f"it is a file: did you mean '{kind}:{head}{factory}'?"
    elif colon:
        close = closest(prefix, PREFIXES)
        known = ", ".join(adapter.syntax for adapter in PREFIXES.values())
        hint = f"did you mean '{close}:{target}'?" if close else f"known: {known}"
    else:
        MODELS.load(head)  # raises, with a suggestion
        hint = "it is not installed"
    raise UnknownNameError(f"unknown model '{head}': {hint}")
