"""The external data files of an ONNX graph, parsed from its protobuf without the onnx package.

A tensor can occur anywhere in a graph: as an initialiser, dense or sparse, or as a node's
attribute, in the main graph, in the bodies of If, Loop and Scan, in functions and in training
graphs. All of them are checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from affectbench.adapters.prefix import file_hash
from affectbench.errors import WeightsError

_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
"""The fields of onnx.proto that can contain a tensor, by message."""

_KEY, _VALUE = 1, 2
_DEEPEST = 200
_ORT_FORMAT = b"ORTM"


class NotOnnxError(ValueError):
    """The bytes are not a protobuf message that could be a graph."""


def content_of(target: str) -> dict[str, Any]:
    """Return the hashes of a graph and of its external data files.

    Raises WeightsError for a file that is missing, or outside the graph's folder.
    """
    weights = file_hash(target)
    try:
        names = external_files(Path(target).read_bytes())
    except NotOnnxError as error:
        return {"weights": weights, "unreadable": str(error)}
    for name in names:
        _require_beside(Path(target), name)
    outside = {name: file_hash(Path(target).parent / name) for name in sorted(names)}
    return {"weights": weights, "external": outside}


def _require_beside(path: Path, name: str) -> None:
    if leaves_folder(name):
        raise WeightsError(f"{path}: keeps tensors outside of its folder, in {name}: refused")
    try:
        there = (path.parent / name).is_file()
    except (OSError, ValueError):  # an invalid file name
        there = False
    if not there:
        raise WeightsError(f"{path}: keeps tensors in {name}, which is not beside it")


def external_files(data: bytes) -> set[str]:
    """Return the file names of all external tensors. Raises NotOnnxError."""
    if data[4:8] == _ORT_FORMAT:  # onnxruntime's own format has no external tensors
        return set()
    return set(_locations(memoryview(data)))


def leaves_folder(name: str) -> bool:
    """Return whether a relative file name leaves its folder, on any platform."""
    windows = PureWindowsPath(name)
    absolute = PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root)
    return absolute or ".." in windows.parts  # Windows paths treat both slashes as separators


@dataclass(frozen=True)
class _Message:
    kind: str
    content: memoryview
    depth: int


def _locations(data: memoryview) -> Iterator[str]:
    waiting = [_Message("model", data, 0)]
    while waiting:
        message = waiting.pop()
        if message.depth > _DEEPEST:
            raise NotOnnxError("graphs are nested too deeply")
        entry: dict[int, bytes] = {}
        for number, content in _fields(message.content):
            part = _PARTS[message.kind].get(number)
            if part:
                waiting.append(_Message(part, content, message.depth + 1))
            elif message.kind == "entry":
                entry[number] = bytes(content)
        if entry.get(_KEY) == b"location":
            yield entry.get(_VALUE, b"").decode("utf-8", "surrogateescape")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and content of every length-delimited field; skip the others."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise NotOnnxError("a field is longer than the file")
            yield number, data[position : position + length]
            position += length
        elif wire == 0:
            _, position = _varint(data, position)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise NotOnnxError(f"a field of the unknown kind {wire}")
    if position != len(data):
        raise NotOnnxError("the last field is cut off")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise NotOnnxError("a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise NotOnnxError("a number is too long")
