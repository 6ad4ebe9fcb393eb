"""Roles that a call hands to a service: each needs ``iam:PassRole``.

Source: AWS, IAM user guide, "Granting a user permissions to pass a role to an AWS service".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from moto.iam.models import iam_backends

from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.policy import Ask

# Names of parameters that hold a role; of these, one that ends so may hold its bare name.
_HOLDS = re.compile(
    r"(?!.*(name|session|type|alias|description|id)$).*role(arns?|s)?|deliverlogspermissionarn", re.IGNORECASE
)
_BY_NAME = re.compile(r".*role", re.IGNORECASE)
_ARN = re.compile(r"arn:aws:iam::(?P<account>\d{12}):role/(?P<name>[\w+=,.@/-]+)", re.ASCII)
_NOT_PASSED = {"sts", "iam", "kms"}
# Handed over by one account for another on purpose, and only asked of the other.
_ABROAD = {"DeliverCrossAccountRole"}
_RECEIVERS = {
    "ec2:CreateFlowLogs": "vpc-flow-logs.amazonaws.com",
    "eks:CreateNodegroup": "ec2.amazonaws.com",
}
_SERVICES = {"ecs": "ecs-tasks.amazonaws.com"}


def passed_roles(call: Call, account: str) -> Iterator[Ask]:
    """Yield what must be allowed for every role that a call hands over.

    Raises
    ------
    CallError
        If something that stands for a role is none.
    """
    receiver = _RECEIVERS.get(call.action) or _SERVICES.get(call.service, f"{call.service}.amazonaws.com")
    roles = set() if call.service in _NOT_PASSED else set(_roles(call.parameters, account))
    if call.operation == "AddRoleToInstanceProfile" and "RoleName" in call.parameters:
        roles, receiver = {_of_name(call.parameters["RoleName"], account)}, "ec2.amazonaws.com"
    if call.operation == "PutBucketReplication":
        roles |= {_checked("Role", text, account) for text in _in_xml(call.body)}
    for role in sorted(roles):
        yield Ask("iam:PassRole", role, {"iam:passedtoservice": (receiver,)})


def _roles(value: Any, account: str, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        if name == "IamInstanceProfile":
            yield from _of_profile(value, account)
            return
        for key, item in value.items():
            yield from _roles(item, account, key)
    elif isinstance(value, list):
        for item in value:
            yield from _roles(item, account, name)
    elif isinstance(value, str) and value and _HOLDS.fullmatch(name) and name not in _ABROAD:
        yield _checked(name, value, account)


def _checked(name: str, value: str, account: str) -> str:
    found = _ARN.fullmatch(value)
    if not found and ":" not in value and _BY_NAME.fullmatch(name):
        return _of_name(value, account)
    if not found:
        raise CallError(f"{name}: {value} is not the ARN of a role", reason="validation")
    return value


def _of_name(name: str, account: str) -> str:
    there = (role.arn for role in iam_backends[account]["aws"].get_roles() if role.name == name)
    return next(there, f"arn:aws:iam::{account}:role/{name}")


def _of_profile(named: Mapping[str, str], account: str) -> Iterator[str]:
    wanted = {named.get("Name"), named.get("Arn")}
    for profile in iam_backends[account]["aws"].instance_profiles.values():
        if wanted & {profile.name, profile.arn}:
            yield from (role.arn for role in profile.roles)


def _in_xml(body: bytes) -> Iterator[str]:
    try:
        document = ElementTree.fromstring(body)  # noqa: S314 - expat has no external entities, and bounds others
    except ElementTree.ParseError as error:
        raise CallError(f"the body is not XML: {error}") from None
    return (item.text or "" for item in document.iter() if item.tag.rpartition("}")[2] == "Role")
