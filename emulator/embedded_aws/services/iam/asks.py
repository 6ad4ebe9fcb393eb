"""Permissions that IAM calls need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for AWS IAM".
"""

from __future__ import annotations

from collections.abc import Iterator

from moto.iam.models import iam_backends

from embedded_aws.gate import tags
from embedded_aws.gate.asks import passed
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.models import service_model
from embedded_aws.policies.policy import Ask

# In this order: who is put into a group, or attached to, is not what such a call is about.
_KINDS = {
    "GroupName": "group",
    "InstanceProfileName": "instance-profile",
    "RoleName": "role",
    "UserName": "user",
    "PolicyArn": "policy",
    "PolicyName": "policy",
}
_TAGGING = {
    "CreateInstanceProfile": "TagInstanceProfile",
    "CreatePolicy": "TagPolicy",
    "CreateRole": "TagRole",
    "CreateUser": "TagUser",
}
# Of these, iam:PermissionsBoundary is the boundary that is asked for; of other calls the one that is there.
_SETS_BOUNDARY = {"CreateRole", "CreateUser", "PutRolePermissionsBoundary", "PutUserPermissionsBoundary"}


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of IAM asks for."""
    context = tags.in_request(call)
    parameters = call.parameters
    if "PolicyArn" in parameters:
        context["iam:policyarn"] = (parameters["PolicyArn"],)
    if resource := _resource(call, caller):
        boundary = parameters.get("PermissionsBoundary") if call.operation in _SETS_BOUNDARY else _boundary(resource)
        context |= {"iam:permissionsboundary": (boundary,)} if boundary else {}
        yield Ask(call.action, resource, context)
    else:
        yield Ask(call.action, "*", context)
    if call.operation in _TAGGING and tags.requested(call):
        yield Ask(f"iam:{_TAGGING[call.operation]}", resource, context)
    if call.operation == "AddRoleToInstanceProfile":
        yield passed(entity("role", parameters.get("RoleName", ""), caller.account), "ec2.amazonaws.com")


def _resource(call: Call, caller: Principal) -> str:
    parameters = call.parameters
    for name, kind in _KINDS.items():
        if value := parameters.get(name):
            return (
                value if name.endswith("Arn") else entity(kind, value, caller.account, path=parameters.get("Path", "/"))
            )
    members = service_model("iam").operation_model(call.operation).input_shape
    # Whoever names nobody means himself.
    own = members and "UserName" in members.members
    return caller.arn if own else ""


def entity(kind: str, name: str, account: str, *, path: str = "/") -> str:
    """Return the ARN of a user, role, group, policy or instance profile; one that is there has a path of its own."""
    iam = iam_backends[account]["aws"]
    entities = {
        "user": iam.users,
        "group": iam.groups,
        "role": {role.name: role for role in iam.get_roles()},
        "policy": {},
        "instance-profile": {profile.name: profile for profile in iam.instance_profiles.values()},
    }[kind]
    return entities[name].arn if name in entities else f"arn:aws:iam::{account}:{kind}{path}{name}"


def _boundary(arn: str) -> str:
    parts = arn.split(":")
    kind = parts[5].partition("/")[0] if len(parts) > 5 else ""
    if kind not in ("role", "user"):
        return ""
    iam = iam_backends[parts[4]]["aws"]
    entities = iam.get_roles() if kind == "role" else iam.users.values()
    return next(
        (getattr(holder, "permissions_boundary_arn", None) or "" for holder in entities if holder.arn == arn), ""
    )
