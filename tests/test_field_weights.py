"""Weights that do not ship: hostile pickles, where files are looked for, and downloads."""

from __future__ import annotations

import copyreg
import hashlib
import http.server
import io
import os
import pickle
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pickle_baits import Reduced, Stateful
from torch import nn

from affectbench.assets import cache_folder, fetch, first_use_sha256
from affectbench.errors import StorageError, WeightsError
from affectbench.judges.catalogue import ENTRIES
from affectbench.judges.field.inert import read_module
from affectbench.judges.field.locate import PublishedFile, find_weights

# Hostile pickles


class Nested:
    """Runs a command in a load within the load."""

    def __init__(self, canary: Path) -> None:
        inner = io.BytesIO()
        torch.save(Reduced(canary), inner)
        self.content = inner.getvalue()

    def __reduce__(self) -> object:
        return _unsafe_load, (self.content,)


def _unsafe_load(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=False)


class Small(nn.Module):
    """Two layers, and whatever else is to go into the file."""

    def __init__(self, extra: object = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4, eps=0.5)
        self.extra = extra


def _as_parameter(bait: object) -> nn.Module:
    module = Small()
    module.conv._parameters["weight"] = bait
    return module


def _as_layer(bait: object) -> nn.Module:
    module = Small()
    module._modules["conv"] = bait
    return module


BAITS: dict[str, Callable[[Path], object]] = {
    "reduce": Reduced,
    "state": Stateful,
    "nested load": Nested,
    "reduce as parameter": lambda canary: _as_parameter(Reduced(canary)),
    "nested load as parameter": lambda canary: _as_parameter(Nested(canary)),
    "state as layer": lambda canary: _as_layer(Stateful(canary)),
    "reduce as layer": lambda canary: _as_layer(Reduced(canary)),
    "entries": lambda canary: OrderedDict(weight=Reduced(canary)),
}


@pytest.mark.parametrize("name", BAITS)
def test_baits_run_nothing_and_are_refused(tmp_path, name):
    canary, path = tmp_path / "canary", tmp_path / "bait.pt"
    torch.save(BAITS[name](canary), path)
    with pytest.raises(WeightsError, match="nothing in it was run"):
        read_module(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)
    assert canary.exists()  # the bait works


