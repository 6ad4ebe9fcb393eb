"""The server process: moto with this kit's backends on a free port of 127.0.0.1, until it is told to end.

``python -m embedded_aws.server HOME N_CLIENTS [PARENT_PID [LIFELINE_FD]]``, in an environment made by ``control``. It
ends with its parent, in whatever way that ends, and with the end of the lifeline; ``PARENT_PID`` 0 means that it stays.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from moto.core.request import Request
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Response

from embedded_aws import PARENT, answers, bodies, control, models, profiles, quotas
from embedded_aws.iam import calls, handover, isolation, kms_states, names, signature
from embedded_aws.iam.gate import Endpoint, Gate, Incoming
from embedded_aws.iam.policy import Policy
from embedded_aws.iam.refusals import Refused
from embedded_aws.jobs import folders, forkserver, process, training
from embedded_aws.network.switchboard import WIRES, Switchboard
from embedded_aws.stacks import requests as stacks

PARENT_SECONDS = 0.5
CLIENT_SECONDS = 60.0  # for a client's next bytes
# What clients send as it is in a path and its query; the rest comes percent-encoded.
_TARGET = re.compile(r"/(?!/)[\w.~%!$&'()*+,:=@/-]*(\?[\w.~%!$&'()*+,:=@/?-]*)?", re.ASCII)
# What an endpoint without a policy of its own allows.
EVERYBODY = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
log = logging.getLogger(__name__)


class Application:
    """moto's dispatcher behind the gate, with a health page, and without the ways around account boundaries."""

    def __init__(self, health: dict[str, Any], gate: Gate) -> None:
        self._moto = DomainDispatcherApplication(_service)
        self._health = health
        self._gate = gate

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path == control.HEALTH:
            return Response(json.dumps(self._health), mimetype="application/json")(environ, start_response)
        if path.startswith(("/moto-api", "/latest/")):  # reset and seed everything; instance metadata
            return Response("not here", status=404)(environ, start_response)
        incoming = _incoming(environ)
        if incoming.headers.get("host", "").partition(":")[0] not in names.OWN:
            # moto would take a bucket's name from it, where the gate reads the path; and no web page may get here.
            return Response("not here", status=404)(environ, start_response)
        if not _TARGET.fullmatch(environ["RAW_URI"]):
            # The gate, the server and moto would each read another path out of it.
            return Response("a path must be encoded, and start with one slash", status=400)(environ, start_response)
        try:
            handover.hand_over(environ, self._gate.admit(incoming))
        except Refused as refused:
            return refused.response(_protocol(incoming))(environ, start_response)
        try:
            return self._moto(environ, start_response)
        finally:
            bodies.forget(environ)


def _incoming(environ: dict[str, Any]) -> Incoming:
    """Read a request."""
    request = Request(environ)
    body = bodies.read(request)
    path, _, query = environ["RAW_URI"].partition("?")
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Incoming(request.method, path, query, headers, body)


def _protocol(incoming: Incoming) -> str:
    try:
        return calls.protocol_of(signature.read(incoming.headers, incoming.query).service)
    except signature.SignatureError:
        return "json" if "x-amz-target" in incoming.headers else "query"


class QuietHandler(MotoRequestHandler):
    """No line per request, and no thread for ever for a client that says nothing."""

    timeout = CLIENT_SECONDS

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _service(name: str) -> Flask:
    app = stacks.application() if name == "cloudformation" else create_backend_app(name)
    app.debug = False  # an error is logged once and answered as a 500
    app.register_error_handler(NotImplementedError, lambda error: _not_implemented(name, error))
    return app


def _not_implemented(service: str, error: NotImplementedError) -> Response:
    """Answer 501, which boto3 does not try again, in the service's own words."""
    message = f"the embedded AWS does not do this: {error or service}"
    return answers.error(calls.protocol_of(service), "NotImplemented", message, status=501)


