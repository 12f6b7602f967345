"""Small weights files that ask for deep recursion, an endless hash or all memory are refused.

The slow tests read each of them in a process of its own with limited memory: what is not refused
ends that process, not the tests.
"""

from __future__ import annotations

import io
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from affectbench.assets.pickle_limits import UnboundedPickle, require_bounded
from affectbench.assets.untrusted import read_weights
from affectbench.errors import WeightsError

DEEP_KEY = b"\x80\x02}" + b")" + b"\x85" * 150_000 + b"Ns."
DEEP_LIST = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
# t = ((), ()), then (t, t), and so on: 60 tuples whose hash visits 2 ** 60 objects.
SHARED_KEY = b"\x80\x02})" + b"".join(b"q%c0h%ch%c\x86" % (i, i, i) for i in range(60)) + b"Ns."
BIG_MEMO = b"\x80\x02Nr" + struct.pack("<I", 1 << 30) + b"."
BYTEARRAY = b"\x80\x02cbuiltins\nbytearray\nJ" + struct.pack("<i", 2**31 - 1) + b"\x85R."
FROZEN = b"\x80\x04}" + b"(" * 5_000 + b"N" + b"\x91" * 5_000 + b"Ns."
LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)

PROGRAMS = {
    "deep key": DEEP_KEY,
    "deep list": DEEP_LIST,
    "shared key": SHARED_KEY,
    "memo": BIG_MEMO,
    "bytearray": BYTEARRAY,
    "frozen set": FROZEN,
}


def _archive(path: Path, program: bytes, *, compressed: bool = False) -> Path:
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")
    return path


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))


def _errors(reader: str, paths: list[Path]) -> list[str]:
    """The error of a reader for each file, all in one process of its own."""
    module, _, name = reader.rpartition(".")
    code = (
        f"import sys\nfrom pathlib import Path\nfrom {module} import {name} as read\n"
        "from affectbench.errors import WeightsError\n"
        "for path in sys.argv[1:]:\n    try:\n        read(Path(path))\n"
        "    except WeightsError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=_limited,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_unbounded_pickle_is_refused_before_it_is_built(name):
    with pytest.raises(UnboundedPickle):
        require_bounded(PROGRAMS[name])


def test_a_deep_key_would_end_the_process(tmp_path):
    """The bait works: without the check, the process ends by a signal."""
    code = f"import pickle\npickle.loads({DEEP_KEY[:20]!r} + b'\\x85' * 500_000 + b'Ns.')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode < 0


def _plain(path: Path, program: bytes) -> Path:
    path.write_bytes(program)
    return path


def _legacy(path: Path, program: bytes) -> Path:
    return _plain(path, LEGACY + program)


READERS: dict[str, tuple[str, Callable[[Path, bytes], Path]]] = {
    "zip": ("affectbench.assets.untrusted.read_weights", _archive),
    "legacy": ("affectbench.assets.untrusted.read_weights", _legacy),
    "field": ("affectbench.judges.field.inert.read_module", _archive),
    "numpy": ("affectbench.assets.numpy_pickle.read_arrays", _plain),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_every_reader_refuses_them_and_lives(kind: str, tmp_path: Path):
    reader, write = READERS[kind]
    paths = [write(tmp_path / f"{name}.pth", program) for name, program in PROGRAMS.items()]
    errors = _errors(reader, paths)
    assert len(errors) == len(paths)
    for path, error in zip(paths, errors, strict=True):
        assert error.startswith(f"{path}: refused")
        assert len(error) < 300


@pytest.mark.parametrize("program", [DEEP_KEY, SHARED_KEY], ids=["deep", "shared"])
def test_weights_of_both_formats_name_the_file(program, tmp_path):
    legacy = tmp_path / "old.pth"
    legacy.write_bytes(LEGACY + program)
    for path in (_archive(tmp_path / "new.pth", program), legacy):
        with pytest.raises(WeightsError, match=rf"{path.name}: refused: .*Nothing of it was run"):
            read_weights(path)


def test_a_zip_bomb_is_refused(tmp_path):
    path = _archive(tmp_path / "w.pth", b"\x80\x02N." + b"\0" * (1 << 26), compressed=True)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(WeightsError, match="another kind than torch writes"):
        read_weights(path)


def test_two_programs_of_one_name_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        archive.writestr(name, DEEP_KEY)
    with pytest.raises(WeightsError, match="refused"):
        read_weights(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_many_large_tensors_of_one_small_storage(legacy, tmp_path):
    one = torch.zeros(1)
    views = {str(i): one.expand(1 << 20) for i in range(100)}
    torch.save(views, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=r"share storages.*\.clone\(\)"):
        read_weights(tmp_path / "w.pth")


def test_tied_weights_are_read(tmp_path):
    weight = torch.arange(6.0)
    torch.save({"a": weight, "b": weight, "c": weight.view(2, 3)}, tmp_path / "w.pth")
    read = read_weights(tmp_path / "w.pth")
    assert torch.equal(read["c"], weight.view(2, 3))
    assert read["a"].data_ptr() == read["b"].data_ptr()


def _nested(depth: int) -> object:
    found: object = (1,)
    for _ in range(depth):
        found = (found, {"a": [found]})
    return found


@pytest.mark.parametrize("protocol", range(6))
def test_a_usual_pickle_is_bounded_and_its_end_is_found(protocol):
    content = {"a": _nested(9), "b": {1, 2}, "c": b"x" * 300, "d": [1.5, None, True, 2**80]}
    program = pickle.dumps(content, protocol)
    stream = io.BytesIO(program * 3)
    pickle.load(stream)
    assert require_bounded(program * 3) == stream.tell()
    assert require_bounded(program * 3, 3) == len(program * 3)


def test_a_pickled_module_of_a_usual_size_is_bounded():
    layers: list[Callable[[], torch.nn.Module]] = [lambda: torch.nn.Conv2d(3, 3, 3)]
    network = torch.nn.Sequential(*(torch.nn.Sequential(make()) for make in layers * 300))
    require_bounded(pickle.dumps(network, 2))
