"""The front of a cluster: https on loopback, a thread for each connection, bearer tokens for users."""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from embedded_aws.kubernetes.api import Api, Authenticate
from embedded_aws.kubernetes.messages import Request, Response
from embedded_aws.kubernetes.refusals import Refusal

_log = logging.getLogger(__name__)
LARGEST = 3 * 1024 * 1024  # bytes of a body, as with the real one
_HANDSHAKE, _QUIET = 10, 300  # seconds that a client may take for it, and be silent between requests
_PATIENCE = 10  # seconds for a thread that reads a log to see that its client has gone


class Server:
    """Serves an API until it is closed.

    Parameters
    ----------
    api : Api
    authenticate : callable
        Returns the user of a bearer token, or None.
    context : ssl.SSLContext
        With the server's certificate.
    at : socket, optional
        That listens; by default one on loopback, at any port that is free.
    """

    def __init__(
        self, api: Api, authenticate: Authenticate, context: ssl.SSLContext, *, at: socket.socket | None = None
    ) -> None:
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closing = False
        at = at or socket.create_server(("127.0.0.1", 0), backlog=64)
        self._server = _Listener(at.getsockname(), self._handler(api, authenticate), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = at
        self._server.owner, self._server.context = self, context
        self.port: int = at.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=f"kubernetes-{self.port}")
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        """End every connection and the threads that serve them."""
        self._closing = True
        self._server.shutdown()
        with self._lock:
            connections = [*self._open]
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def note(self, connection: socket.socket, *, there: bool) -> None:
        """Keep in mind which connections there are."""
        with self._lock:
            (self._open.add if there else self._open.discard)(connection)
        if there and self._closing:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def track(self, thread: threading.Thread) -> None:
        """Keep in mind a thread that serves a connection."""
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    @property
    def closing(self) -> bool:
        """Whether it is about to end."""
        return self._closing

    def _handler(self, api: Api, authenticate: Authenticate) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"api": api, "authenticate": staticmethod(authenticate)})


class _Listener(ThreadingHTTPServer):
    owner: Server
    context: ssl.SSLContext

    def process_request(self, request: Any, client_address: Any) -> None:
        # Daemons, so that a process that forgets to close ends all the same; closing waits for them.
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self.owner.track(thread)
        thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a client that says nothing holds up nobody else.
        request.settimeout(_HANDSHAKE)
        self.owner.note(request, there=True)
        try:
            secure = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        except OSError:
            self.owner.note(request, there=False)
            return
        self.owner.note(secure, there=True)
        self.owner.note(request, there=False)
        try:
            secure.do_handshake()
            secure.settimeout(_QUIET)
            self.RequestHandlerClass(secure, client_address, self)
        except (OSError, ValueError):
            pass  # the client has gone, or is none
        finally:
            self.owner.note(secure, there=False)
            with contextlib.suppress(OSError):
                secure.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.exception("a request to the cluster has failed")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "kubernetes", ""
    disable_nagle_algorithm = True
    wbufsize = -1
    api: Api
    authenticate: Authenticate
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)

    def _serve(self) -> None:
        try:
            response = self._response()
        except Refusal as refusal:
            self.close_connection = True  # what is left of the body is not read
            headers = {"Content-Type": "application/json"}
            response = Response(refusal.code, json.dumps(refusal.status()).encode(), headers)
        except OSError:
            raise
        except Exception:
            _log.exception("%s %s", self.command, self.path)
            refusal = Refusal(500, "Internal error occurred: the embedded cluster's log says more")
            headers = {"Content-Type": "application/json"}
            response = Response(500, json.dumps(refusal.status()).encode(), headers)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.server.owner.closing:
            self.send_header("Connection", "close")
        if isinstance(response.body, bytes):
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)
            self.wfile.flush()
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            self._pieces(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _response(self) -> Response:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunked()
        else:
            length = self.headers.get("Content-Length") or "0"
            if not length.isdigit():
                raise Refusal(400, "a Content-Length that is no number")
            if int(length) > LARGEST:
                raise Refusal(413, f"Request entity too large: limit is {LARGEST}")
            body = self.rfile.read(int(length))
        url = urlsplit(self.path)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        user = self.authenticate(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
        request = Request(
            self.command,
            unquote(url.path),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            body,
            user,
        )
        return self.api.answer(request)

    def _chunked(self) -> bytes:
        body = b""
        while True:
            size = self.rfile.readline(64).strip().partition(b";")[0]
            try:
                many = int(size, 16)
            except ValueError:
                raise Refusal(400, "a chunk without its size") from None
            if len(body) + many > LARGEST:
                raise Refusal(413, f"Request entity too large: limit is {LARGEST}")
            if many == 0:
                while self.rfile.readline(1024).strip():
                    pass
                return body
            body += self.rfile.read(many)
            self.rfile.readline(8)

    def _pieces(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                if self.server.owner.closing or self._gone():
                    self.close_connection = True
                    return
                if piece:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()  # whoever reads a log is told that nobody listens any more

    def _gone(self) -> bool:
        """Tell whether the client of a watch has hung up: it has nothing to say while it listens."""
        connection = self.connection
        pending = getattr(connection, "pending", lambda: 0)
        if not pending() and not select.select([connection], [], [], 0)[0]:
            return False
        connection.settimeout(0)
        try:
            return connection.recv(1) == b""
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            with contextlib.suppress(OSError):
                connection.settimeout(_QUIET)
