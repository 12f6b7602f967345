"""The metadata header of this package's weights files. Nothing here needs torch.

The header's `affectbench` field is JSON: `network` (a family), `settings`, `trained_on`,
`trained_against`, `faces`, `seed`, `note`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectbench.errors import WeightsError
from affectbench.texts import parse_json
from affectbench_baselines.configs import FAMILIES

FIELD = "affectbench"
_MAX_HEADER = 10_000_000


@dataclass(frozen=True)
class Header:
    """The contents of a weights file's header."""

    network: str
    settings: Mapping[str, Any]
    trained_on: tuple[str, ...] = ()
    trained_against: tuple[str, ...] = ()
    faces: int = 0
    seed: int = 0
    note: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_header(path: Path) -> Header | None:
    """Return the header of a file of this package; None for weights of another origin.

    Raises WeightsError if the file is missing, truncated or not a safetensors file, or if its
    header is invalid.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER:
                raise ValueError("the header is too long")
            content = parse_json(file.read(length))
            size = (
                8
                + length
                + max(
                    (t["data_offsets"][1] for k, t in content.items() if k != "__metadata__"),
                    default=0,
                )
            )
            actual = path.stat().st_size
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: is not a safetensors file, or damaged ({error})") from error
    if actual != size:
        raise WeightsError(f"{path}: has {actual} bytes, not {size}: it is truncated or damaged")
    text = content.get("__metadata__", {}).get(FIELD)
    return None if text is None else _parsed(text, path)


def _parsed(text: str, path: Path) -> Header:
    try:
        fields = parse_json(text)
        for name in ("trained_on", "trained_against"):
            fields[name] = tuple(fields.get(name, ()))
        header = Header(**fields)
    except (AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its header is not one of this version ({error})") from error
    if header.network not in FAMILIES:
        raise WeightsError(f"{path}: is a '{header.network}', which this version does not know")
    return header
