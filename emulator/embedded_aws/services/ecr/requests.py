"""Requests to ECR; moto's is not used: it keeps no layers, and takes any manifest."""

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
from embedded_aws.services.ecr.state import EcrError, Repository, find, lock

MOST = 100  # of a page
Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request that the gate has let through; the account is that of the repository."""

    p: Mapping[str, Any]
    account: str
    region: str

    def repository(self) -> Repository:
        """Return the repository that the request names."""
        return find(self.account, self.region, self.p["repositoryName"])


Operation = Callable[[Asked], Answer]


def application(operations: Mapping[str, Operation]) -> Flask:
    """Return the web application."""
    app = Flask("ecr")

    def answer() -> Response:
        admitted = handover.admitted(request)
        if admitted is None:  # nothing comes here but through the gate
            return answers.error("json", "AccessDeniedException", "not admitted", status=403)
        call = admitted.call
        try:
            with lock:
                told = operations[call.operation](Asked(call.parameters, admitted.account, call.region))
                text = json.dumps(told, default=_plain)
        except EcrError as error:
            return answers.error("json", error.code, str(error), status=400)
        return Response(text, content_type="application/x-amz-json-1.1")

    app.before_request(answer)
    return app


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} is no JSON")


def page(asked: Asked, member: str, items: list[Any]) -> Answer:
    """Return a page of a list."""
    token = asked.p.get("nextToken", "0")
    if not token.isdigit() or int(token) > len(items):
        raise EcrError("InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint")
    first = int(token)
    end = first + (asked.p.get("maxResults") or MOST)
    return {member: items[first:end], **({"nextToken": str(end)} if end < len(items) else {})}
