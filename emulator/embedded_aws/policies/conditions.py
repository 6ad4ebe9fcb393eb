"""The ``Condition`` element of a policy: operators, set operators, ``IfExists`` and policy variables.

An operator or key that is not known here raises, so that a policy is never taken for kinder than it is.

Source: AWS, IAM user guide, "IAM JSON policy elements: Condition operators" and "Multivalued context keys".
"""

from __future__ import annotations

import base64
import ipaddress
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from embedded_aws.policies import keys

Context = Mapping[str, Sequence[str]]  # lower-case key -> its values, in the request

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
# Stand in a pattern for a star and a question mark that mean themselves.
_LITERAL = {"*": "\ue000", "?": "\ue001"}
_TO_LITERAL, _TO_TEXT = str.maketrans(_LITERAL), str.maketrans({mark: text for text, mark in _LITERAL.items()})


class PolicyError(Exception):
    """A policy says something that cannot be evaluated; names it."""


def unmet(block: Any, context: Context, *, action: str = "", variables: bool = True) -> str | None:
    """Return the first condition that does not hold, in words, or None when all hold.

    Parameters
    ----------
    block : mapping
        A statement's ``Condition``: operator -> key -> value or values.
    context : mapping
        What the request brings, keys in lower case.
    action : str
        What is asked for; a key that the gate does not fill for its service cannot be evaluated.
    variables : bool
        Whether values such as ``${aws:username}`` are variables.

    Raises
    ------
    PolicyError
        If an operator or a key is unknown, or a multivalued key is compared without a set operator.

    >>> unmet({"StringEquals": {"sts:ExternalId": "a"}}, {"sts:externalid": ["b"]})
    'StringEquals sts:ExternalId a'
    >>> unmet({"ForAllValues:StringEquals": {"sagemaker:VpcSubnets": "subnet-1"}}, {}) is None
    True
    """
    conditions = list(_conditions(block))
    for name, key, _ in conditions:  # all of them, before the first that does not hold ends it
        _check(name, key, context, action)
    for name, key, values in conditions:
        if not _holds(name, key, values, context, variables=variables):
            return f"{name} {key} {' | '.join(values)}"
    return None


def _conditions(block: Any) -> Iterator[tuple[str, str, list[str]]]:
    if not isinstance(block, Mapping) or not all(isinstance(part, Mapping) for part in block.values()):
        raise PolicyError("a Condition that is not made of operators, keys and values")
    for name, part in block.items():
        for key, wanted in part.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            if not values or not all(isinstance(value, (str, int, float)) for value in values):
                raise PolicyError(f"{name} on {key} with values {wanted!r}")
            yield name, key, [_text(value) for value in values]


def _check(name: str, key: str, context: Context, action: str) -> None:
    if not keys.known(key):
        raise PolicyError(f"condition key {key}")
    quantity, _, bare = name.rpartition(":")
    if bare != "Null" or quantity:
        _operator(bare.removesuffix("IfExists"))
    if quantity not in ("", "ForAllValues", "ForAnyValue"):
        raise PolicyError(f"condition operator {name}")
    if action and key.lower() not in context and not keys.filled(key, action):
        raise PolicyError(f"condition key {key} of {action}")


def _holds(name: str, key: str, wanted: list[str], context: Context, *, variables: bool) -> bool:
    quantity, _, bare = name.rpartition(":")
    values = context.get(key.lower())
    if bare == "Null" and not quantity:
        return any(_bool(value) == (values is None) for value in wanted)
    if_exists = bare.endswith("IfExists")
    compare, negated = _operator(bare.removesuffix("IfExists"))
    if values is None:
        return if_exists or quantity == "ForAllValues" or (negated and not quantity)
    if keys.is_multivalued(key) and not quantity:
        raise PolicyError(f"{name} on {key}, which has several values and needs ForAllValues or ForAnyValue")
    resolved = [substituted(value, context) if variables else value for value in wanted]
    if compare not in (matches, matches_arn):
        resolved = [value and value.translate(_TO_TEXT) for value in resolved]
    verdicts = [any(compare(value, given) for value in resolved if value is not None) != negated for given in values]
    return any(verdicts) if quantity == "ForAnyValue" else all(verdicts)


def substituted(text: str, context: Context) -> str | None:
    """Fill in policy variables such as ``${aws:username}``; None if one has no value in this request.

    What comes from a variable, and ``${*}``, is no pattern: its stars and question marks mean themselves.
    """
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match.group(1).partition(",")
        if name in ("*", "?", "$"):
            return name.translate(_TO_LITERAL)
        if not keys.known(name.strip()):
            raise PolicyError(f"policy variable {match.group(0)}")
        values = context.get(name.strip().lower())
        if values is None and not default:
            missing = True
            return ""
        return (values[0] if values else default.strip().strip("'")).translate(_TO_LITERAL)

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
    texts = [{"*": ".*", "?": "."}.get(piece, re.escape(piece.translate(_TO_TEXT))) for piece in pieces]
    return re.compile("".join(texts), re.DOTALL)


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
    try:
        return base64.b64decode(wanted, validate=True) == base64.b64decode(given)
    except ValueError:
        raise PolicyError(f"{wanted!r} as binary") from None


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


def is_operator(name: str) -> bool:
    """Tell whether there is such a condition operator, set operators and ``IfExists`` included."""
    quantity, _, bare = name.rpartition(":")
    plain = bare.removesuffix("IfExists")
    known = plain in _OPERATORS or plain in _NEGATED or (bare == "Null" and not quantity)
    return known and quantity in ("", "ForAllValues", "ForAnyValue")


def odd_dates(operator_name: str, values: Sequence[Any]) -> str:
    """Return the first value that a date operator cannot read; "" if there is none."""
    if not operator_name.rpartition(":")[2].startswith("Date"):
        return ""
    for value in values:
        try:
            _date(_text(value))
        except PolicyError:
            return repr(value)
    return ""


def _operator(name: str) -> tuple[Callable[[str, str], bool], bool]:
    if name in _NEGATED:
        return _OPERATORS[_NEGATED[name]], True
    if name not in _OPERATORS:
        raise PolicyError(f"condition operator {name}")
    return _OPERATORS[name], False
