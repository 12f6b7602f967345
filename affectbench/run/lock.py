"""Lock a run folder, on every operating and file system.

1. `fcntl.flock` (Linux, macOS) or `msvcrt.locking` (Windows) on the file `.lock`: locks of the
system,
   which are released when a process is killed.
2. Where neither exists, or the file system does not support locks (some network and cloud folders),
   the file `.lock-owner`, created exclusively. One left behind by a killed process of this machine
   is taken over; one of another machine has to be deleted by hand, as the error explains.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from affectbench.errors import BusyError, StorageError

FILE, OWNER = ".lock", ".lock-owner"
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_BEYOND = 1 << 30
"""Offset of the byte locked on Windows, where a locked byte cannot be read."""

Present = Callable[[], bool]
"""A function that returns whether the locked file is still the one in the folder."""


@contextmanager
def locked(root: Path) -> Iterator[Present]:
    """Lock a folder for this process; BusyError names the holder otherwise.

    Raises StorageError if the folder cannot be used.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = (root / FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{root}: cannot be used as output folder ({error.strerror})") from error
    with handle:
        try:
            known = _lock(handle)
        except OSError as error:
            if error.errno not in _HELD:
                raise StorageError(f"{root}: cannot be locked ({error.strerror})") from error
            handle.seek(0)
            raise BusyError(f"{root} is in use by {handle.read().strip()}") from None
        if not known:
            with _owned(root / OWNER) as present:
                yield present
            return
        handle.truncate(0)
        handle.write(_holder())
        handle.flush()
        try:
            yield lambda: _same(handle, root / FILE)
        finally:
            _unlock(handle)


def _lock(handle: IO[str]) -> bool:
    """Lock an open file; False if unsupported, OSError if another process holds the lock."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(handle, "LK_NBLCK")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _lock_on_windows(handle: IO[str], mode: str) -> bool:
    try:
        import msvcrt
    except ImportError:
        return False
    handle.seek(_BEYOND)
    try:
        msvcrt.locking(handle.fileno(), getattr(msvcrt, mode), 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    finally:
        handle.seek(0)
    return True


def _unlock(handle: IO[str]) -> None:
    """Unlock: Windows may keep a lock after closing the file; elsewhere closing releases it."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        _lock_on_windows(handle, "LK_UNLCK")


def _same(handle: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except OSError:
        return False


@contextmanager
def _owned(path: Path) -> Iterator[Present]:
    """Lock a folder by a file that only one process can create."""
    own = f"{_holder()}{secrets.token_hex(8)}\n"
    if not _created(path, own):
        found = _read(path)
        if not _is_left_over(found) or not _taken_over(path, found, own):
            holder = found.partition("\n")[0] or "another process"
            raise BusyError(
                f"{path.parent} is in use by {holder}; if that process is gone, delete {path}"
            )
    try:
        yield lambda: _read(path) == own
    finally:
        if _read(path) == own:
            path.unlink(missing_ok=True)


def _created(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(
            f"{path.parent}: cannot be used as output folder ({error.strerror})"
        ) from error
    return True


def _taken_over(path: Path, found: str, own: str) -> bool:
    """Replace a dead process's file by our own, unless another process was faster."""
    aside = path.with_name(f"{OWNER}-{secrets.token_hex(8)}")
    try:
        path.rename(aside)
    except OSError:
        return False
    if _read(aside) != found:  # not the dead one: another process has just taken over
        aside.rename(path)
        return False
    aside.unlink(missing_ok=True)
    return _created(path, own)


def _is_left_over(text: str) -> bool:
    """Return whether the holder was a process of this machine that is gone; False if in doubt."""
    words = text.split()
    if words[0:1] != ["process"] or words[2:4] != ["on", socket.gethostname()]:
        return False
    if os.name == "nt" or not words[1].isdecimal():
        return False  # on Windows, signal 0 would terminate the process
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}\n"
