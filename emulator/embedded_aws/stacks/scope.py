"""Name resolution in one stack: parameters, pseudo parameters, and resources that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embedded_aws.stacks import parameters
from embedded_aws.stacks.errors import ResourceError, ValidationError
from embedded_aws.stacks.functions import NOTHING, PSEUDO, Values, as_text, references
from embedded_aws.stacks.state import Stack, Wanted

Lookup = Callable[[str, str | None], Any]


class Scope:
    """Resolve the properties of a wanted template in a stack.

    Parameters
    ----------
    stack : Stack
        For the pseudo parameters.
    wanted : Wanted
        Template, parameters and tags.
    zones : callable
        Region to availability zones.
    lookup : callable, optional
        ``lookup(name, attribute)`` of a resource; by default what the stack's resources say.
    """

    def __init__(
        self, stack: Stack, wanted: Wanted, *, zones: Callable[[str], list[str]], lookup: Lookup | None = None
    ) -> None:
        self._stack, self.wanted = stack, wanted
        self._lookup = lookup or self._of_stack
        template = wanted.template
        self.values = Values(
            self._resolve,
            conditions=template.conditions,
            mappings=template.mappings,
            zones=lambda r: zones(r or stack.region),
        )
        for name in template.conditions:  # each after those that it needs
            self.values.condition(name)
        self.names = [name for name in template.order() if self._included(template.resources[name])]

    def properties(self, name: str, *, tagged: bool) -> dict[str, Any]:
        """Return a resource's properties; the stack's tags are under its own."""
        properties = self.values.of(self.wanted.template.resources[name].get("Properties") or {})
        if tagged:
            own = {as_text(tag["Key"]): as_text(tag["Value"]) for tag in _tags(properties)}
            merged = {**self.wanted.tags, **own}
            properties.pop("Tags", None)
            if merged:
                properties["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(merged.items())]
        return properties

    def outputs(self) -> list[dict[str, str]]:
        """Return the outputs whose condition holds."""
        outputs = []
        for name, output in self.wanted.template.outputs.items():
            if not self._included(output):
                continue
            entry = {"OutputKey": name, "OutputValue": as_text(self.values.of(output["Value"]))}
            if output.get("Description"):
                entry["Description"] = output["Description"]
            if output.get("Export"):
                entry["ExportName"] = as_text(self.values.of(output["Export"]["Name"]))
            outputs.append(entry)
        return outputs

    def check(self) -> None:
        """Refuse references to resources whose condition does not hold.

        Raises
        ------
        ValidationError
            Names those resources.
        """
        template = self.wanted.template
        absent = set(template.resources) - set(self.names)
        outputs = [output for output in template.outputs.values() if self._included(output)]
        resources = [template.resources[name].get("Properties") or {} for name in self.names]
        for block, content in (("Resources", resources), ("Outputs", outputs)):
            used = {target for target, _ in references(self._chosen(content))}
            if missing := sorted(used & absent):
                raise ValidationError(
                    f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the {block} "
                    "block of the template"
                )

    def _chosen(self, value: Any) -> Any:
        """Return a part of the template with only those branches of Fn::If that count."""
        if isinstance(value, list):
            return [self._chosen(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Fn::If"}:
            name, yes, no = value["Fn::If"]
            return self._chosen(yes if self.values.condition(name) else no)
        return {name: self._chosen(item) for name, item in value.items()}

    def _included(self, item: dict[str, Any]) -> bool:
        return "Condition" not in item or self.values.condition(item["Condition"])

    def _resolve(self, name: str, attribute: str | None) -> Any:
        template = self.wanted.template
        if attribute is None and name in PSEUDO:
            return self._pseudo(name)
        if attribute is None and name in template.parameters:
            return parameters.referred(template.parameters[name], self.wanted.parameters[name])
        return self._lookup(name, attribute)

    def _pseudo(self, name: str) -> Any:
        return {
            "AWS::AccountId": self._stack.account,
            "AWS::NoValue": NOTHING,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self._stack.region,
            "AWS::StackId": self._stack.id,
            "AWS::StackName": self._stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }[name]

    def _of_stack(self, name: str, attribute: str | None) -> Any:
        resource = self._stack.resources.get(name)
        if resource is None or not resource.there:
            raise ResourceError(f"Unresolved resource dependencies [{name}]")
        return resource.physical_id if attribute is None else resource.attributes[attribute]


def _tags(properties: dict[str, Any]) -> list[dict[str, Any]]:
    tags = properties.get("Tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, dict) and {"Key", "Value"} == set(tag) for tag in tags):
        raise ResourceError("Properties validation failed: #/Tags: a list of {Key, Value} is required")
    return tags
