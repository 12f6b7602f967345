"""Servers that never finish, and pages that are no weights. All of them run on this machine."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from affectbench.assets import download
from affectbench.assets.download import fetch
from affectbench.errors import WeightsError

PAGES = {
    "/login": b"<!DOCTYPE html>\n<html><title>Sign in</title></html>",
    "/error.json": b'{"error": "not authorised"}',
    "/pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "/empty": b"",
    "/utf8": "<p>Bitte anmelden: Gr\u00fc\u00dfe</p>".encode(),
}


class _Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            self._answer()

    def _answer(self) -> None:
        if self.path in PAGES:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGES[self.path])
            return
        if self.path == "/headers":
            for byte in b"HTTP/1.0 200 OK\r\nX: " + b"a" * 200:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
            return
        self.send_response(200)
        self.end_headers()
        block, pause = (b"\0", 0.05) if self.path == "/drips" else (b"\0" * 1000, 0.02)
        for _ in range(200 if self.path == "/drips" else 40):
            self.wfile.write(block)
            time.sleep(pause)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AFFECTBENCH_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "TIMEOUT", 0.4)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as running:
        running.daemon_threads = True
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("path", "reason"), [("/drips", "too slow: "), ("/headers", "no answer within")]
)
def test_a_download_that_drips_is_given_up(path, reason, address, tmp_path):
    began = time.monotonic()
    with pytest.raises(WeightsError, match=reason):
        fetch(address + path, tmp_path / "w.pth")
    assert time.monotonic() - began < 5
    assert not list(tmp_path.iterdir())


def test_a_slow_but_steady_download_is_kept(address, tmp_path):
    fetch(address + "/steady", tmp_path / "w.pth")
    assert (tmp_path / "w.pth").stat().st_size == 40_000


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_not_taken_for_weights(page, address, tmp_path):
    with pytest.raises(WeightsError, match="gave no weights but a text"):
        fetch(address + page, tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


def test_the_message_shows_how_the_text_begins(address, tmp_path: Path):
    with pytest.raises(WeightsError, match="'<!DOCTYPE html>'"):
        fetch(address + "/login", tmp_path / "w.pth")
