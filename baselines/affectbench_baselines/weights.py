"""Weights files of this package: safetensors whose header says what network they belong to.

The header's `affectbench` field is JSON: `network` (a family), `settings`, `trained_on`,
`trained_against`, `faces`, `seed`, `note`. Reading it needs no torch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectbench.errors import InputError, WeightsError
from affectbench.records import write_atomic
from affectbench.texts import parse_json
from affectbench_baselines.configs import FAMILIES, build_network

if TYPE_CHECKING:
    import torch

    from affectbench_baselines.network import Network

_FIELD = "affectbench"
_MAX_HEADER = 10_000_000


@dataclass(frozen=True)
class Header:
    """What a weights file says of itself."""

    network: str
    settings: Mapping[str, Any]
    trained_on: tuple[str, ...] = ()
    trained_against: tuple[str, ...] = ()
    faces: int = 0
    seed: int = 0
    note: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_header(path: Path) -> Header | None:
    """The header of a file of this package; None for weights of another origin.

    Raises WeightsError if the file is missing, truncated or no safetensors file, or if its header
    is not one of ours.
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
    text = content.get("__metadata__", {}).get(_FIELD)
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


def write_weights(
    tensors: Mapping[str, torch.Tensor], header: Header, path: Path, half: bool = False
) -> None:
    """Tensors with a header, whole or not at all; `half` stores floats as float16."""
    from safetensors.torch import save

    plain = {
        name: (t.half() if half and t.is_floating_point() else t)
        .detach()
        .cpu()
        .clone()
        .contiguous()
        for name, t in tensors.items()
    }
    write_atomic(path, save(plain, metadata={_FIELD: json.dumps(asdict(header))}))


def load_network(path: Path, header: Header) -> Network:
    """The network of a file, in float32 and eval mode.

    Raises WeightsError if the tensors are not those of the network that the header names.
    """
    import torch

    from affectbench.assets.untrusted import read_weights

    tensors = read_weights(path)
    try:
        with torch.random.fork_rng(devices=[]):
            network = build_network(header.network, header.settings)
        floats = {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
        network.load_state_dict(floats)
    except (InputError, RuntimeError) as error:
        raise WeightsError(f"{path}: are not weights of this {header.network} ({error})") from error
    return network.eval().requires_grad_(False)
