"""Tracing of what code reads while it runs: files, folders, environment variables, random state.

Python raises an audit event for every file that it opens, by any caller: `open`, `pathlib`,
`numpy`, `torch.load`. Compiled code that opens files itself raises none; what it read shows only
in the values that it left (`adapters.values`), if at all.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from affectbench.assets import sha256_of
from affectbench.local_code.origins import Origin, file_origin, is_installed, origin_of

Signature = tuple[int, ...] | None
"""File metadata that change whenever the content does; None if there is no file."""

_UNTRACED = {
    "ctypes.": "calls C functions (ctypes)",
    "ftplib.": "uses the network",
    "http.": "uses the network",
    "os.exec": "starts processes",
    "os.fork": "starts processes",
    "os.posix_spawn": "starts processes",
    "os.spawn": "starts processes",
    "os.system": "starts processes",
    "socket.": "uses the network",
    "sqlite3.": "reads a data base",
    "subprocess.": "starts processes",
    "_thread.start": "starts threads",
    "urllib.": "uses the network",
}
_IMPORT = "<frozen importlib._bootstrap"
_WRITING = os.O_WRONLY


@dataclass
class Reads:
    """What was read, in order of first access; `untraced` lists what cannot be traced."""

    files: dict[Path, Signature] = field(default_factory=dict)
    folders: dict[Path, str] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    sources: set[Path] = field(default_factory=set)
    untraced: dict[str, None] = field(default_factory=dict)
    _hashes: dict[Path, str | None] = field(default_factory=dict)

    def content(self) -> list[str | None]:
        """Return the SHA-256 of each file in order of access; None for a missing file.

        Names are ignored, so that files can be moved together with the code that reads them.
        """
        for path in self.files:
            if path not in self._hashes:
                self._hashes[path] = _hash(path)
        return [self._hashes[path] for path in self.files]

    def join(self, later: Reads) -> None:
        """Add later reads."""
        self.files = {**self.files, **later.files, **self.files}
        self.folders = {**self.folders, **later.folders, **self.folders}
        self.variables = {**self.variables, **later.variables, **self.variables}
        self.sources |= later.sources

    def changed(self) -> list[str]:
        """Return a reason for each file that has changed since it was read."""
        return [
            f"reads {path.name}, which changed meanwhile"
            for path, signature in self.files.items()
            if _signature(path) != signature
        ]

    def unlike(self, known: Reads) -> list[str]:
        """Return a reason for each read that is not in `known`, or whose content differs."""
        found = [
            f"reads {path.name}, which is new or was changed meanwhile"
            for path, signature in self.files.items()
            if path not in known.files or known.files[path] != signature
        ]
        found += [
            f"lists the folder {path.name}, which is new or was changed meanwhile"
            for path, names in self.folders.items()
            if known.folders.get(path) != names
        ]
        found += [
            f"reads the environment variable {name}, which is new or was changed meanwhile"
            for name, value in self.variables.items()
            if name not in known.variables or known.variables[name] != value
        ]
        if not self.sources <= known.sources:
            found.append("imports modules")
        return [*self.untraced, *found]


@contextmanager
def watching(reads: Reads, calling: bool) -> Iterator[None]:
    """Record what this thread reads; `calling` also records what leaves no value to hash later."""
    _install()
    watch = _Watch(reads, calling, threading.get_ident())
    _WATCHES.append(watch)
    original = os._Environ.__getitem__
    os._Environ.__getitem__ = _noted_variable(original, watch)  # type: ignore[method-assign]
    try:
        yield
    finally:
        os._Environ.__getitem__ = original  # type: ignore[method-assign]
        _WATCHES.remove(watch)


def chance() -> tuple[Any, ...]:
    """Return the state of all global random generators; it is unchanged if nothing was drawn."""
    legacy = np.random.get_state(legacy=False)["state"]
    cuda = _cuda_states()
    generators = [torch.get_rng_state(), *cuda]
    return (
        random.getstate(),
        hashlib.sha256(legacy["key"].tobytes()).digest(),
        legacy["pos"],
        *(generator.numpy().tobytes() for generator in generators),
    )


@contextmanager
def chance_kept() -> Iterator[None]:
    """Restore the state of all global random generators afterwards."""
    own, legacy = random.getstate(), np.random.get_state()
    cuda = _cuda_states()
    state = torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(legacy)
        torch.set_rng_state(state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def _cuda_states() -> list[torch.Tensor]:
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if started else []


@dataclass
class _Watch:
    reads: Reads
    calling: bool
    thread: int
    busy: bool = False


_WATCHES: list[_Watch] = []
"""The active watches; only the last one records."""


@cache
def _install() -> None:
    """Install the audit hook once: it cannot be removed, and is idle while nothing is watched."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _WATCHES[-1] if _WATCHES else None
    if watch is None or watch.busy or watch.thread != threading.get_ident():
        return
    watch.busy = True  # inspecting frames and folders raises events as well
    try:
        if event == "open":
            _opened(watch, *arguments)
        elif event in ("os.listdir", "os.scandir"):
            _listed(watch, arguments[0])
        elif watch.calling:
            reason = next((why for start, why in _UNTRACED.items() if event.startswith(start)), "")
            if reason and not _is_importing():
                watch.reads.untraced[f"{reason} when called"] = None
    finally:
        watch.busy = False


