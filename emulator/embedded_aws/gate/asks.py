"""Permissions that an API call needs: actions on resources with condition keys, as its service says.

A role that a call hands to a service needs ``iam:PassRole`` beside them.
Source: AWS, Service authorization reference; IAM user guide, "Granting a user permissions to pass a role".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from embedded_aws import service
from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)


def asks(call: Call, caller: Principal) -> list[Ask]:
    """Return every permission that a call needs; none for what is free.

    Parameters
    ----------
    call : Call
        From ``calls.decode``.
    caller : Principal
        Whose resources are meant where a name does not say.

    Raises
    ------
    CallError
        If the call means something that cannot be asked for.
    """
    called = service.served()[call.service]
    return [*called.asks(call, caller), *_passed_roles(call, called)]


def _passed_roles(call: Call, called: service.Service) -> Iterator[Ask]:
    for member, receiver in called.passes.items():
        if role := call.parameters.get(member):
            if not _ROLE.fullmatch(role):
                raise CallError(f"{member}: {role} is not the ARN of a role", reason="validation")
            yield passed(role, receiver)


def passed(role: str, receiver: str) -> Ask:
    """Return what must be allowed of whoever hands a role to a service."""
    return Ask("iam:PassRole", role, {"iam:passedtoservice": (receiver,)})
