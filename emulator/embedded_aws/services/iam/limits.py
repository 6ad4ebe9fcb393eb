"""Quotas of IAM: how long policies may be, and how many of what may be attached.

Source: AWS, IAM user guide, "IAM and AWS STS quotas".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.iam.models import iam_backends

from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal

MANAGED, TRUST = 6144, 2048  # characters that are no white space
INLINE = {"User": 2048, "Group": 5120, "Role": 10240}
ATTACHED, TAGS, GROUPS = 10, 50, 10
_Size = Callable[[Call, str, Any], None]  # the call, the policy, moto's IAM
_Count = Callable[[Call, Any], None]


def size(text: str) -> int:
    """Return how long a policy is for IAM, which counts no white space.

    >>> size('{"Version": "2012-10-17"}')
    24
    """
    return sum(not character.isspace() for character in text)


def check_size(call: Call, text: str, _: Any, principal: Principal) -> None:
    """Return if a policy that a call writes is no longer than it may be.

    Raises
    ------
    CallError
        If it is; with the quota.
    """
    _SIZES[call.operation](call, text, iam_backends[principal.account]["aws"])


def check(call: Call, principal: Principal) -> None:
    """Return if a call goes beyond no quota.

    Raises
    ------
    CallError
        If it does.
    """
    if rule := _COUNTS.get(call.operation):
        rule(call, iam_backends[principal.account]["aws"])


def _refused(name: str, limit: int) -> CallError:
    return CallError(f"Cannot exceed quota for {name}: {limit}", reason="limit")


def _plain(name: str, limit: int) -> _Size:
    def rule(_: Call, text: str, __: Any) -> None:
        if size(text) > limit:
            raise _refused(name, limit)

    return rule


def _inline(kind: str) -> _Size:
    def rule(call: Call, text: str, iam: Any) -> None:
        name = call.parameters[f"{kind}Name"]
        others = _inline_policies(_entity(iam, kind, name))
        others.pop(call.parameters.get("PolicyName"), None)
        if size(text) + sum(map(size, others.values())) > INLINE[kind]:
            message = f"Maximum policy size of {INLINE[kind]} bytes exceeded for {kind.lower()} {name}"
            raise CallError(message, reason="limit")

    return rule


def _entity(iam: Any, kind: str, name: str) -> Any:
    if kind == "Role":
        return next((role for role in iam.get_roles() if role.name == name), None)
    return (iam.users if kind == "User" else iam.groups).get(name)


def _inline_policies(entity: Any) -> dict[str, str]:
    policies = entity.policies if entity else {}
    if isinstance(policies, Mapping):
        return dict(policies)
    return {policy["policy_name"]: policy["policy_document"] for policy in policies}


def _attached(kind: str) -> _Count:
    def rule(call: Call, iam: Any) -> None:
        entity = _entity(iam, kind, call.parameters[f"{kind}Name"])
        attached = entity.managed_policies if entity else {}
        if call.parameters["PolicyArn"] not in attached and len(attached) >= ATTACHED:
            raise _refused(f"PoliciesPer{kind}", ATTACHED)

    return rule


def _tagged(kind: str) -> _Count:
    def rule(call: Call, iam: Any) -> None:
        name = call.parameters.get(f"{kind}Name") or call.parameters.get("PolicyArn")
        tags: Any = []
        if kind == "User" and name in iam.users:
            tags = iam.list_user_tags(name)
        elif kind == "Role" and (role := _entity(iam, kind, name)):
            tags = role.tags or []
        elif kind == "Policy" and name in iam.managed_policies:
            tags = iam.managed_policies[name].tags or []
        tags = tags.values() if isinstance(tags, Mapping) else tags  # moto has it both ways
        keys = {tag["Key"].lower() for tag in (*tags, *call.parameters["Tags"])}
        if len(keys) > TAGS:
            raise _refused(f"TagsPer{kind}", TAGS)

    return rule


def _grouped(call: Call, iam: Any) -> None:
    name = call.parameters["UserName"]
    groups = [group for group in iam.groups.values() if any(user.name == name for user in group.users)]
    if call.parameters["GroupName"] not in {group.name for group in groups} and len(groups) >= GROUPS:
        raise _refused("GroupsPerUser", GROUPS)


def _named(kind: str) -> _Count:
    """Names of one kind are unique in an account, whatever their case."""

    def rule(call: Call, iam: Any) -> None:
        name = call.parameters[f"{kind}Name"]
        entities = {"Role": iam.get_roles(), "User": iam.users.values(), "Group": iam.groups.values()}[kind]
        if any(entity.name != name and entity.name.lower() == name.lower() for entity in entities):
            raise CallError(f"{kind} with name {name} already exists.", reason="exists")

    return rule


def _bounded(call: Call, iam: Any) -> None:
    arn = call.parameters.get("PermissionsBoundary")
    if arn and arn not in iam.managed_policies:
        raise CallError(f"Scope ARN: {arn} does not exist or is not attachable.", reason="entity")


def _new(kind: str) -> _Count:
    def rule(call: Call, iam: Any) -> None:
        _named(kind)(call, iam)
        _bounded(call, iam)

    return rule


_SIZES: dict[str, _Size] = {
    "CreatePolicy": _plain("PolicySize", MANAGED),
    "CreatePolicyVersion": _plain("PolicySize", MANAGED),
    "CreateRole": _plain("ACLSizePerRole", TRUST),
    "PutGroupPolicy": _inline("Group"),
    "PutRolePolicy": _inline("Role"),
    "PutUserPolicy": _inline("User"),
    "UpdateAssumeRolePolicy": _plain("ACLSizePerRole", TRUST),
}
_COUNTS: dict[str, _Count] = {
    "AddUserToGroup": _grouped,
    "AttachGroupPolicy": _attached("Group"),
    "AttachRolePolicy": _attached("Role"),
    "AttachUserPolicy": _attached("User"),
    "CreateGroup": _named("Group"),
    "CreateRole": _new("Role"),
    "CreateUser": _new("User"),
    "PutRolePermissionsBoundary": _bounded,
    "PutUserPermissionsBoundary": _bounded,
    "TagPolicy": _tagged("Policy"),
    "TagRole": _tagged("Role"),
    "TagUser": _tagged("User"),
}
