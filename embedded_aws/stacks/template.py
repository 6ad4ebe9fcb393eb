"""Read a CloudFormation template, and refuse one that cannot work before anything is made."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from embedded_aws.stacks.documents import parse
from embedded_aws.stacks.errors import ValidationError
from embedded_aws.stacks.functions import FUNCTIONS, PSEUDO, references

MAX_BYTES = 51_200
SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Resources",
    "Outputs",
}
ATTRIBUTES = {
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "Metadata",
    "DeletionPolicy",
    "UpdateReplacePolicy",
}
POLICIES = {"DeletionPolicy": {"Delete", "Retain", "RetainExceptOnCreate"}, "UpdateReplacePolicy": {"Delete", "Retain"}}


@dataclass(frozen=True)
class Template:
    """A template's sections, checked."""

    body: str
    description: str
    metadata: dict[str, Any]
    parameters: dict[str, dict[str, Any]]
    mappings: dict[str, Any]
    conditions: dict[str, Any]
    resources: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, body: str, *, known_types: Collection[str]) -> Template:
        """Parse YAML (with short tags) or JSON and check everything that needs no parameter value.

        Raises
        ------
        ValidationError
            In AWS's words where AWS has some: what is wrong, and in which resource.
        """
        if not body or len(body.encode()) > MAX_BYTES:
            raise ValidationError(
                f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                f"length between 1 and {MAX_BYTES}"
            )
        content = parse(body)
        if not isinstance(content, dict):
            raise ValidationError("Template format error: unsupported structure.")
        if "Transform" in content:
            raise ValidationError("Template format error: Transform and macros are not done by the embedded AWS.")
        if unknown := sorted(map(str, set(content) - SECTIONS)):
            raise ValidationError(f"Invalid template property or properties [{', '.join(unknown)}]")
        if str(content.get("AWSTemplateFormatVersion", "2010-09-09")) != "2010-09-09":
            raise ValidationError("Template format error: unsupported value for AWSTemplateFormatVersion.")
        for section in sorted(SECTIONS - {"AWSTemplateFormatVersion", "Description"}):
            if not isinstance(content.get(section) or {}, dict):
                raise ValidationError(f"Template format error: {section} must be an object.")
        if not content.get("Resources"):
            raise ValidationError("Template format error: At least one Resources member must be defined.")
        sections = {name.lower(): content.get(name) or {} for name in SECTIONS if name != "AWSTemplateFormatVersion"}
        sections["description"] = content.get("Description") or ""
        sections.pop("awstemplateformatversion", None)
        template = cls(body=body, **sections)
        template._check(known_types)
        return template

    def depends(self, name: str) -> set[str]:
        """Return the resources that a resource needs first: what it refers to, and ``DependsOn``."""
        resource = self.resources[name]
        found = {target for target, _ in references(resource.get("Properties") or {}) if target in self.resources}
        on = resource.get("DependsOn") or []
        return (found | set([on] if isinstance(on, str) else on)) - {name}

    def order(self) -> list[str]:
        """Return the resources' names, each after those that it needs."""
        return list(graphlib.TopologicalSorter({name: self.depends(name) for name in self.resources}).static_order())

    def _check(self, known_types: Collection[str]) -> None:
        for name, resource in self.resources.items():
            if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
                raise ValidationError(
                    f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
                )
            if not isinstance(resource.get("Properties") or {}, dict):
                raise ValidationError(f"Template format error: [/Resources/{name}/Properties] must be an object")
        if unknown := sorted({resource["Type"] for resource in self.resources.values()} - set(known_types)):
            raise ValidationError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
        for name, resource in self.resources.items():
            self._check_attributes(name, resource)
        self._check_references()
        self._check_cycles()

    def _check_attributes(self, name: str, resource: dict[str, Any]) -> None:
        if not name.isalnum():
            raise ValidationError(f"Template format error: Resource name {name} is non alphanumeric.")
        if unknown := sorted(set(resource) - ATTRIBUTES):
            raise ValidationError(f"Invalid template resource property '{unknown[0]}' (resource {name})")
        for attribute, allowed in POLICIES.items():
            if attribute in resource and resource[attribute] not in allowed:
                raise ValidationError(
                    f"Template format error: {attribute} of resource {name} must be one of {sorted(allowed)}; "
                    f"the embedded AWS does not do {resource[attribute]!r}"
                )
        if (condition := resource.get("Condition")) is not None and condition not in self.conditions:
            raise ValidationError(
                f"Template format error: Unresolved condition dependency {condition} in the Resources block"
            )

    def _check_references(self) -> None:
        for block, content in (("Resources", self.resources), ("Outputs", self.outputs)):
            unresolved = set()
            for target, attribute in references(_looked_at(block, content)):
                if target in self.resources or (attribute is None and (target in self.parameters or target in PSEUDO)):
                    continue
                if attribute is not None and target not in self.parameters:
                    raise ValidationError(
                        f"Template error: instance of Fn::GetAtt references undefined resource {target}"
                    )
                unresolved.add(target)
            if unresolved:
                raise ValidationError(
                    f"Template format error: Unresolved resource dependencies [{', '.join(sorted(unresolved))}] "
                    f"in the {block} block of the template"
                )
        for name, resource in self.resources.items():
            on = resource.get("DependsOn") or []
            if gone := sorted(set([on] if isinstance(on, str) else on) - set(self.resources)):
                raise ValidationError(
                    f"Template format error: Unresolved resource dependencies [{', '.join(gone)}] in the Resources "
                    f"block of the template (DependsOn of {name})"
                )
        self._check_conditions()

    def _check_conditions(self) -> None:
        for target, _ in references(self.conditions):
            if target not in self.parameters and target not in PSEUDO:
                raise ValidationError(
                    f"Template format error: Unresolved dependencies [{target}]. "
                    "Cannot reference resources in the Conditions block of the template"
                )
        for name, condition in _conditions(
            {"r": list(self.resources.values()), "o": self.outputs, "c": self.conditions}
        ):
            if condition not in self.conditions:
                raise ValidationError(
                    f"Template format error: Unresolved condition dependency {condition} in the {name} of the template"
                )
        known = FUNCTIONS | {"Ref", "Condition"}
        if unknown := sorted(_functions([self.resources, self.outputs, self.conditions]) - known):
            raise ValidationError(
                f"Template error: the embedded AWS does not do {unknown[0]}, but {', '.join(sorted(known))}"
            )

    def _check_cycles(self) -> None:
        for name, resource in self.resources.items():
            if any(target == name for target, _ in references(resource.get("Properties") or {})):
                raise ValidationError(f"Circular dependency between resources: [{name}]")
        try:
            self.order()
        except graphlib.CycleError as error:
            raise ValidationError(
                f"Circular dependency between resources: [{', '.join(sorted(set(error.args[1])))}]"
            ) from None


def _looked_at(block: str, content: dict[str, Any]) -> Any:
    """Leave out what AWS does not evaluate: the metadata of resources."""
    if block != "Resources":
        return content
    return [resource.get("Properties") or {} for resource in content.values()]


def _functions(value: Any) -> Iterator[str] | set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        if len(value) == 1 and (name := next(iter(value))) and isinstance(name, str) and name.startswith("Fn::"):
            found.add(name)
        for item in value.values():
            found |= set(_functions(item))
    elif isinstance(value, list):
        for item in value:
            found |= set(_functions(item))
    return found


def _conditions(value: Any, where: str = "Conditions block") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "Fn::If" and isinstance(item, list) and item and isinstance(item[0], str):
                yield "Resources or Outputs block", item[0]
            if name == "Condition" and isinstance(item, str) and len(value) == 1:
                yield where, item
            yield from _conditions(item, where)
    elif isinstance(value, list):
        for item in value:
            yield from _conditions(item, where)
