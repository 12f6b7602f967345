"""The message format between an isolated model and its parent, over pipes.

A message is a JSON header and the bytes of one tensor, so nothing that a child sends is executed.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import torch

_SIZES = struct.Struct("<QQ")


def send(stream: BinaryIO, header: dict[str, Any], data: bytes = b"") -> None:
    """Write a header and data."""
    text = json.dumps(header).encode()
    stream.write(_SIZES.pack(len(text), len(data)) + text)
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read a header and data; raise EOFError if the other side has closed the pipe."""
    text, data = _SIZES.unpack(_exactly(stream, _SIZES.size))
    header = json.loads(_exactly(stream, text))
    return header, _exactly(stream, data)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def packed(tensor: torch.Tensor) -> tuple[dict[str, Any], bytes]:
    """Return the header fields of a tensor, and its bytes."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype)}, data


def unpacked(header: dict[str, Any], data: bytes) -> torch.Tensor:
    """Rebuild a tensor from a header and its bytes."""
    dtype = getattr(torch, header["dtype"].removeprefix("torch."))
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat.reshape(header["shape"])