def _opened(watch: _Watch, name: Any, mode: str | None, flags: int) -> None:
    if not isinstance(name, str | bytes | os.PathLike):
        return  # a descriptor, whose opening raised an event before
    writes = mode[:1] in ("w", "x") or mode in ("a", "ab") if mode else flags & _WRITING
    path = Path(os.fsdecode(name)).absolute()
    if writes:
        return
    frame: FrameType | None = sys._getframe(2)
    if frame is not None and frame.f_code.co_filename.startswith(_IMPORT):
        _imported(watch, path)
    elif path.suffix in (".py", ".pyc") and is_installed(path.resolve()):
        return  # identified by its version, whoever reads it
    elif not _is_importing():
        _noted_file(watch, path)


def _imported(watch: _Watch, path: Path) -> None:
    """Record the file of a local module, whose content affects the results."""
    if path.suffix == ".pyc":
        with suppress(ValueError):
            path = Path(importlib.util.source_from_cache(path))
    path = path.resolve()
    # Installed distributions are identified by their version.
    if not is_installed(path) and path.is_file() and file_origin(path).kind == "local":
        watch.reads.sources.add(path)


def _noted_file(watch: _Watch, path: Path) -> None:
    if path.is_file() or not path.exists():
        watch.reads.files.setdefault(path, _signature(path))
    elif watch.calling and not path.is_dir() and str(path) != os.devnull:
        watch.reads.untraced[f"reads {path} when called"] = None


def _signature(path: Path) -> Signature:
    try:
        about = path.stat()
    except OSError:
        return None
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _listed(watch: _Watch, folder: Any) -> None:
    """Record a folder listing in a call; on building, the files chosen from it are recorded."""
    if not watch.calling or _is_importing():
        return
    path = Path(os.fsdecode("." if folder is None else folder)).absolute()
    try:
        names = "\0".join(sorted(entry.name for entry in path.iterdir()))
    except OSError:
        names = ""
    watch.reads.folders.setdefault(path, hashlib.sha256(os.fsencode(names)).hexdigest())


def _noted_variable(original: Any, watch: _Watch) -> Any:
    def noted(environment: Any, key: Any) -> Any:
        value = None
        try:
            value = original(environment, key)
            return value
        finally:
            if watch.thread == threading.get_ident() and not watch.busy:
                watch.busy = True
                if not _is_importing() and not _is_known(sys._getframe(1)):
                    text = value if value is None else os.fsdecode(value)
                    watch.reads.variables.setdefault(os.fsdecode(key), text)
                watch.busy = False

    return noted


def _is_known(frame: FrameType | None) -> bool:
    """Return whether a trusted package reads a variable, which does not affect its results."""
    while frame is not None:
        origin = _origin(frame)
        if origin.kind != "python":
            return origin.kind == "known"
        frame = frame.f_back
    return False


def _origin(frame: FrameType) -> Origin:
    file = frame.f_code.co_filename
    name = str(frame.f_globals.get("__name__", ""))
    return origin_of(name, file if Path(file).is_absolute() else None)


def _is_importing() -> bool:
    """Return whether Python itself is reading, such as when it imports a library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if (
            frame.f_code.co_filename.startswith(_IMPORT)
            or frame.f_globals.get("__name__") == "linecache"
        ):
            return True  # linecache reads source lines for warnings
        if not _origin(frame).trusted:
            return False
        frame = frame.f_back
    return False


def _hash(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
