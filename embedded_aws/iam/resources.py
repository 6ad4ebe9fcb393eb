"""Whose something is that is asked for, and the policy that stands with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.iam import kms_asks, principals
from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.policy import Ask, Policy, Request
from embedded_aws.iam.principals import Principal
from embedded_aws.iam.s3_asks import find_bucket


def resource_policy(request: Request) -> tuple[Policy | None, bool]:
    """Return the policy of what is asked for, and whether it has to allow the request even in its own account."""
    parts = request.resource.split(":", 5)
    if request.action.startswith("s3:") and request.action != "s3:CreateBucket" and len(parts) == 6:
        bucket = find_bucket(parts[5].partition("/")[0])
        text = bucket.policy if bucket else None
        return (resources_own(f"policy of bucket {bucket.name}", text), False) if text else (None, False)
    if request.action.startswith("kms:") and ":key/" in request.resource:
        key = kms_asks.find(request.resource)
        if key and kms_asks.managed_by_aws(key):
            return Policy("policy of a key of AWS", _managed_key(key.account_id)), True
        return (resources_own(f"policy of key {key.id}", key.policy), True) if key else (None, False)
    if request.action in ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"):
        role = principals.find_role(request.resource)
        if role is None:  # a role that is not there trusts nobody
            return Policy(f"trust policy of {request.resource}", {"Statement": []}), True
        return resources_own(f"trust policy of {role.name}", role.assume_role_policy_document), True
    return None, False


def resources_own(name: str, text: Any) -> Policy:
    """Read a policy that stands with what it is about."""
    return Policy.of(name, text.decode() if isinstance(text, bytes) else text)


def _managed_key(account: str) -> Mapping[str, Any]:
    """Return what AWS lets everybody of an account do with the keys that it makes for services, through these."""
    through = {"StringEquals": {"kms:CallerAccount": account}, "Null": {"kms:ViaService": "false"}}
    use = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": through}
    look = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": ["kms:Describe*", "kms:Get*", "kms:List*"]}
    return {"Version": "2012-10-17", "Statement": [use, {**look, "Resource": "*"}]}


def carried_out_in(call: Call, asked: list[Ask], principal: Principal) -> str:
    """Return the account in which moto is to carry out a call.

    Raises
    ------
    CallError
        If that would be several, or the call is none that an account lets another make.
    """
    owners = {owner_of(ask, principal.account) for ask in asked} if call.service == "kms" else {principal.account}
    if len(owners) > 1 or (owners != {principal.account} and call.operation not in kms_asks.LENT):
        raise CallError(f"{call.operation} with keys of another account is not done here", reason="validation")
    return owners.pop() if owners else principal.account


def owner_of(ask: Ask, account: str) -> str:
    """Return the account that a resource belongs to; ``account`` where its name does not tell."""
    parts = ask.resource.split(":", 5)
    if len(parts) < 6 or ask.action == "s3:CreateBucket":  # whose bucket of that name there is does not matter yet
        return account
    if parts[2] == "s3":
        bucket = find_bucket(parts[5].partition("/")[0])
        return bucket.account_id if bucket else account
    return parts[4] if parts[4] not in ("", "aws") else account  # AWS's own policies are everybody's
