"""Reading of untrusted weights files: tensors and plain containers only, nothing is executed.

`.safetensors` holds tensors by definition. The other formats are pickles, read by torch's
restricted unpickler (`weights_only=True`) and only within the limits of `pickle_limits`, since a
small file could otherwise crash the process. Legacy tar archives, which could bypass that unpickler
before torch 2.6, are refused before torch opens them, and so are TorchScript programs.
"""

from __future__ import annotations

import os
import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file

from affectbench.assets.pickle_limits import UnboundedPickle, most_bytes, require_bounded
from affectbench.errors import WeightsError

PICKLED = (".pth", ".pt", ".ckpt")
_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The start of `torch.save` files before torch 1.6: a pickled number, then four more pickles."""


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a weights file to the CPU: a state dict, or a dict that holds one.

    Raises WeightsError if it is missing, damaged, of another kind, or holds more than weights.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in {*PICKLED, ".safetensors"}:
        known = ", ".join((".safetensors", *PICKLED))
        raise WeightsError(f"{path}: weights files end in one of {known}")
    try:
        content = _safetensors(path) if suffix == ".safetensors" else _pickled(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not weights by name")
    _require_modest(content, path)
    return content


def _require_modest(content: dict[str, Any], path: Path) -> None:
    """Refuse tensors that share so little storage that copies of them could exhaust memory."""
    total = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(content))
    if total > most_bytes(path.stat().st_size):
        raise WeightsError(
            f"{path}: refused: its tensors share storages, and copies of them would take {total:,} "
            "bytes, many times the file's; save them with .clone()"
        )


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    """Yield all tensors in nested containers, visiting each container once."""
    seen, left = set(), [content]
    while left:
        item = left.pop()
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, (dict, list, tuple, set)) and id(item) not in seen:
            seen.add(id(item))
            left.extend(item.values() if isinstance(item, dict) else item)


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: is not a safetensors file, or damaged ({error})") from error


def _pickled(path: Path) -> Any:
    _refuse_other_kinds(path)
    try:
        _require_bounded(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except UnboundedPickle as error:
        raise WeightsError(f"{path}: refused: {error}. Nothing of it was run") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(_refused(path, _reason(error))) from error
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: is damaged, or not a torch weights file ({reason})") from error


def _refuse_other_kinds(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise WeightsError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if tarfile.is_tarfile(path):
        raise WeightsError(_refused(path, "a legacy tar archive"))


def _require_bounded(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LEGACY))
    if start.startswith(_ZIP):
        for program in _programs(path):
            require_bounded(program)
    else:
        require_bounded(path.read_bytes(), 5 if start == _LEGACY else 1)


def _programs(path: Path) -> list[bytes]:
    """Read the pickles of a `torch.save` archive, which is uncompressed and without overlaps."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = {entry.filename for entry in entries}
        if any(name.endswith("constants.pkl") for name in names):
            program = _refused(path, "a TorchScript program")
            raise WeightsError(f"{program}; or run the program: torchscript:{path}")
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        size = sum(entry.file_size for entry in entries)
        if not stored or len(names) < len(entries) or size > path.stat().st_size or archive.comment:
            raise UnboundedPickle("it is a zip archive of another kind than torch writes")
        return [archive.read(entry) for entry in entries if entry.filename.endswith(".pkl")]


def _reason(error: Exception) -> str:
    """Return torch's finding without its advice to load the file unsafely."""
    for line in str(error).splitlines():
        for mark in ("Unsupported global: GLOBAL ", "GLOBAL "):
            if mark in line:
                return line.split(mark, 1)[1].split(" ")[0]
    return "a pickle that is not a plain state dict"


def _refused(path: Path, reason: str) -> str:
    return (
        f"{path}: refused: it holds more than weights ({reason}), and reading it could run code. "
        "Nothing of it was run. Save the state dict alone, best as .safetensors"
    )
