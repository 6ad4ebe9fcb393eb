"""Policies that a call writes: refused if they are none, are too long, or name a principal that does not exist.

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
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from embedded_aws.iam import bucket_policies, endpoint_policies, grammar, limits
from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.conditions import PolicyError
from embedded_aws.iam.grammar import BUCKET, ENDPOINT, IDENTITY, KEY, SESSION, TRUST, Kind
from embedded_aws.iam.policy import Policy, Request, evaluate
from embedded_aws.iam.principals import Principal
from embedded_aws.iam.s3_asks import find_bucket

_ENTITY = re.compile(r"arn:aws:iam::(?P<account>\d{12}):(?P<kind>user|role)/.+")
_ACCOUNT = re.compile(
    r"\*|\d{12}|arn:aws:iam::\d{12}:root|arn:aws:sts::\d{12}:(assumed-role/[^/*?]+/[^/*?]+|federated-user/[^/*?]+)"
)
# Which parameter holds a policy, and of what kind it is.
_WRITES: dict[str, tuple[str, Kind]] = {
    "ec2:CreateVpcEndpoint": ("PolicyDocument", ENDPOINT),
    "ec2:ModifyVpcEndpoint": ("PolicyDocument", ENDPOINT),
    "iam:CreatePolicy": ("PolicyDocument", IDENTITY),
    "iam:CreatePolicyVersion": ("PolicyDocument", IDENTITY),
    "iam:CreateRole": ("AssumeRolePolicyDocument", TRUST),
    "iam:PutGroupPolicy": ("PolicyDocument", IDENTITY),
    "iam:PutRolePolicy": ("PolicyDocument", IDENTITY),
    "iam:PutUserPolicy": ("PolicyDocument", IDENTITY),
    "iam:UpdateAssumeRolePolicy": ("PolicyDocument", TRUST),
    "kms:CreateKey": ("Policy", KEY),
    "kms:PutKeyPolicy": ("Policy", KEY),
    "s3:PutBucketPolicy": ("", BUCKET),
    "sts:AssumeRole": ("Policy", SESSION),
}


def check(call: Call, principal: Principal) -> None:
    """Return if a call writes no policy, or one that is well formed.

    Raises
    ------
    CallError
        If it is not; says what is wrong.
    """
    limits.check(call, principal.account)
    if call.action not in _WRITES:
        return
    name, kind = _WRITES[call.action]
    text = call.parameters.get(name) if name else call.body.decode(errors="replace")
    if text is None or (not text and kind is not BUCKET):
        return
    if told := grammar.complaint(text, kind):
        raise CallError(told, reason="policy")
    document = grammar.read(text)
    if told := next(_nobodies(document), None):
        raise CallError(told, reason="policy")
    limits.check_size(call, text, principal.account)
    if kind is BUCKET:
        if told := bucket_policies.complaint(document, call.parameters["Bucket"]):
            raise CallError(told, reason="policy")
        _check_public(call.parameters["Bucket"], document, principal)
    if kind is ENDPOINT and (told := endpoint_policies.complaint(document)):
        raise CallError(told, reason="policy")
    if kind is KEY and not call.parameters.get("BypassPolicyLockoutSafetyCheck"):
        _check_lockout(document, principal)


def _check_public(name: str, document: Mapping[str, Any], principal: Principal) -> None:
    bucket = find_bucket(name)
    block = bucket.public_access_block if bucket else None
    if block and block.block_public_policy and bucket_policies.is_public(document):
        raise CallError(
            f"User: {principal.arn} is not authorized to perform: s3:PutBucketPolicy on resource: arn:aws:s3:::{name} "
            "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            reason="denied",
        )


def _check_lockout(document: Mapping[str, Any], principal: Principal) -> None:
    """Refuse a key policy that would not let the caller change it again.

    Source: AWS, KMS API reference, PutKeyPolicy, ``BypassPolicyLockoutSafetyCheck``.
    """
    request = Request(
        principal.arn, principal.account, "kms:PutKeyPolicy", "*", principal.context, principal.aliases,
        bounded=principal.boundary is not None,
    )  # fmt: skip
    try:
        effect = evaluate([Policy("key policy", document)], request, resource_policy=True).effect
    except PolicyError:
        effect = "Allow"  # says something that is not evaluated here; whoever uses the key is told
    if effect != "Allow":
        raise CallError(
            "The new key policy will not allow you to update the key policy in the future.", reason="policy"
        )


def forget(arn: str, unique_id: str) -> None:
    """Put a user's or role's unique id in the place of its ARN, wherever a policy names it as a principal."""
    for backends in list(iam_backends.values()):
        for role in backends["aws"].get_roles():
            role.assume_role_policy_document = _without(role.assume_role_policy_document, arn, unique_id)
    for backends in list(s3_backends.values()):
        for bucket in backends["aws"].buckets.values():
            if bucket.policy:
                bucket.policy = _without(bucket.policy, arn, unique_id)
    for backends in list(kms_backends.values()):
        for key in [key for region in list(backends.values()) for key in region.keys.values()]:
            key.policy = _without(key.policy, arn, unique_id)


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
    told = json.dumps(document)
    return told.encode() if isinstance(text, bytes) else told


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
    return any(one.arn == value for one in entities)


def _is_an_id(value: str) -> bool:
    """Tell whether a user or role has this unique id, in whatever account; AWS takes no id of one who is gone."""
    entities = (
        entity
        for backends in list(iam_backends.values())
        for entity in (*backends["aws"].users.values(), *backends["aws"].get_roles())
    )
    return any(entity.id == value for entity in entities)
