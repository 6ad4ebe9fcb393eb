"""Requests to EKS: each operation is a function of its parameters and of who asks; moto's EKS is not used.

moto knows clusters and node groups that are ACTIVE at once and an endpoint that nobody answers, and no add-ons, access
entries or pod identities.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask, request
from werkzeug.wrappers import Response

from embedded_aws import answers
from embedded_aws.gate import handover
from embedded_aws.gate.calls import model_of
from embedded_aws.gate.principals import Principal
from embedded_aws.services.eks.errors import EksError, invalid_parameter
from embedded_aws.services.eks.state import lock
from embedded_aws.validation import complaint

MOST = 100  # of a page
Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request that the gate has let through: parameters by the model's names, account, region and who asks."""

    p: Mapping[str, Any]
    account: str
    region: str
    caller: Principal


Operation = Callable[[Asked], Answer]


def application(service: str, operations: Mapping[str, Operation]) -> Flask:
    """Return the web application of a service that speaks REST with JSON."""
    app = Flask(service)

    def answer() -> Response:
        admitted = handover.admitted(request)
        if admitted is None:  # nothing comes here but through the gate
            return answers.error("rest-json", "AccessDeniedException", "not admitted", status=403)
        call = admitted.call
        shape = model_of(service).operation_model(call.operation).input_shape
        try:
            asked = Asked(named(shape, call.parameters), admitted.account, call.region, admitted.principal)
            if message := complaint(shape, asked.p):
                raise invalid_parameter(message)
            with lock:
                told = operations[call.operation](asked)
                text = json.dumps(told, default=_plain)
        except EksError as error:
            return answers.error("rest-json", error.code, str(error), status=error.status)
        return Response(text, content_type="application/json")

    # Before Flask looks for a page of its own: the gate has read the path.
    app.before_request(answer)
    return app


def named(shape: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by the names of the model's members, numbers and lists of a query as such."""
    members = shape.members if shape else {}
    names = {member.serialization.get("name", name): name for name, member in members.items()}
    told = {}
    for sent, value in parameters.items():
        name = names.get(sent, sent)
        kind = members[name].type_name if name in members else "string"
        if isinstance(value, str) and kind == "integer":
            told[name] = int(value) if value.isdigit() else -1
        else:
            told[name] = [value] if isinstance(value, str) and kind == "list" else value
    return told


def page(asked: Asked, member: str, items: list[Any]) -> Answer:
    """Return a page of a list."""
    token = asked.p.get("nextToken", "0")
    if not token.isdigit() or int(token) > len(items):
        raise invalid_parameter("Invalid nextToken")
    first = int(token)
    end = first + (asked.p.get("maxResults") or MOST)
    return {member: items[first:end], **({"nextToken": str(end)} if end < len(items) else {})}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} is no JSON")
