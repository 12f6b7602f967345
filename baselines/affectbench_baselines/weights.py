"""Weights files of this package: safetensors with a header that names the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save

from affectbench.assets.untrusted import read_weights
from affectbench.errors import InputError, WeightsError
from affectbench.records import write_atomic
from affectbench_baselines.base import Network
from affectbench_baselines.configs import build_network
from affectbench_baselines.header import FIELD, Header


def write_weights(
    tensors: Mapping[str, torch.Tensor], header: Header, path: Path, half: bool = False
) -> None:
    """Write tensors with a header, atomically; `half` stores floats as float16."""
    plain = {
        name: (t.half() if half and t.is_floating_point() else t)
        .detach()
        .cpu()
        .clone()
        .contiguous()
        for name, t in tensors.items()
    }
    write_atomic(path, save(plain, metadata={FIELD: json.dumps(asdict(header))}))


def load_network(path: Path, header: Header) -> Network:
    """Return the network of a file, in float32 and eval mode.

    Raises WeightsError if the tensors do not match the network that the header names.
    """
    tensors = read_weights(path)
    try:
        with torch.random.fork_rng(devices=[]):
            network = build_network(header.network, header.settings)
        floats = {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
        network.load_state_dict(floats)
    except (InputError, RuntimeError) as error:
        raise WeightsError(f"{path}: are not weights of this {header.network} ({error})") from error
    return network.eval().requires_grad_(False)