def test_a_bait_beside_the_weights_is_not_run_either(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "bait.pt"
    module = Small([Reduced(canary), Nested(canary), Stateful(canary)])
    torch.save(module, path)
    tensors = read_module(path).tensors
    assert not canary.exists()
    assert {k: v.tolist() for k, v in tensors.items()} == {
        k: v.tolist() for k, v in module.state_dict().items()
    }


def _archive(path: Path, program: bytes, storages: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def _module(weight: bytes) -> bytes:
    """A pickle of a module with one parameter, which is what the opcodes `weight` leave."""
    return (
        b"\x80\x02cm\nM\n)\x81}(X\x0b\x00\x00\x00_parameters}X\x06\x00\x00\x00weight"
        + weight
        + b"sX\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}ub."
    )


def _tensor(kind: bytes = b"ctorch\nFloatStorage\n", **fields: bytes) -> bytes:
    """Opcodes of a tensor of four floats; fields replace parts of it."""
    stored = b"(X\x07\x00\x00\x00storage" + kind + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    storage = fields.get("storage", stored)
    offset, shape = fields.get("offset", b"K\x00"), fields.get("shape", b"(K\x04t")
    strides = fields.get("strides", b"(K\x01t")
    rest = offset + shape + strides + b"\x89)tR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest


FOUR = torch.arange(4.0).numpy().tobytes()


def test_the_hand_made_module_is_read(tmp_path):
    path = _archive(tmp_path / "good.pt", _module(_tensor()), {"0": FOUR})
    assert read_module(path).tensors["weight"].tolist() == [0.0, 1.0, 2.0, 3.0]


HOSTILE = {
    "global as storage type": _tensor(b"cos\nsystem\n"),
    "global called as storage type": _tensor(b"cos\nsystem\n(X\x06\x00\x00\x00canarytR"),
    "persistent id that is a global": b"cos\nsystem\nQ",
    "persistent id of another kind": b"(X\x06\x00\x00\x00modulecos\nsystem\nNNNtQ",
    "storage type that is called": b"ctorch\nFloatStorage\n(K\x04tR",
    "storage type given a state": _tensor(b"ctorch\nFloatStorage\n}b"),
    "rebuild function given a state": b"ctorch._utils\n_rebuild_tensor_v2\n}b",
    "class given a state": b"cos\nsystem\n}b",
    "tensor of something else": _tensor(storage=b"cos\nsystem\n"),
    "beyond the storage": _tensor(offset=b"K\x01"),
    "strides beyond the storage": _tensor(strides=b"(K\x02t"),
    "negative offset": _tensor(offset=b"J\xff\xff\xff\xff"),
    "larger than the storage": _tensor(shape=b"(J\xff\xff\xff\x7ft", strides=b"(K\x00t"),
    "size that is a global": _tensor(shape=b"cos\nsystem\n"),
    "storage that is not there": _tensor().replace(b"\x000X", b"\x007X"),
    "storage of another size": _tensor(b"ctorch\nDoubleStorage\n"),
}
REASONS = {
    "global as storage type": "storage of an unknown type",
    "global called as storage type": "storage of an unknown type",
    "persistent id that is a global": "not a storage",
    "persistent id of another kind": "not a storage",
    "storage type that is called": "not callable",
    "storage type given a state": "sets the state",
    "rebuild function given a state": "sets the state",
    "tensor of something else": "made of something else",
    "beyond the storage": "reaches beyond",
    "strides beyond the storage": "reaches beyond",
    "negative offset": "not a whole number",
    "larger than the storage": "larger than its storage",
    "size that is a global": "not a whole number",
    "storage that is not there": "storage '7' has not 16 bytes",
    "storage of another size": "storage '0' has not 32 bytes",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hand_made_hostile_pickles_are_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("os.system was called"))
    path = _archive(tmp_path / "hostile.pt", _module(HOSTILE[name]), {"0": FOUR})
    with pytest.raises(WeightsError, match="nothing in it was run") as caught:
        read_module(path)
    assert REASONS.get(name, "") in str(caught.value)


def test_extension_codes_are_refused(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    call = b"\x82\xf0X" + len(f"touch '{canary}'").to_bytes(4, "little")
    call += f"touch '{canary}'".encode() + b"\x85R"
    copyreg.add_extension("os", "system", 240)
    try:
        pickle.loads(b"\x80\x02" + b"\x82\xf0.")  # from now on the code gives os.system itself
        with pytest.raises(WeightsError, match="extension codes"):
            read_module(_archive(tmp_path / "e.pt", _module(call), {}))
    finally:
        copyreg.remove_extension("os", "system", 240)
    assert not canary.exists()


def test_layers_that_hold_each_other_are_refused(tmp_path):
    loop = Small()
    loop._modules["again"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    with pytest.raises(WeightsError):
        read_module(tmp_path / "loop.pt")
    many = Small()
    for _ in range(30):
        outer = Small()
        outer._modules["a"] = outer._modules["b"] = many
        many = outer
    torch.save(many, tmp_path / "many.pt")
    with pytest.raises(WeightsError, match="more than 10000 layers"):
        read_module(tmp_path / "many.pt")


def test_files_of_other_kinds_are_refused(tmp_path):
    module = Small()
    torch.save(module, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    _archive(tmp_path / "script.pt", _module(_tensor()), {"0": FOUR})
    with zipfile.ZipFile(tmp_path / "script.pt", "a") as archive:
        archive.writestr("archive/constants.pkl", b"")  # the mark of TorchScript
    _archive(tmp_path / "packed.pt", _module(_tensor()), {"0": FOUR})
    with zipfile.ZipFile(tmp_path / "packed.pt", "a") as archive:
        archive.writestr("archive/bomb", bytes(1000), zipfile.ZIP_DEFLATED)
    _archive(tmp_path / "big.pt", _module(_tensor()), {"0": FOUR})
    with zipfile.ZipFile(tmp_path / "big.pt", "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("nothing")
    torch.save(module, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    reasons = {
        "legacy": "before torch 1.6",
        "state": "not a module",
        "script": "TorchScript",
        "packed": "is compressed",
        "big": "big-endian",
        "empty": "is no zip archive",
        "text": "is no zip archive",
        "cut": "is damaged",
        "missing": "cannot be read",
    }
    for name, reason in reasons.items():
        with pytest.raises(WeightsError, match=reason) as caught:
            read_module(tmp_path / f"{name}.pt")
        assert f"{name}.pt" in str(caught.value)


def test_tensors_and_settings_are_those_of_the_module(tmp_path):
    module = Small()
    module.half = nn.Linear(2, 3).half()
    module.conv.weight.data = module.conv.weight.data.transpose(2, 3)  # not contiguous
    module.shared = module.conv
    torch.save(module, tmp_path / "m.pt")
    read = read_module(tmp_path / "m.pt")
    expected = module.state_dict()
    assert set(read.tensors) == set(expected)
    assert all(torch.equal(read.tensors[k], v) for k, v in expected.items())
    assert all(read.tensors[k].dtype == v.dtype for k, v in expected.items())
    assert read.settings["norm"]["eps"] == 0.5
    assert read.settings["conv"]["stride"] == (2, 2)


# Where files are looked for

CONTENT = b"\0standin weights" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """A server of stand-in weights on a free port, which notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        broken = self.path == "/broken"
        self.send_header("Content-Length", str(len(CONTENT) + (1 if broken else 0)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home folder of its own for each test, and no settings of the user."""
    for name in ("CACHE", "OFFLINE", "HSEMOTION_DIR"):
        monkeypatch.delenv(f"AFFECTBENCH_{name}", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(home / "cache"))
    return home


def _write(path: Path, content: bytes) -> tuple[Path, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_the_order_of_places(home, server, monkeypatch):
    source = PublishedFile("w.pt", f"{server.address}/w.pt", "hsemotion")
    found = _write(home / ".emotiefflib" / "w.pt", b"c")
    assert find_weights(source) == found
    found = _write(home / ".hsemotion" / "w.pt", b"b")
    assert find_weights(source) == found
    found = _write(home / "cache" / "judges" / "w.pt", b"a")
    assert find_weights(source) == found
    found = _write(home / "mine" / "w.pt", b"m")
    monkeypatch.setenv("AFFECTBENCH_HSEMOTION_DIR", str(home / "mine"))
    assert find_weights(source) == found
    assert server.asked == []


def test_a_download_is_kept_and_its_hash_noted(home, server, monkeypatch):
    source = PublishedFile("w.pt", f"{server.address}/w.pt", "hsemotion")
    path = home / "cache" / "judges" / "w.pt"
    assert find_weights(source) == (path, SHA256)
    assert path.read_bytes() == CONTENT
    monkeypatch.setenv("AFFECTBENCH_OFFLINE", "1")
    assert find_weights(source) == (path, SHA256)
    assert server.asked == ["/w.pt"]
    path.write_bytes(b"changed")
    with pytest.raises(WeightsError, match=f"was {SHA256} on first use"):
        find_weights(source)


def test_offline_the_error_says_what_to_do(home, server, monkeypatch):
    monkeypatch.setenv("AFFECTBENCH_OFFLINE", "1")
    source = PublishedFile("w.onnx", f"{server.address}/w.onnx", "emotieff", SHA256, len(CONTENT))
    with pytest.raises(WeightsError) as caught:
        find_weights(source)
    for part in (
        "w.onnx is not on this machine",
        source.origin,
        str(home / "cache" / "judges" / "w.onnx"),
        "affectbench[emotieff]",
        "AFFECTBENCH_HSEMOTION_DIR",
    ):
        assert part in str(caught.value)
    assert server.asked == []


def test_the_plugins_ask_for_their_file_by_its_name(monkeypatch):
    monkeypatch.setenv("AFFECTBENCH_OFFLINE", "1")
    plugin = ENTRIES["emotieff-enet-b2-7"].plugin
    for ask in (plugin.found, lambda: plugin.load(torch.device("cpu"))):
        with pytest.raises(WeightsError, match=r"enet_b2_7\.onnx is not on this machine"):
            ask()


def test_the_cache_folder_is_where_the_platform_has_it(home, monkeypatch):
    assert cache_folder() == home / "cache"
    monkeypatch.delenv("AFFECTBENCH_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == home / ".cache" / "affectbench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert cache_folder() == home / "xdg" / "affectbench"


# Downloads


def test_a_pinned_file_is_fetched_with_progress(tmp_path, server):
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "w.pt"
    digest = fetch(
        f"{server.address}/w.pt",
        target,
        SHA256,
        len(CONTENT),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert digest == SHA256 == first_use_sha256(target)
    assert target.read_bytes() == CONTENT
    assert seen == [(len(CONTENT), len(CONTENT))]


@pytest.mark.parametrize(
    ("path", "sha256", "size", "message"),
    [
        ("/w.pt", "0" * 64, None, "SHA-256 of what it gave"),
        ("/w.pt", None, len(CONTENT) + 1, "not the 1601"),
        ("/w.pt", None, len(CONTENT) - 1, "more than the 1599 bytes"),
        ("/missing", None, None, "404"),
        ("/broken", None, None, "after 1600 of 1601 bytes"),
    ],
)
def test_what_is_not_the_file_is_not_kept(tmp_path, server, path, sha256, size, message):
    folder = tmp_path / "target"
    folder.mkdir()
    with pytest.raises(WeightsError, match=message):
        fetch(server.address + path, folder / "w.pt", sha256, size)
    assert list(folder.iterdir()) == []


def test_an_earlier_file_survives_a_failed_download(tmp_path, server):
    target = tmp_path / "w.pt"
    target.write_bytes(b"earlier")
    with pytest.raises(WeightsError):
        fetch(f"{server.address}/w.pt", target, "0" * 64)
    assert target.read_bytes() == b"earlier"


def test_addresses_and_targets_that_cannot_be(tmp_path, server):
    with pytest.raises(WeightsError, match="not an http"):
        fetch(f"file://{tmp_path}/w.pt", tmp_path / "copy.pt")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        fetch(f"{server.address}/w.pt", tmp_path / "file" / "w.pt")
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        fetch("http://127.0.0.1:1/w.pt", tmp_path / "w.pt", hint="hint")
