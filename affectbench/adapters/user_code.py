"""Running a user's factory: import without traces, give what it takes, read what it declares."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from affectbench.adapters.identity import Built, identified
from affectbench.adapters.network import AdaptedNetwork
from affectbench.adapters.origins import local_sources
from affectbench.adapters.prefix import COMMON_OPTIONS, Loading, option_content
from affectbench.adapters.python import content_of_target, is_file, source_of, split_target
from affectbench.adapters.reads import Reads, watching
from affectbench.adapters.syntax import kernel_option, require_known, require_scale
from affectbench.errors import AffectBenchError, InputError, ModelError
from affectbench.types import Model, ModelSpec

DECLARABLE = (
    "scale",
    "licence",
    "parameters",
    "value_range",
    "size_multiple",
    "trained_on",
    "trained_against",
    "note",
)


def load_user_model(loading: Loading, device: torch.device) -> Model:
    """The model that the factory returns, adapted to what it declares. Runs the user's code."""
    if "revision" in loading.options:
        return _build(loading, device).adapted
    source = {"adapter": "python", **content_of_target(loading.target)}
    options = {k: v for k, v in loading.options.items() if k != "name"}
    source["options"] = {k: option_content(k, v) for k, v in sorted(options.items())}
    aliases = {
        options[key]: f"option {key}: {content}"
        for key, content in source["options"].items()
        if content != options[key]
    }
    return identified(lambda: _build(loading, device), source, aliases, loading.lr_size, device)


def _build(loading: Loading, device: torch.device) -> Built:
    """Run the factory once, and note what it reads."""
    home, name = split_target(loading.target)
    source = source_of(loading.target) if is_file(home) else None
    then = kernel_option(loading.options, loading.argument)
    reads, known = Reads(), set(sys.modules)
    with _user_code(loading.argument, source):
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
    declared = _declared(loading, network, factory, module)
    parameters = None
    if isinstance(network, torch.nn.Module):
        network = network.to(device).eval().requires_grad_(False)
        parameters = sum(p.numel() for p in network.parameters())
    spec = replace(loading.spec, **{"parameters": parameters, **declared})
    if spec.scale is not None:
        require_scale(spec.scale, loading.scale, then, loading.argument)
        if spec.scale != loading.scale:
            spec = replace(spec, note=f"{spec.note}, then {then}".lstrip(", "))
    return Built(AdaptedNetwork(network, spec, loading.scale, then), reads, sources)


@contextmanager
def _user_code(argument: str, source: Path | None) -> Iterator[None]:
    """Whatever the user's code raises becomes a ModelError that names the model.

    For a file, neighbours can be imported meanwhile; no .pyc and no module name stays behind.
    """
    wrote, known, path = sys.dont_write_bytecode, set(sys.modules), list(sys.path)
    if source is not None:
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(source.resolve().parent))
    try:
        yield
    except AffectBenchError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{argument}: raised {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = wrote
        if source is not None:
            sys.path[:] = path
            _forget_neighbours(source.resolve().parent, known)


def _forget_neighbours(folder: Path, known: set[str]) -> None:
    """Another file's `import network` must not find this folder's network.py."""
    for name in set(sys.modules) - known:
        top = name.partition(".")[0]
        origin = getattr(sys.modules[name], "__file__", None)
        if top in known or origin is None:
            continue
        found = Path(origin).resolve()
        if found == folder / f"{top}.py" or folder / top in found.parents:
            del sys.modules[name]


def _import_file(source: Path, text: bytes) -> ModuleType:
    """The file as a module of a name of its own, compiled in memory."""
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


def _declared(loading: Loading, *places: object) -> dict[str, Any]:
    """What the first `spec` among the places says; the user's options win over it."""
    specs = (getattr(place, "spec", None) for place in places)
    found = next((spec for spec in specs if spec is not None), None)
    if found is None:
        return {}
    if isinstance(found, ModelSpec):
        found = {field: getattr(found, field) for field in DECLARABLE}
    if not isinstance(found, Mapping) or not set(found) <= set(DECLARABLE):
        raise ModelError(
            f"{loading.argument}: its spec is {found!r}; a ModelSpec or a dict is needed, of "
            + ", ".join(DECLARABLE)
        )
    plain = {key: _tuple(key, value) for key, value in found.items() if value is not None}
    return {key: value for key, value in plain.items() if key not in loading.options}


def _tuple(key: str, value: Any) -> Any:
    if key not in ("trained_on", "trained_against", "value_range"):
        return value
    return (value,) if isinstance(value, str) else tuple(value)
