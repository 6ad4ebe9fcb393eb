"""Bucket policies: what S3 refuses to write, and which it calls public.

Source: AWS, S3 user guide, "Troubleshooting bucket policies", "Blocking public access to your Amazon S3 storage", the
meaning of "public", and "Policies and permissions in Amazon S3".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from embedded_aws.policies import keys, published
from embedded_aws.policies.conditions import matches
from embedded_aws.policies.grammar import listed, statements

_S3 = "arn:aws:s3:::"
# An Allow to everybody is not public if one of these is held to fixed values.
_TRUSTED = {
    "aws:principalorgid", "aws:principalorgpaths", "aws:principalarn", "aws:principalaccount", "aws:sourcearn",
    "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount", "aws:userid",
    "s3:x-amz-server-side-encryption-aws-kms-key-id", "s3:dataaccesspointarn", "s3:dataaccesspointaccount",
}  # fmt: skip
_FIXING = ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_WIDEST = {4: 8, 6: 32}  # wider ranges of addresses are as good as all
_ACCESS_POINT = re.compile(r"arn:aws:s3:[a-z0-9*-]*:\d{12}:accesspoint/.*")


def complaint(document: Mapping[str, Any], bucket: str) -> str | None:
    """Return what S3 finds wrong with a well-formed policy for a bucket, or None."""
    return next((problem for statement in statements(document) for problem in _wrong_in(statement, bucket)), None)


def is_public(document: Mapping[str, Any]) -> bool:
    """Tell whether S3 calls a policy public: one of its statements grants something to whoever comes.

    >>> everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    >>> from_vpc = {**everybody, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-91237329"}}}
    >>> is_public({"Statement": [everybody]}), is_public({"Statement": [from_vpc]})
    (True, False)
    """
    return any(
        statement["Effect"] == "Allow" and not _has_fixed_principals(statement) and not _is_held(statement)
        for statement in statements(document)
    )


def _wrong_in(statement: Mapping[str, Any], bucket: str) -> Iterator[str]:
    resources = listed(statement.get("Resource", statement.get("NotResource")))
    for pattern in resources:
        if pattern != "*" and not fnmatchcase(bucket, pattern.removeprefix(_S3).partition("/")[0]):
            yield "Policy has invalid resource"
    odd = [key for key in _keys(statement) if not _is_key(key)]
    yield from (f"Policy has an invalid condition key - {key}" for key in odd)
    kinds = {kind for pattern in resources for kind in _kinds(pattern)} if "Resource" in statement else set()
    for pattern in listed(statement.get("Action", [])):
        named = list(_actions(pattern))
        fitting = [row for row in named if not kinds or kinds & set(row) or not {"bucket", "object"} & set(row)]
        if named and not fitting:
            yield "Action does not apply to any resource(s) in statement"
        own = [key for key in _keys(statement) if key.lower().startswith("s3:")] if named else []
        if not all(any(_brings(row, key) for row in fitting) for key in own):
            yield "Conditions do not apply to combination of actions and resources in statement"


def _kinds(pattern: str) -> set[str]:
    """Return the kinds of resources that a pattern can mean."""
    if "/" in pattern:
        return {"object"}
    return {"bucket", "object"} if pattern.endswith("*") else {"bucket"}


def _actions(pattern: str) -> Iterator[Mapping[str, list[str]]]:
    if pattern == "*":
        return
    name = pattern.partition(":")[2].lower()
    yield from (row for action, row in published.actions("s3").items() if matches(name, action.lower()))


def _keys(statement: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for part in statement.get("Condition", {}).values() for key in part)


def _is_key(key: str) -> bool:
    low = key.lower()
    if not low.startswith("s3:"):
        return keys.is_global(key)
    return any(_brings(row, key) for row in published.actions("s3").values())


def _brings(row: Mapping[str, list[str]], key: str) -> bool:
    low = key.lower()
    names = {
        name
        for kind, listed_keys in row.items()
        for name in listed_keys or (published.kinds("s3")[kind][1] if kind else ())
    }
    return low in names or any(low.startswith(name) for name in names if name.endswith("/"))


def _has_fixed_principals(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    if not isinstance(principal, Mapping) or "Federated" in principal:
        return False
    return all(not set(value) & set("*?$") for values in principal.values() for value in listed(values))


def _is_held(statement: Mapping[str, Any]) -> bool:
    """Tell whether a condition holds a statement to somebody who can be trusted, by fixed values alone."""
    for operator, part in statement.get("Condition", {}).items():
        for key, values in part.items():
            texts = [str(value) for value in listed(values)]
            if operator == "IpAddress" and key.lower() == "aws:sourceip" and all(map(_is_narrow, texts)):
                return True
            fixing = operator.removeprefix("ForAnyValue:") in _FIXING and key.lower() in _TRUSTED
            if fixing and all(_is_fixed(key.lower(), value) for value in texts):
                return True
    return False


def _is_fixed(key: str, value: str) -> bool:
    if key == "aws:userid" and ":" in value:  # that of a session, whose name anybody chooses
        return False
    if key == "s3:dataaccesspointarn":
        return bool(_ACCESS_POINT.fullmatch(value))
    return not set(value) & set("*?$")


def _is_narrow(value: str) -> bool:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    if network.version == 4 and any(network.subnet_of(private) for private in _PRIVATE):
        return True
    return network.prefixlen >= _WIDEST[network.version]
