"""What an API call asks permission for: actions, resources and condition keys, as the service says.

Source: AWS, Service authorization reference. Where a call's resource is not written down here it is ``*``, so that
only a policy on every resource allows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from embedded_aws.iam.calls import Call
from embedded_aws.iam.policy import Ask
from embedded_aws.iam.s3_asks import s3_asks
from embedded_aws.iam.service_asks import CONTEXT, RESOURCES, ec2_asks

# Anybody who can sign may ask who he is; no policy takes that away.
FREE = {"sts:GetCallerIdentity"}


def asks(call: Call, account: str) -> list[Ask]:
    """Return every permission that a call by somebody of ``account`` needs; none for what is free.

    Parameters
    ----------
    call : Call
        From ``calls.decode``.
    account : str
        Whose resources are meant where a name does not say.
    """
    if call.action in FREE:
        return []
    special = {"s3": s3_asks, "ec2": ec2_asks}.get(call.service)
    if special:
        found = list(special(call, account))
    else:
        context = CONTEXT.get(call.service, lambda call: {})(call)
        name = RESOURCES.get(call.service, lambda call, account: "*")
        found = [Ask(call.action, name(call, account), context)]
    return found + list(_passed_roles(call))


# --- roles that are handed to a service -------------------------------------------------------------------------

_ROLE_PARAMETER = re.compile(r"(.*[rR]ole(Arn|ARN)|nodeRole|roleArn|DeliverLogsPermissionArn)")
_NOT_PASSED = {"sts", "iam"}
_RECEIVERS = {
    "ec2:CreateFlowLogs": "vpc-flow-logs.amazonaws.com",
    "eks:CreateNodegroup": "ec2.amazonaws.com",
}


def _passed_roles(call: Call) -> Iterator[Ask]:
    if call.service in _NOT_PASSED:
        return
    for role in sorted(_roles(call.parameters)):
        receiver = _RECEIVERS.get(call.action, f"{call.service}.amazonaws.com")
        yield Ask("iam:PassRole", role, {"iam:passedtoservice": (receiver,)})


def _roles(value: Any, name: str = "") -> set[str]:
    if isinstance(value, Mapping):
        return {role for key, item in value.items() for role in _roles(item, key)}
    if isinstance(value, list):
        return {role for item in value for role in _roles(item, name)}
    is_role = isinstance(value, str) and ":role/" in value and _ROLE_PARAMETER.fullmatch(name)
    return {value} if is_role else set()
