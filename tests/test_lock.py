"""The lock of a run folder: the system's, that of Windows, and a file where there is neither."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from affectbench import score
from affectbench.errors import BusyError, StorageError
from affectbench.run import lock
from affectbench.run.lock import OWNER, locked

HERE = f"process {os.getpid()} on {socket.gethostname()}"


def no_system_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a Windows that lacks even its own."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", None)


class Msvcrt(types.ModuleType):
    """Windows' locks of bytes, as far as a process of this test can tell."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, file: int, mode: int, count: int) -> None:
        """Lock or unlock bytes at the file's position."""
        assert count == 1
        key = os.fstat(file).st_ino, os.lseek(file, 0, os.SEEK_CUR)
        if mode == self.LK_UNLCK:
            assert self.held.pop(key) == file
        elif self.held.setdefault(key, file) != file:
            raise OSError(errno.EACCES, "Permission denied")


@pytest.fixture(params=["system", "windows", "file", "no locks here"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to lock."""
    if request.param in ("windows", "file"):
        no_system_lock(monkeypatch)
    if request.param == "windows":
        monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    if request.param == "no locks here":
        fcntl = pytest.importorskip("fcntl")

        def flock(*_given: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", flock)
    return str(request.param)


def test_one_process_at_a_time(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "new" / "out"
    for _ in range(2):
        with locked(folder) as present:
            assert present()
            with pytest.raises(BusyError, match=f"in use by {HERE}"), locked(folder):
                pass
            assert present()
        assert not (folder / OWNER).exists(), kind


@pytest.mark.usefixtures("kind")
def test_a_folder_that_is_removed_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with locked(folder) as present:
        folder.rename(tmp_path / "away")
        assert not present()
        with locked(folder):
            assert not present()
        assert not present()


@pytest.mark.usefixtures("kind")
def test_a_lock_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    with locked(tmp_path):
        pass


def test_scoring_without_fcntl(
    tmp_path: Path, toy_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_system_lock(monkeypatch)
    found = score(toy_faces, toy_faces, metrics=["psnr"], out=tmp_path)
    assert len(found.table) == 2
    assert not (tmp_path / OWNER).exists()


def test_nothing_but_the_lock_needs_fcntl() -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None; import affectbench.run.session, affectbench.api"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def dead() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_killed_process_leaves_a_file_that_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_system_lock(monkeypatch)
    (tmp_path / OWNER).write_text(f"process {dead()} on {socket.gethostname()}\n0123\n")
    with locked(tmp_path):
        assert (tmp_path / OWNER).read_text().startswith(HERE)
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]


@pytest.mark.parametrize(
    "text", ["process 1 on {host}\n0\n", "process {dead} on elsewhere\n0\n", "", "process\n", "\0"]
)
def test_a_file_that_may_be_of_a_living_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    no_system_lock(monkeypatch)
    path = tmp_path / OWNER
    path.write_text(text.format(host=socket.gethostname(), dead=dead()))
    before = path.read_bytes()
    with (
        pytest.raises(BusyError, match=f"if that process is gone, delete {path}"),
        locked(tmp_path),
    ):
        pass
    assert path.read_bytes() == before


def test_two_processes_that_find_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faster one keeps the folder, though the other saw the dead one's file before."""
    no_system_lock(monkeypatch)
    path = tmp_path / OWNER
    left = f"process {dead()} on {socket.gethostname()}\n0123\n"
    path.write_text(left)
    left_over = lock._is_left_over

    def faster(text: str) -> bool:
        path.write_text(f"process 1 on {socket.gethostname()}\nfast\n")
        return left_over(text)

    monkeypatch.setattr(lock, "_is_left_over", faster)
    with pytest.raises(BusyError), locked(tmp_path):
        pass
    assert path.read_text().endswith("fast\n")


def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot be used"), locked(tmp_path / "file"):
            pass
        no_system_lock(monkeypatch)
