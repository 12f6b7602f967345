"""Reading weights files of strangers: tensors and plain containers only, nothing is executed.

`.safetensors` holds tensors by definition. The others are pickles, read by torch's restricted
reader, which knows tensors and nothing else. Legacy tar archives, which could get around that
reader before torch 2.6, are refused before torch sees them; TorchScript programs are refused too.
"""

from __future__ import annotations

import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import safetensors
import torch

from affectbench.errors import WeightsError

PICKLED = (".pth", ".pt", ".ckpt")


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a weights file on the CPU: a state dict, or a dict that holds one.

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
    return content


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: is not a safetensors file, or damaged ({error})") from error


def _pickled(path: Path) -> Any:
    _refuse_other_kinds(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refused(path, _reason(error))) from error
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "TorchScript" in reason:
            raise WeightsError(_refused(path, "a TorchScript program")) from error
        raise WeightsError(f"{path}: is damaged, or not a torch weights file ({reason})") from error


def _refuse_other_kinds(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise WeightsError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if tarfile.is_tarfile(path):
        raise WeightsError(_refused(path, "a legacy tar archive"))


def _reason(error: Exception) -> str:
    """What torch found, without its advice to read the file unsafely."""
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
