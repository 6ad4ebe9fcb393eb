"""The service record of AWS IAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import moto.iam.urls
from moto.iam.models import iam_backends

from embedded_aws.gate.tags import pairs
from embedded_aws.policies.grammar import IDENTITY, TRUST
from embedded_aws.service import ConditionKeys, Service, Setting, Writes
from embedded_aws.services.iam import asks, limits, stack
from embedded_aws.services.iam.entities import Entities


def _install(_: Setting) -> None:
    moto.iam.urls.url_paths = {"{0}/$": Entities.dispatch}


def _tags(_: str, account: str, arn: str, name: str) -> Mapping[str, str]:
    iam = iam_backends[account]["aws"]
    kind, name = name.partition("/")[0], name.rpartition("/")[2]
    if kind == "user":
        return pairs(iam.list_user_tags(name))
    if kind == "role":
        return pairs(iam.get_role(name).tags)
    return pairs(iam.managed_policies[arn].tags) if kind == "policy" else {}


def _rewrite(change: Callable[[Any], Any]) -> None:
    for backends in list(iam_backends.values()):
        for role in backends["aws"].get_roles():
            role.assume_role_policy_document = change(role.assume_role_policy_document)


IAM = Service(
    name="iam",
    asks=asks.asks,
    install=_install,
    keys=ConditionKeys(
        known=r"passedtoservice|associatedresourcearn|permissionsboundary|policyarn|resourcetag/.+",
        unfilled="associatedresourcearn",
    ),
    tags=_tags,
    check=limits.check,
    writes={
        "CreatePolicy": Writes("PolicyDocument", IDENTITY),
        "CreatePolicyVersion": Writes("PolicyDocument", IDENTITY),
        "CreateRole": Writes("AssumeRolePolicyDocument", TRUST),
        "PutGroupPolicy": Writes("PolicyDocument", IDENTITY),
        "PutRolePolicy": Writes("PolicyDocument", IDENTITY),
        "PutUserPolicy": Writes("PolicyDocument", IDENTITY),
        "UpdateAssumeRolePolicy": Writes("PolicyDocument", TRUST),
    },
    check_policy=limits.check_size,
    rewrite_policies=_rewrite,
    types=(
        stack.InstanceProfile, stack.ManagedPolicy, stack.Policy, stack.Role, stack.RolePolicy, stack.UserPolicy,
    ),
)  # fmt: skip
