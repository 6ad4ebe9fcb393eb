"""Policies that a call writes: refused if they are none, or name a principal that does not exist.

Where a policy names a user or a role as a principal, AWS keeps its unique id: whoever is made later under the same name
is not meant, and in the place of the ARN of one who is gone, the id is shown.
Source: AWS, IAM user guide, "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.policy import Policy

_ENTITY = re.compile(r"arn:aws:iam::(?P<account>\d{12}):(?P<kind>user|role)/.+")
_ACCOUNT = re.compile(r"\*|\d{12}|arn:aws:iam::\d{12}:root|arn:aws:sts::\d{12}:assumed-role/[^/*]+/[^/*]+")
# Which parameter holds a policy, and whether statements name resources and principals in it.
_WRITES = {
    "ec2:CreateVpcEndpoint": ("PolicyDocument", True, True),
    "ec2:ModifyVpcEndpoint": ("PolicyDocument", True, True),
    "iam:CreateRole": ("AssumeRolePolicyDocument", False, True),
    "iam:UpdateAssumeRolePolicy": ("PolicyDocument", False, True),
    "kms:CreateKey": ("Policy", True, True),
    "kms:PutKeyPolicy": ("Policy", True, True),
    "s3:PutBucketPolicy": ("", True, True),
    "sts:AssumeRole": ("Policy", True, False),
}


def check(call: Call) -> None:
    """Return if a call writes no policy, or one that is well formed.

    Raises
    ------
    CallError
        If it is not; says what is wrong.
    """
    if call.action not in _WRITES:
        return
    name, resources, principals = _WRITES[call.action]
    text = call.parameters.get(name) if name else call.body.decode(errors="replace")
    if not text:
        return
    told = next(_wrong(text, resources=resources, principals=principals), None)
    if not told and call.action == "s3:PutBucketPolicy":
        told = next(_of_another_bucket(text, call.parameters["Bucket"]), None)
    if told:
        raise CallError(told, reason="policy")


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
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        for element in ("Principal", "NotPrincipal"):
            if isinstance(named := statement.get(element), dict) and "AWS" in named:
                values = named["AWS"] if isinstance(named["AWS"], list) else [named["AWS"]]
                found = [unique_id if value == arn else value for value in values]
                named["AWS"] = found if len(found) > 1 else found[0]
    told = json.dumps(document)
    return told.encode() if isinstance(text, bytes) else told


def _wrong(text: str, *, resources: bool, principals: bool) -> Iterator[str]:
    try:
        document = json.loads(text)
    except ValueError:
        yield "This policy contains invalid Json"
        return
    statements = document.get("Statement") if isinstance(document, Mapping) else None
    for statement in statements if isinstance(statements, list) else [statements]:
        if not isinstance(statement, Mapping):
            yield "Syntax errors in policy: Statement must be an object, or a list of objects"
            return
        yield from _wrong_in(statement, resources=resources, principals=principals)


def _wrong_in(statement: Mapping[str, Any], *, resources: bool, principals: bool) -> Iterator[str]:
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield "Invalid effect: it must be Allow or Deny"
    needed = [("Action", True), ("Resource", resources), ("Principal", principals)]
    for element, wanted in needed:
        given = [name for name in (element, f"Not{element}") if name in statement]
        if len(given) != wanted:
            yield f"Missing or needless element: a statement needs {int(wanted)} of {element} and Not{element}"
    for element in ("Action", "NotAction", "Resource", "NotResource"):
        values = statement.get(element, [])
        if not all(isinstance(value, str) for value in (values if isinstance(values, list) else [values])):
            yield f"Policy has invalid {element.lower()}"
    block = statement.get("Condition", {})
    if not isinstance(block, Mapping) or not all(isinstance(part, Mapping) for part in block.values()):
        yield "Syntax errors in policy: Condition must be an object of objects"
    for element in ("Principal", "NotPrincipal"):
        yield from _wrong_principals(statement.get(element, "*"))


def _of_another_bucket(text: str, bucket: str) -> Iterator[str]:
    for _, statement in Policy.of("bucket policy", text).statements():
        named = statement.get("Resource", statement.get("NotResource"))
        for pattern in [named] if isinstance(named, str) else named:
            if pattern != "*" and not fnmatchcase(bucket, pattern.removeprefix("arn:aws:s3:::").partition("/")[0]):
                yield "Policy has invalid resource"


def _wrong_principals(principal: Any) -> Iterator[str]:
    if principal == "*":
        return
    if not isinstance(principal, Mapping) or not set(principal) <= {"AWS", "Service", "Federated", "CanonicalUser"}:
        yield f"Invalid principal in policy: {principal!r}"
        return
    for kind, values in principal.items():
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str) or (kind == "AWS" and not _is_there(value)):
                yield f"Invalid principal in policy: {value}"


def _is_there(value: str) -> bool:
    found = _ENTITY.fullmatch(value)
    if not found:
        return bool(_ACCOUNT.fullmatch(value)) or _is_an_id(value)
    if found["account"] not in iam_backends:
        return False
    iam = iam_backends[found["account"]]["aws"]
    entities = iam.users.values() if found["kind"] == "user" else iam.get_roles()
    return any(entity.arn == value for entity in entities)


def _is_an_id(value: str) -> bool:
    """Tell whether a user or role has this unique id, in whatever account; AWS takes no id of one who is gone."""
    entities = (
        entity
        for one in list(iam_backends.values())
        for entity in (*one["aws"].users.values(), *one["aws"].get_roles())
    )
    return any(entity.id == value for entity in entities)
