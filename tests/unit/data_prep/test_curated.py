"""Fetching the published table, against a small server on loopback."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_prep import curated, download

BODY = b"some,table\n1,2\n" * 20_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server():
    """Serve ``server.behaviour``: whole, other, short, missing or silent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            behaviour = listening.behaviour
            listening.asked += 1
            if behaviour == "missing":
                self.send_error(404)
                return
            body = BODY if behaviour != "other" else b"x" * len(BODY)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour == "silent":
                self.wfile.write(body[:100])
                listening.over.wait(20)  # until the test ends
            else:
                self.wfile.write(body[: len(body) // 2] if behaviour == "short" else body)

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.behaviour, listening.asked, listening.over = "whole", 0, threading.Event()
    listening.url = f"http://127.0.0.1:{listening.server_port}/table.csv"
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield listening
    listening.over.set()
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_the_table_is_fetched_once(server, tmp_path):
    path = curated.fetch(tmp_path / "cache", url=server.url, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert curated.fetch(tmp_path / "cache", url=server.url, sha256=SHA256) == path
    assert server.asked == 1


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ("other", "it is another file"),
        ("short", "ended after 150,000 of 300,000 bytes|connection failed"),
        ("missing", "answered 404"),
        ("silent", "connection failed"),
    ],
)
def test_a_download_that_fails_leaves_nothing_and_can_be_tried_again(server, tmp_path, behaviour, told):
    server.behaviour = behaviour
    with pytest.raises(download.DownloadError, match=told) as error:
        download.fetch(replace(curated.TABLE, url=server.url, sha256=SHA256), tmp_path / "table.csv", timeout=0.5)
    assert server.url in str(error.value)
    assert "give its path as DATA" in str(error.value)
    assert list(tmp_path.iterdir()) == []
    server.behaviour = "whole"
    assert curated.fetch(tmp_path, url=server.url, sha256=SHA256).read_bytes() == BODY


def test_a_cached_file_that_was_spoilt_is_fetched_again(server, tmp_path):
    path = curated.fetch(tmp_path, url=server.url, sha256=SHA256)
    path.write_bytes(BODY[:100])
    assert curated.fetch(tmp_path, url=server.url, sha256=SHA256).read_bytes() == BODY


def test_nobody_listening_is_said_so(tmp_path):
    with pytest.raises(download.DownloadError, match="connection failed"):
        curated.fetch(tmp_path, url="http://127.0.0.1:9/table.csv", sha256=SHA256)


def test_only_https_leaves_this_machine(tmp_path):
    for url in ("http://example.com/table.csv", "file:///etc/hostname"):
        with pytest.raises(download.DownloadError, match="only https"):
            curated.fetch(tmp_path, url=url, sha256=SHA256)


def test_the_published_checksum_is_that_of_the_real_table(real_table_path):
    assert download.checksum(real_table_path) == curated.TABLE.sha256
    assert real_table_path.stat().st_size == curated.TABLE.size
