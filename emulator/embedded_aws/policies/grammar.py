"""Policy documents checked against the grammar of IAM's policy language: elements, versions, actions, principals.

What a service checks when a document is written, not what it makes of it when somebody asks for something. Each kind of
policy has rules of its own; the word of the table for each is :class:`Kind`.

Source: AWS, IAM user guide, "Grammar of the IAM JSON policy language" and the pages on each element; "Permissions
policies and trust policies"; AWS, S3 user guide, "Troubleshooting bucket policies"; AWS, KMS developer guide, "Key
policies".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embedded_aws.policies import conditions, published

VERSIONS = ("2008-10-17", "2012-10-17")
_TOP = {"Version", "Id", "Statement"}
_PAIRS = ("Principal", "Action", "Resource")
_IN_STATEMENT = {"Sid", "Effect", "Condition", *_PAIRS, *(f"Not{name}" for name in _PAIRS)}
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[\w*?-]+", re.ASCII)
_RESOURCE = re.compile(r"\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:.+", re.DOTALL)
_KEY = re.compile(r"[\w.-]+:.+", re.ASCII)
_SID = re.compile(r"[A-Za-z0-9]*", re.ASCII)
_CHARACTERS = re.compile(r"[\t\n\r\x20-\xff]*")
_PRINCIPALS = ("AWS", "Service", "Federated", "CanonicalUser")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", re.ASCII)
_CANONICAL = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Kind:
    """What the documents of one kind of policy must and may hold.

    Parameters
    ----------
    resources : str
        ``needed``, ``free`` or ``forbidden``: whether statements have ``Resource`` or ``NotResource``.
    principals : bool
        Whether every statement has ``Principal`` or ``NotPrincipal``; otherwise none may.
    service : str
        The one service whose actions may be named; empty for all.
    all_actions : bool
        Whether ``*`` may stand for all actions.
    not_principal : bool
        Whether ``NotPrincipal`` may stand in statements that deny.
    plain_sids : bool
        Whether a Sid is made of letters and digits, and stands once.
    """

    resources: str = "needed"
    principals: bool = True
    service: str = ""
    all_actions: bool = True
    not_principal: bool = True
    plain_sids: bool = False


IDENTITY = Kind(principals=False, plain_sids=True)
SESSION = IDENTITY
TRUST = Kind(resources="forbidden", service="sts", all_actions=False, not_principal=False, plain_sids=True)
BUCKET = Kind(service="s3")
KEY = Kind(resources="free", service="kms")
ENDPOINT = Kind()
CONTROL = Kind(principals=False)


def read(text: str) -> Any:
    """Return a document; the same key twice in one object is no document.

    Raises
    ------
    ValueError
        If it is no JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def complaint(text: str, kind: Kind) -> str | None:
    """Return what is wrong with a document, or None.

    >>> complaint('{"Statement": {"Effect": "allow", "Action": "s3:*", "Resource": "*"}}', IDENTITY)
    "Syntax errors in policy: Effect must be Allow or Deny, not 'allow'"
    """
    try:
        document = read(text)
    except (ValueError, RecursionError):
        return "This policy contains invalid Json"
    return next(_wrong(text, document, kind), None)


def statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the statements of a document."""
    element = document["Statement"]
    return element if isinstance(element, list) else [element]


def listed(value: Any) -> list[Any]:
    """Return one value or several as a list."""
    return value if isinstance(value, list) else [value]


def _wrong(text: str, document: Any, kind: Kind) -> Iterator[str]:
    if not isinstance(document, Mapping):
        yield "Syntax errors in policy: it is no JSON object"
        return
    if not _CHARACTERS.fullmatch(text):
        yield "Syntax errors in policy: it holds characters outside U+0020 to U+00FF"
    if unknown := sorted(set(document) - _TOP):
        yield f"Syntax errors in policy: unknown element {unknown[0]}"
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        yield f"Syntax errors in policy: Version must be {' or '.join(VERSIONS)}"
    if not isinstance(document.get("Id", ""), str):
        yield "Syntax errors in policy: Id must be text"
    element = document.get("Statement")
    if not element or not all(isinstance(statement, Mapping) for statement in listed(element)):
        yield "Syntax errors in policy: Statement must be an object, or a list of objects"
        return
    for statement in listed(element):
        yield from _wrong_in(statement, kind)
    if kind.plain_sids:
        yield from _wrong_sids(listed(element))


def _wrong_sids(statements: list[Mapping[str, Any]]) -> Iterator[str]:
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if len(set(sids)) != len(sids):
        yield "Statement IDs (SID) in a single policy must be unique."
    if odd := [sid for sid in sids if not _SID.fullmatch(sid)]:
        yield f"Statement IDs (SID) must be alpha-numeric: {odd[0]!r}"


def _wrong_in(statement: Mapping[str, Any], kind: Kind) -> Iterator[str]:
    if unknown := sorted(set(statement) - _IN_STATEMENT):
        yield f"Syntax errors in policy: unknown element {unknown[0]}"
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield f"Syntax errors in policy: Effect must be Allow or Deny, not {statement.get('Effect')!r}"
    if not isinstance(statement.get("Sid", ""), str):
        yield "Syntax errors in policy: Sid must be text"
    yield from _wrong_pairs(statement, kind)
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if name in statement:
            yield from _wrong_patterns(name, statement[name], kind)
    yield from _wrong_conditions(statement.get("Condition", {}))
    if "NotPrincipal" in statement and statement.get("Effect") != "Deny":
        yield "NotPrincipal must be used with Deny"
    for name in ("Principal", "NotPrincipal"):
        if name in statement:
            yield from _wrong_principals(statement[name])


def _wrong_pairs(statement: Mapping[str, Any], kind: Kind) -> Iterator[str]:
    rules = {"Action": "needed", "Resource": kind.resources, "Principal": "needed" if kind.principals else "forbidden"}
    for name, rule in rules.items():
        present = [element for element in (name, f"Not{name}") if element in statement]
        if len(present) > 1:
            yield f"Syntax errors in policy: a statement holds {present[0]} and {present[1]}"
        if present and rule == "forbidden":
            yield f"Has prohibited field {present[0]}"
        if not present and rule == "needed":
            yield f"Missing required field {name}"
    if "NotPrincipal" in statement and not kind.not_principal:
        yield "Has prohibited field NotPrincipal"


def _wrong_patterns(name: str, value: Any, kind: Kind) -> Iterator[str]:
    if not value or not all(isinstance(pattern, str) for pattern in listed(value)):
        yield f"Syntax errors in policy: {name} must be text, or a list of texts"
        return
    for pattern in listed(value):
        if name.endswith("Resource"):
            if not _RESOURCE.fullmatch(pattern):
                yield f'Policy has invalid resource: {pattern} must be in ARN format or "*"'
        elif not _ACTION.fullmatch(pattern):
            yield f"Policy has invalid action: {pattern} must be prefaced by a vendor, such as iam or ec2"
        elif kind.service and not is_action(pattern, kind):
            yield f"Policy has invalid action: {pattern}"


def is_action(pattern: str, kind: Kind) -> bool:
    """Tell whether a pattern means actions that a kind of policy may name."""
    if pattern == "*":
        return kind.all_actions
    service, _, name = pattern.partition(":")
    return service.lower() == kind.service and any(
        conditions.matches(name.lower(), action.lower()) for action in published.actions(kind.service)
    )


def _wrong_conditions(block: Any) -> Iterator[str]:
    if not isinstance(block, Mapping) or not all(isinstance(part, Mapping) for part in block.values()):
        yield "Syntax errors in policy: Condition must be an object of objects"
        return
    for operator, part in block.items():
        if not conditions.is_operator(operator):
            yield f"Syntax errors in policy: unknown condition operator {operator}"
        for key, values in part.items():
            if not _KEY.fullmatch(key):
                yield f"Conditions must be prefaced by a vendor, such as aws or s3: {key}"
            if values == [] or not all(isinstance(value, (str, int, float)) for value in listed(values)):
                yield f"Syntax errors in policy: {operator} on {key} needs values"
            elif conditions.is_operator(operator) and (odd := conditions.odd_dates(operator, listed(values))):
                yield f"The policy failed legacy parsing: {odd} is no date"


def _wrong_principals(principal: Any) -> Iterator[str]:
    if principal == "*":
        return
    if not isinstance(principal, Mapping) or not principal or not set(principal) <= set(_PRINCIPALS):
        yield f"Invalid principal in policy: {principal!r}"
        return
    for kind, values in principal.items():
        if not values or not all(isinstance(value, str) for value in listed(values)):
            yield f"Invalid principal in policy: {kind} must be text, or a list of texts"
            return
        form = {"Service": _SERVICE, "CanonicalUser": _CANONICAL}.get(kind)
        for value in listed(values):
            if form and not form.fullmatch(value):
                yield f'Invalid principal in policy: "{kind}":"{value}"'
