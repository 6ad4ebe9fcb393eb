"""Web application: moto behind the gate, with this distribution's services in the place of moto's."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Flask
from moto.core.request import Request
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Response

from embedded_aws import accounts, answers, bodies, control, models, names, service, settings
from embedded_aws.gate import calls, handover, signature
from embedded_aws.gate.gate import Endpoint, Gate, Incoming
from embedded_aws.gate.refusals import Refused
from embedded_aws.policies.policy import Policy
from embedded_aws.services.cloudformation.record import CLOUDFORMATION
from embedded_aws.services.cloudtrail.record import CLOUDTRAIL
from embedded_aws.services.ec2 import snapshot
from embedded_aws.services.ec2.record import EC2
from embedded_aws.services.ec2.switchboard import WIRES, Switchboard
from embedded_aws.services.ecr import layers
from embedded_aws.services.ecr.record import ECR
from embedded_aws.services.eks.record import EKS
from embedded_aws.services.eksauth import agent
from embedded_aws.services.eksauth.record import EKS_AUTH
from embedded_aws.services.iam.record import IAM
from embedded_aws.services.kms.record import KMS
from embedded_aws.services.logs.record import LOGS
from embedded_aws.services.s3.record import S3
from embedded_aws.services.sagemaker import training
from embedded_aws.services.sagemaker.record import SAGEMAKER
from embedded_aws.services.sagemakerruntime.record import SAGEMAKER_RUNTIME
from embedded_aws.services.servicequotas.record import SERVICEQUOTAS
from embedded_aws.services.states.record import STATES
from embedded_aws.services.sts.record import STS

SERVICES = (
    CLOUDFORMATION, CLOUDTRAIL, EC2, ECR, EKS, EKS_AUTH, IAM, KMS, LOGS, S3, SAGEMAKER, SAGEMAKER_RUNTIME,
    SERVICEQUOTAS, STATES, STS,
)  # fmt: skip
# Pages for which an unguessable token is the signature: credentials of pods, and layers of images.
PAGES = {agent.PAGE: agent.serve, layers.PAGE: layers.serve}
# After any other call the network is looked at anew.
READING, BESIDE = ("Describe", "Get", "List"), frozenset({"s3", "logs", "sts"})
CLIENT_SECONDS = 60.0  # for a client's next bytes
# What clients send as it is in a path and its query; the rest comes percent-encoded.
_TARGET = re.compile(r"/(?!/)[\w.~%!$&'()*+,:=@/-]*(\?[\w.~%!$&'()*+,:=@/?-]*)?", re.ASCII)
# What an endpoint without a policy of its own allows.
EVERYBODY = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
log = logging.getLogger(__name__)


class Application:
    """moto's services behind the gate, with a health page, and without the ways around account boundaries.

    The gate knows which service is called. moto's own dispatcher would guess it from the request once more, and lists
    the folders of all its services to do so, one request at a time.
    """

    def __init__(self, health: dict[str, Any], gate: Gate) -> None:
        self._services: dict[str, Flask] = {}
        self._lock = threading.Lock()  # making one takes a while
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
        page = next((page for prefix, page in PAGES.items() if path.startswith(prefix)), None)
        if not _TARGET.fullmatch(environ["RAW_URI"]):
            # The gate, the server and moto would each read another path out of it.
            page = Response("a path must be encoded, and start with one slash", status=400)
        if page is not None:
            return page(environ, start_response)
        try:
            admitted = self._gate.admit(incoming)
        except Refused as refused:
            return refused.response(_protocol(incoming))(environ, start_response)
        handover.hand_over(environ, admitted)
        try:
            return self._service(admitted.call.service)(environ, start_response)
        finally:
            bodies.forget(environ)
            if admitted.call.service not in BESIDE and not admitted.call.operation.startswith(READING):
                snapshot.changed()

    def _service(self, name: str) -> Flask:
        if name not in self._services:
            with self._lock:
                self._services.setdefault(name, _service(name))
        return self._services[name]


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
    own = service.served().get(name)
    app = own.application() if own and own.application else create_backend_app(name)
    app.debug = False  # an error is logged once and answered as a 500
    app.register_error_handler(NotImplementedError, lambda error: _not_implemented(name, error))
    return app


def _not_implemented(service: str, error: NotImplementedError) -> Response:
    """Answer 501, which boto3 does not try again, in the service's own words."""
    message = f"the embedded AWS does not do this: {error or service}"
    return answers.error(calls.protocol_of(service), "NotImplemented", message, status=501)


def serve(files: control.Files, n_others: int) -> BaseWSGIServer:
    """Serve from a free port of loopback; write who answers where, and the profiles, when it does."""
    chosen = settings.read()
    health = {"pid": os.getpid(), "started": time.time(), "token": secrets.token_hex(16)}
    network = Switchboard(WIRES[control.network_mode()])
    gate = Gate(partial(_way, network))
    server = make_server("127.0.0.1", 0, Application(health, gate), threaded=True, request_handler=QuietHandler)
    endpoint = f"http://{names.IN_A_VPC}:{server.server_port}"
    service.serve(SERVICES)
    handover.install()
    network.wires.start(partial(_serve_at, server.app), server.server_port)
    setting = service.Setting(gate.trail, endpoint, files.jobs, network)
    for aws_service in SERVICES:
        aws_service.install(setting)
    ids = accounts.accounts(chosen.names(n_others))
    keys = {chosen.profile.format(name): accounts.create_admin(number, chosen.user) for name, number in ids.items()}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    outside = f"http://{names.OUTSIDE}:{server.server_port}"
    accounts.write_private(files.config, accounts.config(keys, endpoint=outside, instance=secrets.token_hex(8)))
    record = {**health, "port": server.server_port, "namespace": network.wires.path}
    accounts.write_private(files.record, json.dumps(record))
    threading.Thread(target=_warm_up, args=keys[chosen.profile.format(chosen.first)], daemon=True).start()
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
    backend = training.sagemaker_backends[accounts.FIRST][accounts.REGION]
    backend.client("s3", credentials).list_buckets()
    backend.client("logs", credentials).describe_log_groups()
    for name in ("ec2", "sagemaker"):
        models.service_model(name)
