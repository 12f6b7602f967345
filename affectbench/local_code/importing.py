"""Import of a user's file: with its neighbours, and without leaving traces."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def without_traces(source: Path | None) -> Iterator[None]:
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


def import_file(source: Path, text: bytes) -> ModuleType:
    """Import a file as a module with a unique name, compiled in memory."""
    digest = hashlib.sha256(str(source.resolve()).encode() + text).hexdigest()[:16]
    module = ModuleType(f"affectbench_user_{digest}")
    module.__file__ = str(source)
    sys.modules[module.__name__] = module  # dataclasses look up the module of a class
    exec(compile(text, str(source), "exec", dont_inherit=True), module.__dict__)
    return module
