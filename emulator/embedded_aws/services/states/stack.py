"""State machines."""

from __future__ import annotations

import json
import re
from typing import Any

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, pick

_PLACE = re.compile(r"\$\{([A-Za-z0-9_-]+)\}")


class StateMachine(ResourceType):
    """``AWS::StepFunctions::StateMachine``."""

    name = "AWS::StepFunctions::StateMachine"
    fixed = ("StateMachineName", "StateMachineType")
    mutable = ("DefinitionString", "Definition", "DefinitionSubstitutions", "RoleArn")
    required = ("RoleArn",)
    named_by = "StateMachineName"
    attributes = ("Arn", "Name")
    tagged = True

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse a machine with two definitions, or with none."""
        super().check(properties)
        if ("DefinitionString" in properties) == ("Definition" in properties):
            raise ResourceError("Property validation failure: one of Definition and DefinitionString must be given")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the machine."""
        response = scene.call(
            "stepfunctions",
            "create_state_machine",
            name=p.get("StateMachineName") or scene.generated(longest=80),
            definition=_definition(p),
            tags=_tags(scene.tags(p)),
            **pick(p, roleArn="RoleArn", type="StateMachineType"),
        )
        scene.made(response["stateMachineArn"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set definition, role and tags."""
        machine = scene.resource.physical_id
        if (_definition(p), p["RoleArn"]) != (_definition(old), old["RoleArn"]):
            scene.call(
                "stepfunctions",
                "update_state_machine",
                stateMachineArn=machine,
                definition=_definition(p),
                roleArn=p["RoleArn"],
            )
        kept = {tag["Key"] for tag in p.get("Tags") or []}
        if gone := [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
            scene.call("stepfunctions", "untag_resource", resourceArn=machine, tagKeys=gone)
        if p.get("Tags") != old.get("Tags"):
            scene.call("stepfunctions", "tag_resource", resourceArn=machine, tags=_tags(scene.tags(p)))

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the machine."""
        scene.call("stepfunctions", "delete_state_machine", stateMachineArn=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and name."""
        arn = scene.resource.physical_id
        return {"Arn": arn, "Name": arn.rpartition(":")[2]}


def _definition(p: dict[str, Any]) -> str:
    """Return the definition with its substitutions; what has none stays as it is, as on AWS."""
    text = p["DefinitionString"] if "DefinitionString" in p else json.dumps(p["Definition"])
    values = p.get("DefinitionSubstitutions", {})
    return _PLACE.sub(lambda match: str(values.get(match[1], match[0])), text)


def _tags(tags: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
    return [{"key": tag["Key"], "value": tag["Value"]} for tag in tags] if tags else None
