"""Template parser: read a CloudFormation template, and refuse one that cannot work before anything is made."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from embedded_aws.stacks import shape
from embedded_aws.stacks.documents import parse
from embedded_aws.stacks.errors import ValidationError
from embedded_aws.stacks.functions import PSEUDO, references

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
            if not isinstance(content.get(section, {}), dict):
                raise ValidationError(f"Template format error: {section} must be an object.")
        if not content.get("Resources"):
            raise ValidationError("Template format error: At least one Resources member must be defined.")
        sections = {name.lower(): content.get(name) or {} for name in SECTIONS if name != "AWSTemplateFormatVersion"}
        sections["description"] = content.get("Description", "")
        if not isinstance(sections["description"], str):
            raise ValidationError("Template format error: Description must be a string.")
        shape.check(sections, known_types)
        sections["conditions"] = shape.in_order(sections["conditions"])
        template = cls(body=body, **sections)
        template._check_references()
        template._check_cycles()
        return template

    def depends(self, name: str) -> set[str]:
        """Return the resources that a resource needs first: what it refers to, and ``DependsOn``."""
        resource = self.resources[name]
        needed = {target for target, _ in references(resource.get("Properties") or {}) if target in self.resources}
        on = resource.get("DependsOn") or []
        return needed | set([on] if isinstance(on, str) else on)

    def order(self) -> list[str]:
        """Return the resources' names, each after those that it needs."""
        return list(graphlib.TopologicalSorter({name: self.depends(name) for name in self.resources}).static_order())

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
        for name, condition in _conditions(self):
            if condition not in self.conditions:
                raise ValidationError(
                    f"Template format error: Unresolved condition dependency {condition} in the {name} of the template"
                )

    def _check_cycles(self) -> None:
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


def _conditions(template: Template) -> Iterator[tuple[str, str]]:
    """Yield where a condition is used, and its name."""
    for block, content in (("Resources block", template.resources), ("Outputs block", template.outputs)):
        for item in content.values():
            if "Condition" in item:
                yield block, item["Condition"]
    properties = [resource.get("Properties") or {} for resource in template.resources.values()]
    for block, content in (("Resources block", properties), ("Outputs block", template.outputs)):
        yield from ((block, argument[0]) for name, argument in shape.functions(content) if name == "Fn::If")
    yield from (("Conditions block", name) for name in shape.named(template.conditions))
