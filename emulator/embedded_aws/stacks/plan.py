"""Diff of a stack and what it shall be: what is added, changed in place, replaced and removed, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from embedded_aws.stacks import types
from embedded_aws.stacks.errors import ResourceError, ValidationError
from embedded_aws.stacks.functions import as_text, references
from embedded_aws.stacks.scope import Scope
from embedded_aws.stacks.state import Resource, Stack, Wanted

POLICIES = (("DeletionPolicy", "deletion_policy"), ("UpdateReplacePolicy", "replace_policy"))
_PENDING = "\ue000pending:{}\ue000"  # stands for a value that is known only when the resource is there


@dataclass(frozen=True)
class Detail:
    """Why a resource changes."""

    attribute: str  # Properties, Tags, Metadata, DeletionPolicy, UpdateReplacePolicy
    name: str | None
    recreation: str  # Never or Always
    evaluation: str = "Static"
    source: str = "DirectModification"
    entity: str | None = None


@dataclass(frozen=True)
class Change:
    """What becomes of a resource."""

    action: str  # Add, Modify, Remove
    logical_id: str
    type: str
    physical_id: str | None = None
    replacement: str | None = None  # True, False, Conditional
    details: tuple[Detail, ...] = ()


def changed_properties(resource: Resource, wanted: dict[str, Any]) -> set[str]:
    """Return the names of the properties whose values differ.

    >>> changed_properties(Resource("B", "AWS::S3::Bucket", set(), {"On": True}), {"On": "true"})
    set()
    """
    names = set(resource.properties) | set(wanted)
    return {name for name in names if _plain(resource.properties.get(name)) != _plain(wanted.get(name))}


def plan(stack: Stack, wanted: Wanted, *, zones: Callable[[str], list[str]]) -> list[Change]:
    """Return every change, by logical id, without making any.

    Raises
    ------
    ValidationError
        If a resource's type would change, or a condition takes away what another resource needs.
    """
    pending: set[str] = set()

    def lookup(name: str, attribute: str | None) -> Any:
        resource = stack.resources.get(name)
        if name in pending or resource is None or not resource.there:
            return _PENDING.format(name)
        return resource.physical_id if attribute is None else resource.attributes[attribute]

    scope = Scope(stack, wanted, zones=zones, lookup=lookup)
    scope.check()
    existing = {name: resource for name, resource in stack.resources.items() if resource.there}
    template = wanted.template
    if retyped := sorted(name for name in scope.names if name in existing and template.resources[name]["Type"] != existing[name].type):  # noqa: E501  # fmt: skip
        raise ValidationError(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{', '.join(retyped)}]"
        )
    changes = []
    for name in scope.names:
        kind = template.resources[name]["Type"]
        if name not in existing:
            pending.add(name)
            changes.append(Change("Add", name, kind))
            continue
        details = _details(stack, scope, existing[name], pending)
        if details:
            replacement = _replacement(details)
            if replacement != "False":
                pending.add(name)
            changes.append(Change("Modify", name, kind, existing[name].physical_id, replacement, tuple(details)))
    for name, resource in existing.items():
        if name not in scope.names:
            changes.append(Change("Remove", name, resource.type, resource.physical_id))
    return sorted(changes, key=lambda change: change.logical_id)


def _replacement(details: list[Detail]) -> str:
    always = [detail.evaluation for detail in details if detail.recreation == "Always"]
    if not always:
        return "False"
    return "True" if "Static" in always else "Conditional"


def _details(stack: Stack, scope: Scope, resource: Resource, pending: set[str]) -> list[Detail]:
    kind = types.known()[resource.type]
    raw = scope.wanted.template.resources[resource.logical_id]
    try:
        properties = scope.properties(resource.logical_id, tagged=kind.tagged)
        names = changed_properties(resource, properties)
    except (ValidationError, ResourceError):
        # A function that needs the value of a resource that is not there yet.
        names = {n for n, value in (raw.get("Properties") or {}).items() if _targets(value) & pending}
        if not names:
            raise
    before = stack.wanted.template.resources.get(resource.logical_id, {}) if stack.wanted else {}
    old, now = before.get("Properties") or {}, raw.get("Properties") or {}
    details = [
        _why(stack, scope, old.get(name), now.get(name), name=name, pending=pending, recreation=kind.recreation(name))
        for name in sorted(names)
    ]
    if raw.get("Metadata") != resource.metadata:
        details.append(Detail("Metadata", None, "Never"))
    for attribute, field in POLICIES:
        if raw.get(attribute, "Delete") != getattr(resource, field):
            details.append(Detail(attribute, None, "Never"))
    return details


def _why(stack: Stack, scope: Scope, old: Any, now: Any, *, name: str, pending: set[str], recreation: str) -> Detail:
    """Say why a property changes: what stands in the template, a parameter, or a resource that it refers to."""
    detail = Detail("Tags", None, recreation) if name == "Tags" else Detail("Properties", name, recreation)
    for target, part in references(now):
        if target in pending:
            source = "ResourceReference" if part is None else "ResourceAttribute"
            entity = target if part is None else f"{target}.{part}"
            return replace(detail, evaluation="Dynamic", source=source, entity=entity)
    if old == now and stack.wanted:
        for target, _ in references(now):
            if stack.wanted.parameters.get(target) != scope.wanted.parameters.get(target):
                return replace(detail, source="ParameterReference", entity=target)
    return detail


def _targets(value: Any) -> set[str]:
    return {target for target, _ in references(value)}


def _plain(value: Any) -> Any:
    """Return a value so that what means the same is equal: true and "true", 1 and "1"."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if value is None else as_text(value)
