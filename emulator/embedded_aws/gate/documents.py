"""Validation of policies that a call writes: refused if malformed, too long, or for a principal that does not exist.

Where a policy names a user or a role as a principal, AWS keeps its unique id: whoever is made later under the same name
is not meant, and in the place of the ARN of one who is gone, the id is shown.
Source: AWS, IAM user guide, "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.iam.models import iam_backends

from embedded_aws import service
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies import grammar
from embedded_aws.policies.grammar import BUCKET

_ENTITY = re.compile(r"arn:aws:iam::(?P<account>\d{12}):(?P<kind>user|role)/.+")
_ACCOUNT = re.compile(
    r"\*|\d{12}|arn:aws:iam::\d{12}:root|arn:aws:sts::\d{12}:(assumed-role/[^/*?]+/[^/*?]+|federated-user/[^/*?]+)"
)


def check(call: Call, principal: Principal) -> None:
    """Return if a call writes no policy, or one that is well formed and that its service takes.

    Raises
    ------
    CallError
        If it is not; says what is wrong.
    """
    called = service.served()[call.service]
    if call.operation not in called.writes:
        return
    written = called.writes[call.operation]
    text = call.parameters.get(written.member) if written.member else call.body.decode(errors="replace")
    if text is None or (not text and written.kind is not BUCKET):
        return
    if message := grammar.complaint(text, written.kind):
        raise CallError(message, reason="policy")
    document = grammar.read(text)
    if message := next(_nobodies(document), None):
        raise CallError(message, reason="policy")
    called.check_policy(call, text, document, principal)


def forget(arn: str, unique_id: str) -> None:
    """Put a user's or role's unique id in the place of its ARN, wherever a policy names it as a principal."""
    for aws_service in service.served().values():
        aws_service.rewrite_policies(lambda text: _without(text, arn, unique_id))


def _without(text: str | bytes, arn: str, unique_id: str) -> str | bytes:
    plain = text.decode() if isinstance(text, bytes) else text
    if arn not in plain:
        return text
    document = json.loads(plain)
    for statement in grammar.statements(document):
        for element in ("Principal", "NotPrincipal"):
            if isinstance(named := statement.get(element), dict) and "AWS" in named:
                ids = [unique_id if value == arn else value for value in grammar.listed(named["AWS"])]
                named["AWS"] = ids if len(ids) > 1 else ids[0]
    rewritten = json.dumps(document)
    return rewritten.encode() if isinstance(text, bytes) else rewritten


def _nobodies(document: Mapping[str, Any]) -> Iterator[str]:
    for statement in grammar.statements(document):
        for element in ("Principal", "NotPrincipal"):
            named = statement.get(element, {})
            for value in grammar.listed(named.get("AWS", [])) if isinstance(named, Mapping) else []:
                if not _is_there(value):
                    yield f'Invalid principal in policy: "AWS":"{value}"'


def _is_there(value: str) -> bool:
    entity = _ENTITY.fullmatch(value)
    if not entity:
        return bool(_ACCOUNT.fullmatch(value)) or _is_an_id(value)
    if entity["account"] not in iam_backends:
        return False
    iam = iam_backends[entity["account"]]["aws"]
    entities = iam.users.values() if entity["kind"] == "user" else iam.get_roles()
    return any(principal.arn == value for principal in entities)


def _is_an_id(value: str) -> bool:
    """Tell whether a user or role has this unique id, in whatever account; AWS takes no id of one who is gone."""
    entities = (
        entity
        for backends in list(iam_backends.values())
        for entity in (*backends["aws"].users.values(), *backends["aws"].get_roles())
    )
    return any(entity.id == value for entity in entities)
