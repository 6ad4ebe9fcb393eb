"""Credentials in a container: an agent beside it hands them out, and may be busy when it is first asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from client_code import identity

GIVEN = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}


@pytest.fixture
def beside(monkeypatch):
    """Return a list of statuses with which the agent answers first; then it hands credentials out."""
    first = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status = first.pop(0) if first else 200
            body = json.dumps(GIVEN).encode() if status == 200 else b"busy"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/v1/credentials")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.01)
    identity.own_session.cache_clear()
    yield first
    identity.own_session.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()


def test_credentials_that_come_late_are_waited_for(beside, monkeypatch):
    monkeypatch.setattr(identity, "PAUSES", (0.01, 0.01))
    beside += [503] * 7  # more than botocore asks for, twice
    assert identity.own_session().get_credentials().access_key == "ASIAEXAMPLE"
    assert beside == []
    beside += [503] * 50
    assert identity.own_session().get_credentials().access_key == "ASIAEXAMPLE"  # nobody is asked once more


def test_credentials_that_never_come_are_told_in_a_line(beside, monkeypatch):
    monkeypatch.setattr(identity, "PAUSES", (0.01,))
    beside += [503] * 50
    with pytest.raises(identity.NoIdentity, match="whoever hands out the role's credentials does not answer"):
        identity.own_session()
