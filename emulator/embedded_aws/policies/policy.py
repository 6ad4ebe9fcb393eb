"""Policy evaluator: what the statements of policies say of one request; pure.

Source: AWS, IAM user guide, "Policy evaluation logic".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedded_aws.policies.conditions import Context, PolicyError, matches, matches_arn, substituted, unmet


@dataclass(frozen=True)
class Policy:
    """A policy document, and the name under which people find it.

    ``root_only`` says that an account that is named as a principal of an Allow stands for its root user alone, as in
    the policy of a gateway endpoint.
    """

    name: str
    document: Any
    root_only: bool = False

    @classmethod
    def of(cls, name: str, document: str | Mapping[str, Any]) -> Policy:
        """Read a document that may still be JSON text; whether it is a policy turns out when it is asked."""
        read: Any = document
        if isinstance(document, str):
            try:
                read = json.loads(document)
            except ValueError:
                read = None
        return cls(name, read)

    @property
    def variables(self) -> bool:
        """Whether ``${...}`` is a variable; in the oldest version of the language it is not."""
        return self.document.get("Version") == "2012-10-17"

    def statements(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield every statement with its Sid, or its number where it has none.

        Raises
        ------
        PolicyError
            If this is no policy.
        """
        if not isinstance(self.document, Mapping):
            raise PolicyError(f"{self.name}: it is no JSON object")
        for number, statement in enumerate(_listed(self.document.get("Statement", [])), start=1):
            if not isinstance(statement, Mapping):
                raise PolicyError(f"{self.name}: statement {number} is no JSON object")
            sid = str(statement.get("Sid") or f"statement {number}")
            if statement.get("Effect") not in ("Allow", "Deny"):
                raise PolicyError(f"{self.name}: {sid}: Effect is neither Allow nor Deny")
            yield sid, statement


