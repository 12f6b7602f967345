"""Loading of bundled weights: files are verified by SHA-256, and nothing in them is executed.

An 8-bit tensor `NAME` is stored with two scalars `NAME.scale` and `NAME.offset`; it is dequantised
to NAME * scale + offset.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load

from affectbench.errors import WeightsError


def load_safetensors(path: str | os.PathLike[str], sha256: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file by name, 8-bit ones dequantised to float32.

    Raises WeightsError if the file is missing, cannot be read, or has another SHA-256.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: the weights cannot be read ({error.strerror}); {_REINSTALL}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{path}: the SHA-256 of the weights is {found}, not {sha256}: the file is damaged or "
            f"was changed; {_REINSTALL}"
        )
    try:
        return _dequantise(load(content), path)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: is not a safetensors file ({error}); {_REINSTALL}") from error


_REINSTALL = "install its distribution again (pip install --force-reinstall --no-deps ...)"


def _dequantise(tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith((".scale", ".offset")) and name.rpartition(".")[0] in tensors:
            continue
        plain[name] = tensor
        if tensor.dtype == torch.uint8:
            try:
                scale, offset = tensors[f"{name}.scale"], tensors[f"{name}.offset"]
            except KeyError as missing:
                raise WeightsError(f"{path}: '{name}' is 8-bit and {missing} is missing") from None
            # In double precision with a single rounding, like TensorFlow.js.
            plain[name] = (tensor.double() * scale.double() + offset.double()).float()
    return plain
