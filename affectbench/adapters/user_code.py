"""Running a user's factory: a clean import, matching arguments, and the declared spec."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from affectbench.adapters.adapted import AdaptedNetwork, network_for
from affectbench.adapters.declared import declared, require_sound
from affectbench.adapters.identity import Built, identified
from affectbench.adapters.prefix import COMMON_OPTIONS, Loading, option_content, source_content
from affectbench.adapters.reads import Reads, watching
from affectbench.adapters.syntax import kernel_option, require_known, require_scale
from affectbench.errors import InputError, ModelError
from affectbench.local_code.importing import import_file, without_traces
from affectbench.local_code.origins import local_sources
from affectbench.local_code.target import is_file, source_of, split_target
from affectbench.types import Model


def load_user_model(loading: Loading, device: torch.device) -> Model:
    """Run the user's factory, and return its model adapted to the declared spec."""
    if "revision" in loading.options:
        return _build(loading, device).adapted
    source = {"adapter": "python", **source_content(loading.target)}
    options = {k: v for k, v in loading.options.items() if k != "name"}
    source["options"] = {k: option_content(k, v) for k, v in sorted(options.items())}
    aliases = {
        options[key]: f"option {key}: {content}"
        for key, content in source["options"].items()
        if content != options[key]
    }
    return identified(lambda: _build(loading, device), source, aliases, loading.lr_size, device)


def _build(loading: Loading, device: torch.device) -> Built:
    """Run the factory once, and record what it reads."""
    home, name = split_target(loading.target)
    source = source_of(loading.target) if is_file(home) else None
    then = kernel_option(loading.options, loading.argument)
    reads, known = Reads(), set(sys.modules)
    with without_traces(source):
        text = source.read_bytes() if source else b""
        with watching(reads, calling=False):
            module = import_file(source, text) if source else importlib.import_module(home)
            factory = getattr(module, name, None)
            if not callable(factory):
                raise InputError(f"{loading.argument}: {home} has no function '{name}'")
            network = factory(**_arguments(factory, loading, device))
        others = [m for n, m in list(sys.modules.items()) if n not in known]
        sources = local_sources(module, others)
    if not callable(network):
        raise ModelError(f"{loading.argument}: returned a {type(network).__name__}, not a model")
    said = declared(loading.argument, loading.options, network, factory, module)
    network, parameters = network_for(network, device)
    spec = replace(loading.spec, **{"parameters": parameters, **said})
    require_sound(spec, loading.argument)
    if spec.scale is not None:
        require_scale(spec.scale, loading.scale, then, loading.argument)
        if spec.scale != loading.scale:
            spec = replace(spec, note=f"{spec.note}, then {then}".lstrip(", "))
    return Built(AdaptedNetwork(network, spec, loading.scale, then), reads, sources)


def _arguments(
    factory: Callable[..., Any], loading: Loading, device: torch.device
) -> dict[str, Any]:
    own = ("then", "revision", *COMMON_OPTIONS)
    options = {key: value for key, value in loading.options.items() if key not in own}
    given: dict[str, Any] = {"scale": loading.scale, "device": device, **options}
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return given
    takes = {p.name: p for p in parameters if p.kind is not p.VAR_POSITIONAL}
    known = [key for key in takes if key not in ("scale", "device")]
    require_known(options, (*known, *own), loading.argument)
    missing = [f"@{k}=VALUE" for k, p in takes.items() if k not in given and p.default is p.empty]
    if missing:
        raise InputError(f"{loading.argument}: the factory needs {', '.join(missing)}")
    return {key: value for key, value in given.items() if key in takes}
