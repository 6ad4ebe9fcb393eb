"""Service registry: what the engines must know of each AWS service, in one record per service.

The server lists the services that it serves; gate, policy evaluator and stacks look them up here and import none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

    from embedded_aws.gate.calls import Call
    from embedded_aws.gate.principals import Principal
    from embedded_aws.gate.trail import Trail
    from embedded_aws.policies.grammar import Kind
    from embedded_aws.policies.policy import Ask, Policy, Request
    from embedded_aws.stacks.resource_type import ResourceType


@dataclass(frozen=True)
class Setting:
    """Where a service is put in the place of moto's.

    Parameters
    ----------
    trail : Trail
        The gate's, with every decision.
    endpoint : str
        URL under which jobs and stacks reach this AWS.
    jobs : Path
        Folder of the training jobs' folders.
    network : Any
        The switchboard of the EC2 service.
    """

    trail: Trail
    endpoint: str
    jobs: Path
    network: Any


@dataclass(frozen=True)
class ConditionKeys:
    """Condition keys of one service's own, as regular expressions over names without the service's prefix.

    Parameters
    ----------
    known : str
        Those that there are.
    unfilled : str
        Those of them whose value the gate never knows: a ``Deny`` on one would never hold, so that a policy with it is
        refused.
    multivalued : frozenset of str
        Those that hold several values in one request, so that a policy must say how to compare them.
    """

    known: str = ""
    unfilled: str = ""
    multivalued: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Writes:
    """A policy that an operation writes.

    Parameters
    ----------
    member : str
        Member of the request that holds it; empty where it is the body.
    kind : Kind
        Of the policy.
    """

    member: str
    kind: Kind


def _nothing(*_: Any) -> None:
    return None


def _no_policy(_: Request) -> tuple[Policy | None, bool]:
    return None, False


def _none(*_: Any) -> Iterator[Any]:
    return iter(())


@dataclass(frozen=True)
class Service:
    """One AWS service; its operations stand under its name on the door list, ``gate/door.toml``.

    Parameters
    ----------
    name : str
        As signatures and actions spell it.
    asks : callable
        ``asks(call, caller)`` yields every permission that a call needs; nothing for what is free.
    install : callable
        Puts this service's corrections in the place of moto's; called once, before the first request.
    application : callable
        Makes the service's web application where moto's is not used at all.
    keys : ConditionKeys
    tags : callable
        ``tags(region, account, arn, name)`` returns the tags of something that is there; None where tags are not read.
    passes : mapping
        Member of a request that holds a role -> the service that is to take it.
    policy_of : callable
        Returns the resource-based policy that a request meets, and whether it has to allow the request even in its own
        account.
    owner_of : callable
        Returns the account of a resource whose ARN does not tell, or None.
    lent : set of str
        Operations that one account may carry out on another's resources.
    also_asks : callable
        Yields what must be allowed, too, once the asked is.
    may_delete_some : set of str
        Operations that answer for each of several resources, and may be denied for some of them.
    cut_off : callable
        Returns why the service refuses what policies allow, or None.
    complaint : callable
        Returns code and words why the service cannot do for another service what its caller may; None if it can.
    check : callable
        ``check(call, caller)`` raises where the service itself refuses an allowed call: quotas, settings.
    dry_run : str
        Member of requests that asks for the decision alone.
    writes : mapping
        Operation -> the policy that it writes.
    check_policy : callable
        ``check_policy(call, text, document, caller)`` raises where the service refuses a well-formed policy.
    rewrite_policies : callable
        Puts ``change(text)`` in the place of every policy that the service keeps.
    types : tuple of type
        Resource types of stacks.
    """

    name: str
    asks: Callable[[Call, Principal], Iterator[Ask]]
    install: Callable[[Setting], None] = _nothing
    application: Callable[[], Flask] | None = None
    keys: ConditionKeys = field(default_factory=ConditionKeys)
    tags: Callable[[str, str, str, str], Mapping[str, str]] | None = None
    passes: Mapping[str, str] = field(default_factory=dict)
    policy_of: Callable[[Request], tuple[Policy | None, bool]] = _no_policy
    owner_of: Callable[[Ask], str | None] = _nothing
    lent: frozenset[str] = frozenset()
    also_asks: Callable[[Call], Iterator[Ask]] = _none
    may_delete_some: frozenset[str] = frozenset()
    cut_off: Callable[[Request], str | None] = _nothing
    complaint: Callable[[str], tuple[str, str] | None] = _nothing
    check: Callable[[Call, Principal], None] = _nothing
    dry_run: str = ""
    writes: Mapping[str, Writes] = field(default_factory=dict)
    check_policy: Callable[[Call, str, Mapping[str, Any], Principal], None] = _nothing
    rewrite_policies: Callable[[Callable[[Any], Any]], None] = _nothing
    types: tuple[type[ResourceType], ...] = ()

    def knows(self, key: str) -> bool:
        """Tell whether a condition key, such as ``s3:prefix``, is one of this service's own."""
        prefix, _, name = key.lower().partition(":")
        return prefix == self.name and bool(re.fullmatch(self.keys.known, name))


_served: dict[str, Service] = {}


def serve(services: Iterable[Service]) -> None:
    """Make these the services that there are."""
    _served.clear()
    _served.update({service.name: service for service in services})


def served() -> Mapping[str, Service]:
    """Return the services that there are, by name."""
    return _served