@dataclass(frozen=True)
class Ask:
    """One permission that a call needs; ``context`` are condition keys in lower case.

    ``resource`` is ``*`` where the action has none: ``tests/gate/test_door.py`` holds that against what AWS publishes.
    """

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One thing that somebody wants to do.

    Parameters
    ----------
    principal : str
        ARN of who asks: a user, a role's session, or a service such as ``sagemaker.amazonaws.com``.
    account : str
        The account of who asks; empty for a service.
    action, resource : str
        Such as ``s3:GetObject`` and an ARN, or ``*`` where the action knows no resource.
    context : mapping
        Condition keys in lower case with their values.
    aliases : tuple of str
        Other names under which a policy may name who asks: the unique id of a user or role, of a session its role.
    bounded : bool
        Whether who asks has a permissions boundary.
    """

    principal: str
    account: str
    action: str
    resource: str
    context: Context = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    bounded: bool = False


# How a resource policy may name who asks: only the account; the role that a session was lent from; the user or session
# itself, or everybody. The further to the right, the fewer of the account's own policies have to allow the request.
NAMED = ("", "account", "role", "self")


@dataclass(frozen=True)
class Finding:
    """What a set of policies says: ``Allow``, ``Deny`` or nothing (``None``), and which statement says so.

    ``names`` tells how an Allow of a resource policy names who asks: one of :data:`NAMED`.
    """

    effect: str | None
    statement: str = ""
    names: str = ""


def evaluate(policies: Iterable[Policy], request: Request, *, resource_policy: bool = False) -> Finding:
    """Return what policies of one kind say of a request; an explicit deny wins.

    Where nothing applies, ``statement`` names the statement that came closest and what was missing.

    Raises
    ------
    PolicyError
        If a statement that could decide cannot be evaluated; names policy, statement and element.
    """
    allowed, near = None, ""
    for policy in policies:
        for sid, statement in policy.statements():
            where = f"{policy.name}: {sid}"
            try:
                named, lacking = _applies(policy, statement, request, resource_policy=resource_policy)
            except PolicyError as error:
                raise PolicyError(f"{where}: cannot evaluate {error}") from None
            if lacking is None and statement.get("Effect") == "Deny":
                return Finding("Deny", where)
            if lacking is None and statement.get("Effect") == "Allow":
                if allowed is None or NAMED.index(named) > NAMED.index(allowed.names):
                    allowed = Finding("Allow", where, named)
            elif lacking and statement.get("Effect") == "Allow" and _closer(lacking, near):
                near = f"{where}: {lacking}"
    return allowed or Finding(None, near)


def _closer(lacking: str, near: str) -> bool:
    order = ("does not hold", "other principal", "other resource")
    rank = {word: place for place, word in enumerate(order)}
    now = next((rank[word] for word in order if word in near), len(order))
    return next((rank[word] for word in order if word in lacking), len(order)) < now


def _applies(
    policy: Policy, statement: Mapping[str, Any], request: Request, *, resource_policy: bool
) -> tuple[str, str | None]:
    """Return how the statement names who asks, and None if it applies, else what is lacking ("" for the action)."""
    if not _covers(statement, "Action", lambda pattern: matches(pattern.lower(), request.action.lower())):
        return "", ""
    if not _covers_resource(policy, statement, request, resource_policy=resource_policy):
        return "", f"it covers other resources, not {request.resource}"
    named = _names(statement, request) if resource_policy else "self"
    if named == "account" and policy.root_only and statement["Effect"] == "Allow":
        named = ""
    if not named:
        return "", f"it trusts other principals, not {request.principal}"
    block = statement.get("Condition", {})
    if lacking := unmet(block, request.context, action=request.action, variables=policy.variables):
        return named, f"condition {lacking} does not hold"
    return named, None


def _covers(statement: Mapping[str, Any], element: str, test: Callable[[str], bool]) -> bool:
    if (element in statement) == (f"Not{element}" in statement):
        raise PolicyError(f"a statement without exactly one of {element} and Not{element}")
    if element in statement:
        return any(test(pattern) for pattern in _texts(statement[element], element))
    return not any(test(pattern) for pattern in _texts(statement[f"Not{element}"], f"Not{element}"))


def _covers_resource(policy: Policy, statement: Mapping[str, Any], request: Request, *, resource_policy: bool) -> bool:
    if resource_policy and "Resource" not in statement and "NotResource" not in statement:
        # In a trust policy the resource is the role; in a key policy such a statement has no effect.
        return request.action.startswith("sts:")

    def test(pattern: str) -> bool:
        filled = substituted(pattern, request.context) if policy.variables else pattern
        return pattern == "*" or (filled is not None and matches_arn(filled, request.resource))

    return _covers(statement, "Resource", test)


def _names(statement: Mapping[str, Any], request: Request) -> str:
    """Return how a statement of a resource policy names who asks: one of :data:`NAMED`."""
    if ("Principal" in statement) == ("NotPrincipal" in statement):
        raise PolicyError("a statement without exactly one of Principal and NotPrincipal")
    if "NotPrincipal" not in statement:
        return _named_by(statement["Principal"], request)
    if statement["Effect"] != "Deny":
        raise PolicyError("NotPrincipal in a statement that does not deny")
    return "" if _excepted(statement["NotPrincipal"], request) else "self"


def _excepted(principal: Any, request: Request) -> bool:
    """Tell whether ``NotPrincipal`` excepts who asks; it never excepts who has a boundary.

    The account has to be excepted as well: AWS looks at it first. Of a session it looks at the role, too.
    """
    named = _named_by(principal, request)
    if principal == "*" or not request.account:
        return named == "self"
    if request.bounded:
        return False
    names = _texts(principal.get("AWS", []), "AWS")
    whole = any(_is_account(name, request.account) for name in names)
    himself = named == "self"
    if ":assumed-role/" in request.principal:
        himself = any(alias in names for alias in request.aliases)
    return "*" in names or (whole and himself)


def _named_by(principal: Any, request: Request) -> str:
    if principal == "*":
        return "self"
    kinds = ("AWS", "Service", "Federated", "CanonicalUser")
    if not isinstance(principal, Mapping) or not set(principal) <= set(kinds):
        raise PolicyError(f"principal {principal!r}")
    if request.principal in _texts(principal.get("Service", []), "Service"):
        return "self"
    # A user's other name is the unique id, a session's are its role's ARN and unique id.
    alias = "role" if ":assumed-role/" in request.principal else "self"
    named = ""
    for value in _texts(principal.get("AWS", []), "AWS") if request.account else []:
        if value in ("*", request.principal):
            return "self"
        if value in request.aliases:
            named = alias
        elif not named and _is_account(value, request.account):
            named = "account"
    return named


def _is_account(value: str, account: str) -> bool:
    parts = value.split(":")
    return value == account or (len(parts) == 6 and parts[4:] == [account, "root"])


def _texts(value: Any, element: str) -> Sequence[str]:
    if not all(isinstance(item, str) for item in _listed(value)):
        raise PolicyError(f"{element} {value!r}")
    return _listed(value)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
