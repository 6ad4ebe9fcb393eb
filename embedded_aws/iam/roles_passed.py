"""Roles that a call hands to a service: each needs ``iam:PassRole``.

Source: AWS, IAM user guide, "Granting a user permissions to pass a role to an AWS service".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from moto.iam.models import iam_backends

from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.policy import Ask

_ARN = re.compile(r"arn:aws:iam::(?P<account>\d{12}):role/(?P<name>[\w+=,.@/-]+)", re.ASCII)
# Service -> the member that holds a role, and who is to take it.
_HOLDS = {
    "ec2": ("DeliverLogsPermissionArn", "vpc-flow-logs.amazonaws.com"),
    "sagemaker": ("RoleArn", "sagemaker.amazonaws.com"),
}


def passed_roles(call: Call, account: str) -> Iterator[Ask]:
    """Yield what must be allowed for every role that a call hands over.

    Raises
    ------
    CallError
        If something that stands for a role is none.
    """
    if call.action == "iam:AddRoleToInstanceProfile":
        yield _passed(_of_name(call.parameters.get("RoleName", ""), account), "ec2.amazonaws.com")
    member, receiver = _HOLDS.get(call.service, ("", ""))
    if role := call.parameters.get(member):
        if not _ARN.fullmatch(role):
            raise CallError(f"{member}: {role} is not the ARN of a role", reason="validation")
        yield _passed(role, receiver)


def _passed(role: str, receiver: str) -> Ask:
    return Ask("iam:PassRole", role, {"iam:passedtoservice": (receiver,)})


def _of_name(name: str, account: str) -> str:
    there = (role.arn for role in iam_backends[account]["aws"].get_roles() if role.name == name)
    return next(there, f"arn:aws:iam::{account}:role/{name}")
