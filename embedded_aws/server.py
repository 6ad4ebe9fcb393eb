"""The server process: moto with this kit's backends on a free port of 127.0.0.1, until it is told to end.

``python -m embedded_aws.server HOME N_CLIENTS [LIFELINE_FD PARENT_PID]``, in an environment made by ``control``.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import secrets
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from flask import Flask
from flask import request as flask_request
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Response

from embedded_aws import control, profiles
from embedded_aws.iam import isolation
from embedded_aws.jobs import process, training

PARENT_SECONDS = 0.5
_XML_ERRORS = {  # by service; every other XML service speaks the query protocol
    "s3": "<Error><Code>{0}</Code><Message>{1}</Message></Error>",
    "ec2": "<Response><Errors><Error><Code>{0}</Code><Message>{1}</Message></Error></Errors></Response>",
}
_QUERY_ERROR = "<ErrorResponse><Error><Code>{0}</Code><Message>{1}</Message></Error></ErrorResponse>"
log = logging.getLogger(__name__)


class Application:
    """moto's dispatcher with a health page, and without the ways around account boundaries."""

    def __init__(self, health: dict[str, Any]) -> None:
        self._moto = DomainDispatcherApplication(_service)
        self._health = health

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path == control.HEALTH:
            return Response(json.dumps(self._health), mimetype="application/json")(environ, start_response)
        if path.startswith(("/moto-api", "/latest/")):  # reset and seed everything; instance metadata
            return Response("not here", status=404)(environ, start_response)
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)  # would let anybody act in any account
        return self._moto(environ, start_response)


class QuietHandler(MotoRequestHandler):
    """No line per request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _service(name: str) -> Flask:
    if name == "cloudformation":
        _install_cloudformation()
    app = create_backend_app(name)
    app.debug = False  # an error is logged once and answered as a 500
    app.register_error_handler(NotImplementedError, lambda error: _not_implemented(name, error))
    return app


def _install_cloudformation() -> None:
    # Imported late: it imports every service of moto.
    importlib.import_module("embedded_aws.stacks.requests").install()


def _not_implemented(service: str, error: NotImplementedError) -> Response:
    """Answer 501, which boto3 does not try again, in the service's own words."""
    code, message = "NotImplemented", f"the embedded AWS does not do this: {error or service}"
    target = flask_request.headers.get("X-Amz-Target", "")
    form = flask_request.content_type or ""
    if service in _XML_ERRORS or "urlencoded" in form:
        text = _XML_ERRORS.get(service, _QUERY_ERROR).format(code, escape(message))
        return Response(text, status=501, mimetype="text/xml")
    headers = {"x-amzn-errortype": code}
    kind = "application/x-amz-json-1.1" if target else "application/json"
    return Response(json.dumps({"__type": code, "message": message}), 501, headers, content_type=kind)


def main(argv: list[str]) -> int:
    """Serve until SIGTERM, SIGINT, the end of the lifeline or of the parent."""
    files, n_clients = control.Files(Path(argv[0])), int(argv[1])
    lifeline, parent = (int(argv[2]), int(argv[3])) if len(argv) > 2 else (None, None)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = control.take_lock(files)
    if lock is None:
        print(f"an embedded AWS runs for {files.home} already (see {files.record})", file=sys.stderr)
        return 1
    shutil.rmtree(files.jobs, ignore_errors=True)  # left by a server that was killed
    wake = _on_signals()
    server = _serve(files, n_clients)
    try:
        _wait(wake, lifeline=lifeline, parent=parent)
    finally:
        process.kill_all()
        files.record.unlink(missing_ok=True)
        files.config.unlink(missing_ok=True)
        shutil.rmtree(files.jobs, ignore_errors=True)
        server.socket.close()
    # Request and job threads need no good-bye, and would delay the end.
    sys.stderr.flush()
    os._exit(0)


def _serve(files: control.Files, n_clients: int) -> BaseWSGIServer:
    health = {"pid": os.getpid(), "started": time.time(), "token": secrets.token_hex(16)}
    server = make_server("127.0.0.1", 0, Application(health), threaded=True, request_handler=QuietHandler)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    isolation.install()
    training.install(training.Settings(jobs=files.jobs, endpoint=endpoint))
    keys = {name: profiles.create_admin(account) for name, account in profiles.accounts(n_clients).items()}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profiles.write_private(files.config, profiles.config(keys, endpoint=endpoint))
    profiles.write_private(files.record, json.dumps({**health, "port": server.server_port}))
    threading.Thread(target=_warm_up, args=keys["server"], daemon=True).start()
    return server


def _warm_up(key: str, secret: str) -> None:
    """Load what the first job and the first stack would wait for."""
    credentials = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": ""}
    backend = training.sagemaker_backends[profiles.SERVER][profiles.REGION]
    backend.client("s3", credentials).list_buckets()
    backend.client("logs", credentials).describe_log_groups()
    training.complaint("sagemaker", "ListTrainingJobs", {})
    importlib.import_module("embedded_aws.stacks.requests")


def _on_signals() -> int:
    """Return a pipe that becomes readable when this process is asked to end."""
    readable, writable = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(writable, b"."))
    return readable


def _wait(wake: int, *, lifeline: int | None, parent: int | None) -> None:
    watched = [wake] if lifeline is None else [wake, lifeline]
    while True:
        readable, _, _ = select.select(watched, [], [], PARENT_SECONDS if parent else None)
        if readable or (parent and os.getppid() != parent):
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
