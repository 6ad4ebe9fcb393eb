"""Principals: who is behind an access key, and which policies speak for them; read from moto's IAM and STS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.iam.models import AccessKey, ManagedPolicy, iam_backends
from moto.sts.models import AssumedRole, sts_backends

from embedded_aws.policies.policy import Policy

PARTITION = "aws"


@dataclass(frozen=True)
class Principal:
    """Somebody who signs requests: an IAM user, or a session of a role.

    Parameters
    ----------
    arn, account, unique_id : str
        As ``GetCallerIdentity`` tells them.
    role : str
        The role's ARN; empty for a user.
    secret, token : str
        What requests must be signed with; the token is empty for a user.
    expires : datetime
        When a session ends; None for a user.
    """

    arn: str
    account: str
    unique_id: str
    role: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires: datetime | None
    policies: tuple[Policy, ...]
    boundary: Policy | None
    session_policies: tuple[Policy, ...]
    context: Mapping[str, tuple[str, ...]]

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names by which policies may mean this principal: a role's ARN, and the unique id of role or user."""
        return tuple(filter(None, (self.role, self.unique_id.partition(":")[0])))


def find(access_key_id: str) -> Principal | None:
    """Return who owns an access key; None if nobody does (any more)."""
    for account, backends in list(iam_backends.items()):
        if key := backends[PARTITION].access_keys.get(access_key_id):
            return _session(account, key) if key.role_arn else _user(account, key)
    return None


def find_role(role_arn: str) -> Any:
    """Return moto's role of this ARN, in whatever account; None if there is none."""
    parts = role_arn.split(":")
    if len(parts) != 6 or parts[4] not in iam_backends:
        return None
    return next((role for role in iam_backends[parts[4]][PARTITION].get_roles() if role.arn == role_arn), None)


def of_role(role_arn: str) -> tuple[tuple[Policy, ...], Policy | None, Mapping[str, tuple[str, ...]]]:
    """Return a role's policies, its boundary, and the condition keys it brings into every request."""
    role, account = find_role(role_arn), role_arn.split(":")[4]
    context = {
        "aws:principalarn": (role_arn,),
        "aws:principalaccount": (account,),
        "aws:principaltype": ("AssumedRole",),
        **_tags(role.tags),
    }
    return _policies(role), _boundary(account, role.permissions_boundary_arn), context


def of_user(account: str, name: str) -> tuple[tuple[Policy, ...], Policy | None, Mapping[str, tuple[str, ...]]]:
    """Return a user's policies and those of its groups, its boundary, and its condition keys."""
    iam = iam_backends[account][PARTITION]
    user = iam.get_user(name)
    groups = [_policies(group) for group in iam.get_groups_for_user(name)]
    context = {
        "aws:principalarn": (user.arn,),
        "aws:principalaccount": (account,),
        "aws:principaltype": ("User",),
        "aws:userid": (user.id,),
        "aws:username": (name,),
        **_tags(iam.list_user_tags(name)),
    }
    policies = (*_policies(user), *(policy for group in groups for policy in group))
    return policies, _boundary(account, getattr(user, "permissions_boundary_arn", None)), context


def _user(account: str, key: AccessKey) -> Principal | None:
    if key.status != "Active":
        return None
    policies, boundary, context = of_user(account, key.user_name)
    return Principal(
        arn=context["aws:principalarn"][0], account=account, unique_id=context["aws:userid"][0], role="",
        secret=key.secret_access_key, token="", expires=None, policies=policies, boundary=boundary,
        session_policies=(), context=context,
    )  # fmt: skip


def _session(account: str, key: AccessKey) -> Principal | None:
    session: AssumedRole = sts_backends[account][PARTITION].get_assumed_role_from_access_key(key.access_key_id)
    role = find_role(session.role_arn) if session else None
    if role is None or role.id != session.role_id:  # another role of the same name has not lent it
        return None
    policies, boundary, context = of_role(session.role_arn)
    session_context = {
        "aws:userid": (session.user_id,),
        "aws:tokenissuetime": (f"{session.issued:%Y-%m-%dT%H:%M:%SZ}",),
        "aws:multifactorauthpresent": ("false",),
        **({"aws:sourceidentity": (session.source_identity,)} if session.source_identity else {}),
        **_tags(session.tags),
    }
    return Principal(
        arn=session.arn, account=account, unique_id=session.user_id, role=session.role_arn,
        secret=session.secret_access_key, token=session.session_token,
        expires=session.expiration.replace(tzinfo=UTC), policies=policies, boundary=boundary,
        session_policies=session.policies, context={**context, **session_context},
    )  # fmt: skip


def _policies(holder: Any) -> tuple[Policy, ...]:
    """Gather the inline and attached policies of a user, group or role."""
    inline = holder.policies
    if not isinstance(inline, Mapping):
        inline = {item["policy_name"]: item["policy_document"] for item in inline}
    attached = [_managed(policy) for policy in holder.managed_policies.values()]
    return (*(Policy.of(name, document) for name, document in inline.items()), *attached)


def _boundary(account: str, arn: str | None) -> Policy | None:
    if not arn:
        return None
    # A boundary that is gone allows nothing, as on AWS.
    return managed_policy(arn, account) or Policy(arn, {"Statement": []})


def managed_policy(arn: str, account: str) -> Policy | None:
    """Return a managed policy of an account, or of AWS; None if there is none."""
    policy = iam_backends[account][PARTITION].managed_policies.get(arn)
    return _managed(policy) if policy else None


def _managed(policy: ManagedPolicy) -> Policy:
    return Policy.of(policy.name, next(version.document for version in policy.versions if version.is_default))


def _tags(tags: Any) -> dict[str, tuple[str, ...]]:
    pairs = tags.values() if isinstance(tags, Mapping) else tags or []
    return {f"aws:principaltag/{tag['Key'].lower()}": (tag["Value"],) for tag in pairs}
