"""Read tensors from a pickled torch module without executing anything that the file names.

A pickle is a program that calls what it names. Here every name is mapped to a class of its own that
only stores the state and entries it is given (`Inert`): no module or function named in the file is
imported or called, whether through `__reduce__`, `__setstate__` or a load nested in bytes. Two
kinds of names are interpreted: torch's functions that rebuild tensors, for which `Slice` records
where in the file a tensor lies, and torch's storage types.

Only archives in the format that `torch.save` has written since torch 1.6 are read.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from affectbench.assets.pickle_limits import require_bounded
from affectbench.errors import WeightsError
from affectbench.judges.field.archive import STORAGES, Archive, Fixed, Slice, Storage, StorageType

MAX_LAYERS = 10_000
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class RecordedModule:
    """A module as described in its file.

    `tensors` holds its parameters and buffers, named as in a state dict. `settings` holds, for each
    layer by name, the plain values of its state, such as `stride` or `eps`.
    """

    tensors: Mapping[str, torch.Tensor]
    settings: Mapping[str, Mapping[str, Any]]


def read_module(path: Path) -> RecordedModule:
    """Return the tensors and settings of a module that `torch.save` wrote whole.

    Raises WeightsError if the file is missing, damaged, of another kind, or holds anything but a
    module. Nothing that the file names is imported or called.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content.startswith(_ZIP):
        raise WeightsError(
            f"{path}: is no zip archive of torch; other formats, such as those from before torch "
            "1.6, are not read, and nothing in it was run"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(Archive(archive))
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: refused: {error}; nothing in it was run") from error
    except Exception as error:  # a damaged or hostile pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: is damaged ({reason}); nothing in it was run") from error


class _Rebuild(Fixed):
    """One of torch's functions that rebuild tensors, as far as it is needed here."""

    __slots__ = ("_slice",)

    def __init__(self, slice_of: Callable[..., object]) -> None:
        self._slice = slice_of

    def __call__(self, *arguments: object) -> object:
        return self._slice(*arguments)


def _parameter_slice(data: object, *_rest: object) -> object:
    return data


def _tensor_slice(
    storage: object, offset: object, shape: object, strides: object, *_rest: object
) -> object:
    return Slice(storage, offset, shape, strides)


_REBUILDS: dict[str, Callable[..., object]] = {
    "_rebuild_tensor": _tensor_slice,
    "_rebuild_tensor_v2": _tensor_slice,
    "_rebuild_parameter": _parameter_slice,
    "_rebuild_parameter_with_state": _parameter_slice,
}


class Inert:
    """An object of the file: its state and entries, without any behaviour.

    Each name in the file gets its own subclass; `origin` is that name.
    """

    origin = ""
    state: object
    entries: dict[object, object]

    def __new__(cls, *_arguments: object, **_named: object) -> Inert:
        """Ignore the arguments; pickles also create objects without a call."""
        made = super().__new__(cls)
        made.state, made.entries = None, {}
        return made

    def __init__(self, *_arguments: object, **_named: object) -> None:
        """Do nothing."""

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.entries[key] = value

    def append(self, element: object) -> None:
        """Do nothing: no list in a module holds weights."""

    def extend(self, elements: Iterable[object]) -> None:
        """Do nothing: no list in a module holds weights."""


class _Reader(pickle.Unpickler):
    """An unpickler without access to anything outside the file."""

    def __init__(self, program: bytes, archive: Archive) -> None:
        super().__init__(io.BytesIO(program))
        self._archive = archive
        self._classes: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a marker, a stand-in or a new class for a name; nothing is imported."""
        if module == "torch._utils" and name in _REBUILDS:
            return _Rebuild(_REBUILDS[name])
        if module == "torch" and name in STORAGES:
            return StorageType(STORAGES[name])
        origin = f"{module}.{name}"
        if origin not in self._classes:
            self._classes[origin] = type("Inert", (Inert,), {"origin": origin})
        return self._classes[origin]

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage of the archive; any other reference is rejected."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("it refers to something that is not a storage")
        kind, key, count = pid[1], pid[2], pid[4]
        if not (isinstance(kind, StorageType) and type(key) is str and type(count) is int):
            raise pickle.UnpicklingError("it refers to a storage of an unknown type")
        self._archive.require(key, count * kind.dtype.itemsize)
        return Storage(key, kind.dtype, count)


def _read(archive: Archive) -> RecordedModule:
    program = archive.program()
    require_bounded(program)
    _refuse_extensions(program)
    whole = _Reader(program, archive).load()
    tensors: dict[str, torch.Tensor] = {}
    settings: dict[str, dict[str, Any]] = {}
    for name, state in _layers(whole, ""):
        if len(settings) == MAX_LAYERS:  # layers that contain each other many times over
            raise pickle.UnpicklingError(f"it has more than {MAX_LAYERS} layers")
        settings[name] = {k: v for k, v in state.items() if isinstance(v, (int, float, tuple))}
        for kind in ("_parameters", "_buffers"):
            for key, value in _items(state.get(kind)):
                if value is not None:
                    tensors[_joined(name, key)] = _tensor(value, _joined(name, key), archive)
    if not tensors:
        raise pickle.UnpicklingError("it holds no weights")
    return RecordedModule(tensors, settings)


def _tensor(value: object, name: str, archive: Archive) -> torch.Tensor:
    if not isinstance(value, Slice):
        raise pickle.UnpicklingError(f"{name} is {_kind(value)}, not a tensor")
    return archive.tensor(value)


def _refuse_extensions(program: bytes) -> None:
    """Reject extension codes: they yield objects of the process that the file does not name."""
    if any(code.name.startswith("EXT") for code, _, _ in pickletools.genops(program)):
        raise pickle.UnpicklingError("it uses extension codes")


def _layers(module: object, name: str) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield all layers of a recorded module with their states, starting with the module itself."""
    state = module.state if isinstance(module, Inert) else None
    if not isinstance(state, dict) or "_modules" not in state:
        raise pickle.UnpicklingError(f"{name or 'what it holds'} is {_kind(module)}, not a module")
    yield name, state
    for key, child in _items(state["_modules"]):
        if child is not None:
            yield from _layers(child, _joined(name, key))


def _joined(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _kind(value: object) -> str:
    return value.origin if isinstance(value, Inert) else type(value).__name__


def _items(entries: object) -> list[tuple[str, object]]:
    """Return the entries of a plain or ordered dict with their names."""
    found = entries.entries if isinstance(entries, Inert) else entries
    if not isinstance(found, dict) or not all(type(key) is str for key in found):
        raise pickle.UnpicklingError("the entries of a module have no names")
    return list(found.items())
