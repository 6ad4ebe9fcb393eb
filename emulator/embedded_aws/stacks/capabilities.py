"""Capabilities (CAPABILITY_IAM): that the caller means it when a template makes IAM resources."""

from __future__ import annotations

from embedded_aws.stacks import types
from embedded_aws.stacks.errors import InsufficientCapabilities
from embedded_aws.stacks.template import Template

_IAM = "AWS::IAM::"


def capabilities(template: Template) -> tuple[list[str], str | None]:
    """Return the capability that a template needs, and why."""
    access = {name: resource for name, resource in template.resources.items() if resource["Type"].startswith(_IAM)}
    if not access:
        return [], None
    names = {types.known()[resource["Type"]].named_by for resource in access.values()} - {None}
    named = any(names & set(resource.get("Properties") or {}) for resource in access.values())
    kinds = ", ".join(sorted({resource["Type"] for resource in access.values()}))
    return [f"CAPABILITY_{'NAMED_' * named}IAM"], f"The following resource(s) require capabilities: [{kinds}]"


def check_capabilities(template: Template, given: tuple[str, ...]) -> None:
    """Refuse a template whose capability is not given.

    Raises
    ------
    InsufficientCapabilities
        Names the capability.
    """
    needed, _ = capabilities(template)
    enough = {"CAPABILITY_NAMED_IAM", *needed}
    if needed and not enough & set(given):
        raise InsufficientCapabilities(f"Requires capabilities : {str(needed).replace(chr(39), '')}")
