"""The origin of code: Python itself, an installed distribution, or local files.

Installed code is identified by the distribution's name and version. Local code, which is run from
where it is edited, is identified by the content of its files: a source file, its neighbours, an
editable or local installation, and anything else on `sys.path`.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

AMBIENT = ("affectbench", "numpy", "PIL", "scipy", "torch")
"""The packages that every model runs on. Their versions are in each record's provenance, not in
revisions."""

KNOWN = (*AMBIENT, "einops", "kornia", "skimage", "spandrel", "timm", "torchvision")
"""Packages whose functions are assumed to depend only on their arguments and on files."""

_OWN = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Origin:
    """Where code comes from. `version` names a distribution and version; empty for `AMBIENT`."""

    kind: Literal["python", "known", "package", "local"]
    version: str = ""

    @property
    def trusted(self) -> bool:
        """Whether the code need not be inspected."""
        return self.kind in ("python", "known")


LOCAL = Origin("local")


@cache
def origin_of(module: str, file: str | None) -> Origin:
    """Return the origin of code by module name and file; without a file it is built in."""
    top = module.partition(".")[0]
    if file is None or file.startswith("<frozen "):
        return Origin("python") if top in sys.stdlib_module_names else LOCAL
    path = Path(file).resolve()
    if path.is_relative_to(_OWN):
        return Origin("known")
    if top in sys.stdlib_module_names and _in_standard_library(path):
        return Origin("python")
    if top in AMBIENT and is_installed(path):
        return Origin("known")
    version = _installed_version(top, path)
    if version is None:
        return LOCAL
    kind: Literal["known", "package"] = "known" if top in KNOWN else "package"
    return Origin(kind, "" if top in AMBIENT else version)


def module_origin(module: ModuleType) -> Origin:
    """Return the origin of a loaded module."""
    file, top = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    if file is None and top in sys.modules:  # a part of a compiled module
        file = getattr(sys.modules[top], "__file__", None)
    return origin_of(module.__name__, file)


def named_origin(name: str) -> Origin:
    """Return the origin of the module of that name, loaded or not."""
    module = sys.modules.get(name) or sys.modules.get(name.partition(".")[0])
    if module is not None:
        return module_origin(module)
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return LOCAL
    return origin_of(name, spec.origin if spec.has_location else None)


def file_origin(path: Path) -> Origin:
    """Return the origin of a module's file, by its location on `sys.path`."""
    folders = [folder for entry in sys.path if (folder := Path(entry).resolve()) in path.parents]
    if not folders:
        return LOCAL
    nearest = max(folders, key=lambda folder: len(folder.parts))
    return origin_of(path.relative_to(nearest).parts[0].partition(".")[0], str(path))


def is_installed(path: Path) -> bool:
    """Return whether a file is part of Python, an installed package or this library."""
    return path.is_relative_to(_OWN) or any(
        path.is_relative_to(folder) for folder in _folders("stdlib", "platstdlib", *_SITES)
    )


def local_sources(module: ModuleType, others: Iterable[ModuleType] = ()) -> set[Path]:
    """Return the files of the local modules that `module` and `others` import, and their own.

    Import statements are followed wherever they occur, through the modules loaded now.
    """
    found: set[Path] = set()
    waiting = [module, *others]
    while waiting:
        current = waiting.pop()
        file = getattr(current, "__file__", None)
        if file is None or module_origin(current).kind != "local":
            continue
        path = Path(file).resolve()
        if path in found or not path.is_file():
            continue
        found.add(path)
        waiting += [m for name in _imports(current, path) if (m := sys.modules.get(name))]
    return found


_SITES = ("purelib", "platlib")


def _in_standard_library(path: Path) -> bool:
    inside = any(path.is_relative_to(folder) for folder in _folders("stdlib", "platstdlib"))
    return inside and "site-packages" not in path.parts and "dist-packages" not in path.parts


@cache
def _folders(*names: str) -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in names)


def _installed_version(top: str, path: Path) -> str | None:
    """Return name and version of the distributions that `path` belongs to; None if it is local."""
    versions = []
    for name in sorted(set(_distributions().get(top, ()))):
        distribution = importlib.metadata.distribution(name)
        direct = json.loads(distribution.read_text("direct_url.json") or "{}")
        if "dir_info" in direct:  # installed from a folder: the version does not fix its content
            return None
        if path.is_relative_to(Path(str(distribution.locate_file(""))).resolve()):
            source = direct.get("vcs_info", direct.get("archive_info", {}))
            stated = source.get("commit_id") or source.get("hash") or ""
            versions.append(f"{name} {distribution.version} {stated}".strip())
    return ", ".join(versions) or None


@cache
def _distributions() -> Any:
    return importlib.metadata.packages_distributions()


def _imports(module: ModuleType, path: Path) -> Iterator[str]:
    """Yield the full names of all modules that a source file may import."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    package = getattr(module, "__package__", None) or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in _with_parents(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, *([base] if base else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: n + 1]) for n in range(len(parts)))
