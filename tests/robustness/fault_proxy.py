"""A proxy in front of the embedded AWS that fails as AWS does: it turns calls away, or loses the call or its answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

# What AWS answers in trouble, by the name of the error.
STATUS = {"SlowDown": 503, "InternalError": 500, "InternalFailure": 500, "ThrottlingException": 400, "Throttling": 400}
# What happens to the connection instead: it breaks before the call arrives, within it, after it, within the answer.
BROKEN = ("call lost", "call cut off", "answer lost", "answer cut off")


@dataclass
class Fault:
    """Some calls that fail, and how many came."""

    service: str
    operation: str  # of S3 the HTTP method
    how: tuple[str, ...]  # what happens to the first call, the second and so on: keys of STATUS or some of BROKEN
    always: bool  # whether all later ones fail too, as the last of these
    about: str  # only calls with this in their path or body
    met: int = field(default=0, init=False)  # calls that came, those that were let through too

    def next(self) -> str:
        """Return what happens to one more call."""
        self.met += 1
        if self.met > len(self.how):
            return self.how[-1] if self.always else ""
        return self.how[self.met - 1]


class FaultProxy:
    """Passes every call on to ``endpoint`` as it is, but for those that are to fail."""

    def __init__(self, endpoint: str) -> None:
        self.upstream = urlsplit(endpoint).netloc
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()

    @contextlib.contextmanager
    def failing(
        self, service: str, operation: str, *how: str, always: bool = False, about: str = ""
    ) -> Iterator[Fault]:
        """Have some calls fail while the block runs; without ``how`` only count them."""
        assert set(how) <= {*STATUS, *BROKEN}
        fault = Fault(service, operation, how, always, about)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def write_config(self, original: Path, copy: Path) -> None:
        """Copy an AWS config file so that its profiles lead through this proxy."""
        copy.write_text(original.read_text().replace(f"http://{self.upstream}", self.endpoint))

    def verdict(self, service: str, operation: str, text: str) -> str:
        """Return how a call is to fail, or nothing."""
        with self.lock:
            fits = [each for each in self.faults if (each.service, each.operation) == (service, operation)]
            return next(filter(None, [each.next() for each in fits if each.about in text]), "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of connections that we broke ourselves."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def answer(self) -> None:
        """Pass one call on, or let it fail."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", self.headers.get("Authorization", ""))
        service = scope[1] if scope else ""
        text = f"{self.path} {body.decode(errors='replace')}"
        how = self.proxy.verdict(service, self._operation(service, body), text)
        if how in STATUS:
            return self._refuse(service, how)
        if how == "call lost":
            return self._hang_up()
        if how == "call cut off":
            self._pass_on(body, half=True)
            return self._hang_up()
        status, headers, content = self._pass_on(body)
        if how == "answer lost":
            return self._hang_up()
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        told = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", told)
        self.end_headers()
        if how == "answer cut off":
            self.wfile.write(content[: len(content) // 2])
            return self._hang_up()
        self.wfile.write(content)
        return None

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def _operation(self, service: str, body: bytes) -> str:
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        if service != "s3" and (action := parse_qs(body.decode(errors="replace")).get("Action")):
            return action[0]
        return self.command

    def _pass_on(self, body: bytes, *, half: bool = False) -> tuple[int, list[tuple[str, str]], bytes]:
        with contextlib.closing(http.client.HTTPConnection(self.proxy.upstream, timeout=60)) as upstream:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                # The host is part of the signature, so it stays. What a job has signed, it has signed for the
                # embedded AWS itself; the server only passes that on.
                proof = name.lower() == "host" and "X-Fl-Nonce" in self.headers
                if name.lower() != "expect":
                    upstream.putheader(name, self.proxy.upstream if proof else value)
            upstream.endheaders(body[: len(body) // 2] if half else body)
            if half:
                return 0, [], b""
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _refuse(self, service: str, code: str) -> None:
        """Answer with an error in the service's own format."""
        if "X-Amz-Target" in self.headers:
            text, kind = json.dumps({"__type": code, "message": "told by the test"}), "application/x-amz-json-1.1"
        else:
            text, kind = f"<Error><Code>{code}</Code><Message>told by the test</Message></Error>", "application/xml"
            text = text if service == "s3" else f"<ErrorResponse>{text}</ErrorResponse>"
        self.send_response_only(STATUS[code])
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
