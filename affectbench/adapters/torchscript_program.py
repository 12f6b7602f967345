"""A TorchScript program as a model."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from affectbench.adapters.adapted import AdaptedNetwork, network_for, plain_tensor, scale_of
from affectbench.adapters.prefix import Loading
from affectbench.adapters.syntax import kernel_option, require_scale, value_range
from affectbench.adapters.torchscript_archive import checked_archive
from affectbench.errors import ModelError, WeightsError
from affectbench.types import Model


def load_program(loading: Loading, device: torch.device) -> Model:
    """Load the program as a model; raise WeightsError for a file that is refused or damaged."""
    network, parameters = network_for(_read(loading.target, device), device)
    then = kernel_option(loading.options, loading.argument)
    bounds = value_range(loading.options.get("range", "0:1"), loading.argument)
    probe = torch.full((1, 3, loading.lr_size, loading.lr_size), sum(bounds) / 2, device=device)
    try:
        with torch.no_grad():
            native = scale_of(
                plain_tensor(network(probe), loading.argument), probe, loading.argument
            )
    except ModelError:
        raise
    except Exception as error:  # torch raises RuntimeError and internal types
        reason = " ".join(str(error).split())[-300:]
        raise ModelError(f"{loading.argument}: fails on {tuple(probe.shape)}: {reason}") from error
    require_scale(native, loading.scale, then, loading.argument)
    spec = replace(
        loading.spec,
        scale=native,
        parameters=parameters,
        value_range=bounds,
        note=f"TorchScript x{native}" + (f", then {then}" if native != loading.scale else ""),
    )
    return AdaptedNetwork(network, spec, loading.scale, then)


def _read(path: str, device: torch.device) -> Any:
    """Return the program on a device; torch reads nothing but what was checked."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    checked = checked_archive(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch prefers torch.export
            return torch.jit.load(io.BytesIO(checked), map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:  # torch raises RuntimeError and internal types
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path}: torch cannot load it ({reason})") from error
