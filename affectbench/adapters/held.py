"""A model that the caller of `compare` holds as a Python object.

Its revision covers what the object is, by value, exactly like what a `python:` factory returns: see
`adapters.identity`. The object itself is not changed: a module is copied, and the copy is put on
the device and into evaluation mode. A function is called as it is.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch

from affectbench.adapters.adapted import AdaptedNetwork, network_for
from affectbench.adapters.declared import declared, require_sound
from affectbench.adapters.identity import Built, UserModel, identified
from affectbench.adapters.prefix import Loading
from affectbench.adapters.reads import Reads
from affectbench.adapters.syntax import require_scale
from affectbench.errors import ModelError
from affectbench.types import Model, ModelSpec

_OF_NETWORKS = ("scale", "value_range", "size_multiple")
"""What a spec says of a raw network; a loaded model takes LR in [0, 1] and gives SR already."""


def load_held(held: Any, loading: Loading, device: torch.device) -> Model:
    """Return the object as a model of this library, with a revision of its own."""
    held = held.adapted if isinstance(held, UserModel) else held
    return identified(
        lambda: _built(held, loading, device), {"adapter": "object"}, {}, loading.lr_size, device
    )


def _built(held: Any, loading: Loading, device: torch.device) -> Built:
    name = loading.target
    network, parameters = network_for(_copied(held, name), device)
    said = declared(name, {}, held)
    if isinstance(getattr(held, "spec", None), ModelSpec) and not _is_module(held):
        said = {key: value for key, value in said.items() if key not in _OF_NETWORKS}
    spec = replace(
        loading.spec, **{"parameters": parameters, **said}, revision_from="", revision_lacks=""
    )
    require_sound(spec, name)
    if spec.scale is not None:
        require_scale(spec.scale, loading.scale, None, name)
    return Built(AdaptedNetwork(network, spec, loading.scale), Reads())


def _copied(held: Any, name: str) -> Any:
    if not _is_module(held):
        return held
    try:
        with torch.no_grad():  # copies of TorchScript's parameters would have a history
            return copy.deepcopy(held)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # modules can hold anything
        raise ModelError(
            f"{name}: the module cannot be copied ({type(error).__name__}: {error}), and yours is "
            "not to be changed; pass a function that calls it, such as lambda lr: net(lr)"
        ) from error


def _is_module(held: Any) -> bool:
    return isinstance(held, torch.nn.Module)