def main(argv: list[str]) -> int:
    """Serve until SIGTERM, SIGINT, the end of the lifeline or of the parent."""
    files, n_clients = control.Files(Path(argv[0])), int(argv[1])
    parent = int(argv[2]) if len(argv) > 2 else PARENT
    lifeline = int(argv[3]) if len(argv) > 3 else None
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = control.take_lock(files, patience=control.LOCK_SECONDS)
    if lock is None:
        print(f"an embedded AWS runs for {files.home} already (see {files.record})", file=sys.stderr)
        return 1
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    folders.remove(files.jobs)  # left by a server that was killed
    forkserver.adopt_orphans()  # of jobs whose supervisor is killed
    wake = _on_signals()
    server = _serve(files, n_clients)
    try:
        _wait(wake, lifeline=lifeline, parent=parent)
    finally:
        process.kill_all()
        files.record.unlink(missing_ok=True)
        files.config.unlink(missing_ok=True)
        folders.remove(files.jobs)
        server.socket.close()
    # Request and job threads need no good-bye, and would delay the end.
    sys.stderr.flush()
    os._exit(0)


def _serve(files: control.Files, n_clients: int) -> BaseWSGIServer:
    health = {"pid": os.getpid(), "started": time.time(), "token": secrets.token_hex(16)}
    network = Switchboard(WIRES[control.network_mode()])
    gate = Gate(partial(_way, network))
    server = make_server("127.0.0.1", 0, Application(health, gate), threaded=True, request_handler=QuietHandler)
    endpoint = f"http://{names.IN_A_VPC}:{server.server_port}"
    isolation.install(gate.trail)
    handover.install()
    bodies.install()
    models.forget_offerings()
    kms_states.install()
    quotas.install()
    network.wires.start(partial(_serve_at, server.app), server.server_port)
    training.install(training.Settings(jobs=files.jobs, endpoint=endpoint, network=network))
    stacks.install(endpoint)
    keys = {name: profiles.create_admin(account) for name, account in profiles.accounts(n_clients).items()}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    outside = f"http://{names.OUTSIDE}:{server.server_port}"
    profiles.write_private(files.config, profiles.config(keys, endpoint=outside, instance=secrets.token_hex(8)))
    record = {**health, "port": server.server_port, "namespace": network.wires.path}
    profiles.write_private(files.record, json.dumps(record))
    threading.Thread(target=_warm_up, args=keys["server"], daemon=True).start()
    return server


def _way(network: Switchboard, access_key_id: str, service: str) -> Endpoint | None:
    """Find the VPC endpoint through which a job's calls come; AWS would let a call time out that finds none."""
    verdict = network.endpoint(access_key_id, service)
    if verdict is None:
        return None
    if not verdict.allowed:
        raise Refused("unreachable", f"from this job's network {service} is not reached: {verdict.reason}")
    if verdict.endpoint is None:  # through a NAT gateway
        return None
    policy = Policy.of(f"policy of {verdict.endpoint.id}", verdict.endpoint.policy or EVERYBODY)
    policy = replace(policy, root_only=verdict.endpoint.kind == "Gateway")
    about = {"aws:sourcevpce": (verdict.endpoint.id,), "aws:sourcevpc": (verdict.endpoint.vpc,)}
    return Endpoint(policy, about)


def _serve_at(application: Application, at: socket.socket) -> Callable[[], None]:
    """Serve at one more socket, such as one of a network namespace; return what ends that."""
    port = at.getsockname()[1]
    with at:  # the server has a copy
        more = make_server("127.0.0.1", port, application, threaded=True, request_handler=QuietHandler, fd=at.fileno())
    threading.Thread(target=more.serve_forever, daemon=True).start()
    # It would wait for the server's next look around.
    return lambda: threading.Thread(target=more.shutdown, daemon=True).start()


def _warm_up(key: str, secret: str) -> None:
    """Load what the first job and the first stack would wait for."""
    credentials = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": ""}
    backend = training.sagemaker_backends[profiles.SERVER][profiles.REGION]
    backend.client("s3", credentials).list_buckets()
    backend.client("logs", credentials).describe_log_groups()
    models.service_model("sagemaker")


def _on_signals() -> int:
    """Return a pipe that becomes readable when this process is asked to end."""
    readable, writable = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: os.write(writable, b"."))
    return readable


def _wait(wake: int, *, lifeline: int | None, parent: int) -> None:
    watched = [wake] if lifeline is None else [wake, lifeline]
    while True:
        readable, _, _ = select.select(watched, [], [], PARENT_SECONDS if parent else None)
        if readable or (parent and os.getppid() != parent):
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
