"""The ``Condition`` element of a policy: operators, set operators, ``IfExists`` and policy variables.

An operator or key that is not known here raises, so that a policy is never taken for kinder than it is.

Source: AWS, IAM user guide, "IAM JSON policy elements: Condition operators" and "Multivalued context keys".
"""

from __future__ import annotations

import base64
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Context = Mapping[str, Sequence[str]]  # lower-case key -> its values, in the request

_KEYS = re.compile(
    r"""aws:(principalarn|principalaccount|principaltype|principalisawsservice|principalservicename|principalorgid
    |userid|username|sourceaccount|sourcearn|sourceip|sourcevpc|sourcevpce|sourceidentity|sourceorgid|securetransport
    |requestedregion|resourceaccount|resourceorgid|currenttime|epochtime|tokenissuetime|useragent|referer|viaawsservice
    |calledvia|calledviafirst|calledvialast|vpcsourceip|multifactorauthpresent|multifactorauthage|tagkeys
    |(principal|request|resource)tag/.+)
    |sts:(externalid|rolesessionname|sourceidentity|transitivetagkeys)
    |iam:(passedtoservice|associatedresourcearn|permissionsboundary|policyarn|resourcetag/.+)
    |sagemaker:(vpcsubnets|vpcsecuritygroupids|instancetypes|networkisolation|intercontainertrafficencryption
    |outputkmskey|volumekmskey|maxruntimeinseconds|directinternetaccess|rootaccess|minimuminstancemetadataserviceversion
    |keepaliveperiod|resourcetag/.+)
    |s3:(prefix|delimiter|max-keys|versionid|x-amz-acl|x-amz-server-side-encryption
    |x-amz-server-side-encryption-aws-kms-key-id|x-amz-storage-class|x-amz-copy-source|resourceaccount|tlsversion
    |signatureversion|signatureage|authtype|x-amz-content-sha256|locationconstraint)
    |kms:(viaservice|calleraccount|grantisforawsresource|keyorigin|requestalias|resourcealiases)
    |ec2:(accepter|requester)vpc|ec2:(vpc|region|vpceservicename|vpcpeeringconnectionid|subnet|resourcetag/.+)""",
    re.VERBOSE | re.IGNORECASE,
)
# These hold several values in one request, so that a policy must say how to compare them.
_MULTIVALUED = {"sagemaker:vpcsubnets", "sagemaker:vpcsecuritygroupids", "sagemaker:instancetypes", "aws:tagkeys"}
_MULTIVALUED |= {"aws:calledvia", "sts:transitivetagkeys", "kms:resourcealiases"}
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class PolicyError(Exception):
    """A policy says something that cannot be evaluated; names it."""


def unmet(block: Mapping[str, Any], context: Context) -> str | None:
    """Return the first condition that does not hold, in words, or None when all hold.

    Parameters
    ----------
    block : mapping
        A statement's ``Condition``: operator -> key -> value or values.
    context : mapping
        What the request brings, keys in lower case.

    Raises
    ------
    PolicyError
        If an operator or a key is unknown, or a multivalued key is compared without a set operator.

    >>> unmet({"StringEquals": {"sts:ExternalId": "a"}}, {"sts:externalid": ["b"]})
    'StringEquals sts:ExternalId a'
    >>> unmet({"ForAllValues:StringEquals": {"sagemaker:VpcSubnets": "subnet-1"}}, {}) is None
    True
    """
    for name, keys in block.items():
        for key, wanted in keys.items():
            values = [_text(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
            if not _holds(name, key, values, context):
                return f"{name} {key} {' | '.join(values)}"
    return None


def _holds(name: str, key: str, wanted: list[str], context: Context) -> bool:
    if not _KEYS.fullmatch(key):
        raise PolicyError(f"condition key {key}")
    quantity, _, bare = name.rpartition(":")
    bare, if_exists = bare.removesuffix("IfExists"), bare.endswith("IfExists")
    found = context.get(key.lower())
    if bare == "Null" and not (quantity or if_exists):
        return _bool(wanted[0]) == (found is None)
    compare, negated = _operator(bare)
    if quantity not in ("", "ForAllValues", "ForAnyValue"):
        raise PolicyError(f"condition operator {name}")
    if found is None:
        return if_exists or quantity == "ForAllValues" or (negated and not quantity)
    if key.lower() in _MULTIVALUED and not quantity:
        raise PolicyError(f"{name} on {key}, which has several values and needs ForAllValues or ForAnyValue")
    resolved = [value for value in (substituted(value, context) for value in wanted) if value is not None]
    verdicts = [any(compare(value, given) for value in resolved) != negated for given in found]
    return any(verdicts) if quantity == "ForAnyValue" else all(verdicts)


def substituted(text: str, context: Context) -> str | None:
    """Fill in policy variables such as ``${aws:username}``; None if one has no value in this request."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match.group(1).partition(",")
        if name.strip() in ("*", "?", "$"):  # a star, question mark or dollar that means itself
            raise PolicyError(f"policy variable {match.group(0)}")
        found = context.get(name.strip().lower())
        if found is None and not default:
            missing = True
            return ""
        return found[0] if found else default.strip().strip("'")

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern with ``*`` and ``?`` covers the whole text.

    >>> matches("fl-*", "fl-client-1"), matches("fl-*", "my-fl-job")
    (True, False)
    """
    return bool(_compiled(pattern).fullmatch(text))


def matches_arn(pattern: str, arn: str) -> bool:
    """Compare two ARNs part by part: a ``*`` does not reach over the first five colons.

    >>> matches_arn("arn:aws:s3:::a*", "arn:aws:s3:::ab/c"), matches_arn("arn:aws:iam::*:role/x", "arn:aws:s3:::role/x")
    (True, False)
    """
    parts, given = pattern.split(":", 5), arn.split(":", 5)
    if len(parts) < 6 or len(given) < 6:
        return matches(pattern, arn)
    return all(matches(part, value) for part, value in zip(parts, given, strict=True))


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"([*?])", pattern)
    return re.compile("".join({"*": ".*", "?": "."}.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise PolicyError(f"{text!r} as true or false")
    return text.lower() == "true"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PolicyError(f"{text!r} as a number") from None


def _date(text: str) -> datetime:
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise PolicyError(f"{text!r} as a date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _address(wanted: str, given: str) -> bool:
    try:
        return ipaddress.ip_address(given) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        raise PolicyError(f"{wanted!r} as an address range") from None


def _binary(wanted: str, given: str) -> bool:
    return base64.b64decode(wanted) == base64.b64decode(given)


def _compare(read: Callable[[str], Any], relation: Callable[[Any, Any], bool]) -> Callable[[str, str], bool]:
    return lambda wanted, given: relation(read(given), read(wanted))


_RELATIONS = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": operator.eq,
    "StringEqualsIgnoreCase": lambda wanted, given: wanted.lower() == given.lower(),
    "StringLike": matches,
    "ArnEquals": matches_arn,  # AWS: ArnEquals and ArnLike behave identically
    "ArnLike": matches_arn,
    "Bool": _compare(lambda text: text.lower(), operator.eq),
    "BinaryEquals": _binary,
    "IpAddress": _address,
    **{f"Numeric{name}": _compare(_number, relation) for name, relation in _RELATIONS.items()},
    **{f"Date{name}": _compare(_date, relation) for name, relation in _RELATIONS.items()},
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def _operator(name: str) -> tuple[Callable[[str, str], bool], bool]:
    if name in _NEGATED:
        return _OPERATORS[_NEGATED[name]], True
    if name not in _OPERATORS:
        raise PolicyError(f"condition operator {name}")
    return _OPERATORS[name], False
