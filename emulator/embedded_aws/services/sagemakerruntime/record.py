"""The service record of SageMaker Runtime, whose one operation here asks an endpoint.

Its requests are signed for SageMaker, and policies call its action so.
Source: AWS, Service authorization reference, Amazon SageMaker; SageMaker Runtime API reference, InvokeEndpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Flask, request
from moto.sagemaker.models import sagemaker_backends
from werkzeug.wrappers import Response

from embedded_aws import answers
from embedded_aws.gate import handover
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask
from embedded_aws.service import Service

MOST_BYTES = 6_291_456  # of a request's body; botocore's model


def _asks(call: Call, caller: Principal) -> Iterator[Ask]:
    name = call.parameters.get("EndpointName", "").lower()
    yield Ask(call.action, f"arn:aws:sagemaker:{call.region}:{caller.account}:endpoint/{name}")


def _application() -> Flask:
    app = Flask("sagemaker-runtime")
    app.before_request(_answer)  # before Flask looks for a page of its own: the gate has read the path
    return app


def _answer() -> Response:
    """InvokeEndpoint."""
    admitted = handover.admitted(request)
    if admitted is None:  # nothing comes here but through the gate
        return answers.error("rest-json", "AccessDeniedException", "not admitted", status=403)
    call, account = admitted.call, admitted.account
    name, body = call.parameters["EndpointName"], call.parameters.get("Body", b"")
    endpoint = sagemaker_backends[account][call.region].endpoints.get(name)
    if endpoint is None or endpoint.status != "InService":
        return answers.error(
            "rest-json", "ValidationError", f"Endpoint {name} of account {account} not found.", status=400
        )
    if len(body) > MOST_BYTES:
        message = f"Request size {len(body)} exceeds the limit of {MOST_BYTES} bytes"
        return answers.error("rest-json", "ValidationError", message, status=413)
    kind, accept = call.parameters.get("ContentType", ""), call.parameters.get("Accept", "")
    try:
        answer = endpoint.server.invoke(body, content_type=kind, accept=accept)
    except OSError:
        return _model_error(call, account, name, 500, "Your invocation timed out, or the model has ended")
    if answer.status != 200:
        return _model_error(call, account, name, answer.status, answer.body.decode(errors="replace"))
    variant = endpoint.config.variant["VariantName"]
    return Response(
        answer.body, headers={"x-Amzn-Invoked-Production-Variant": variant}, content_type=answer.content_type
    )


def _model_error(call: Call, account: str, name: str, status: int, message: str) -> Response:
    side = "client" if status < 500 else "server"
    text = {
        "Message": f'Received {side} error ({status}) from primary with message "{message}". See the log group '
        f"/aws/sagemaker/Endpoints/{name} in account {account} for more information.",
        "OriginalStatusCode": status,
        "OriginalMessage": message,
        "LogStreamArn": f"arn:aws:logs:{call.region}:{account}:log-group:/aws/sagemaker/Endpoints/{name}",
    }
    headers = {"x-amzn-errortype": "ModelError"}
    return Response(json.dumps(text), 424, headers, content_type="application/json")


SAGEMAKER_RUNTIME = Service(name="sagemaker-runtime", asks=_asks, application=_application)
