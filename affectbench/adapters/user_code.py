"""Running a user's factory: a clean import, matching arguments, and the declared spec."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from affectbench.adapters.adapted import AdaptedNetwork, network_for
from affectbench.adapters.declared import declared, require_sound
from affectbench.adapters.identity import Built, identified
from affectbench.adapters.origins import local_sources
from affectbench.adapters.prefix import COMMON_OPTIONS, Loading, option_content
from affectbench.adapters.python_target import content_of, is_file, source_of, split_target
from affectbench.adapters.reads import Reads, watching
from affectbench.adapters.syntax import kernel_option, require_known, require_scale
from affectbench.errors import InputError, ModelError
from affectbench.types import Model


def load_user_model(loading: Loading, device: torch.device) -> Model:
    """Run the user's factory, and return its model adapted to the declared spec."""
    if "revision" in loading.options:
        return _build(loading, device).adapted
    source = {"adapter": "python", **content_of(loading.target)}
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
    with _without_traces(source):
        text = source.read_bytes() if source else b""
        with watching(reads, calling=False):
            module = _import_file(source, text) if source else importlib.import_module(home)
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


@contextmanager
def _without_traces(source: Path | None) -> Iterator[None]:
    """Let a file import its neighbours, without leaving .pyc files or modules behind."""
    wrote, known, path = sys.dont_write_bytecode, set(sys.modules), list(sys.path)
    if source is not None:
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(source.resolve().parent))
    try:
        yield
    finally:
        sys.dont_write_bytecode = wrote
        if source is not None:
            sys.path[:] = path
            _forget_neighbours(source.resolve().parent, known)


def _forget_neighbours(folder: Path, known: set[str]) -> None:
    """Unload the folder's modules: another file's `import network` must not find its network.py."""
    for name in set(sys.modules) - known:
        top = name.partition(".")[0]
        origin = getattr(sys.modules[name], "__file__", None)
        if top in known or origin is None:
            continue
        found = Path(origin).resolve()
        if found == folder / f"{top}.py" or folder / top in found.parents:
            del sys.modules[name]


def _import_file(source: Path, text: bytes) -> ModuleType:
    """Import a file as a module with a unique name, compiled in memory."""
    digest = hashlib.sha256(str(source.resolve()).encode() + text).hexdigest()[:16]
    module = ModuleType(f"affectbench_user_{digest}")
    module.__file__ = str(source)
    sys.modules[module.__name__] = module  # dataclasses look up the module of a class
    exec(compile(text, str(source), "exec", dont_inherit=True), module.__dict__)
    return module


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
