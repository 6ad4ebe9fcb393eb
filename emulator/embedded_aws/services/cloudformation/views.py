"""Response bodies: what is said of stacks, resources and parameters."""

from __future__ import annotations

import json
from typing import Any

from embedded_aws.stacks.changesets import shown
from embedded_aws.stacks.state import Resource, Stack


def event(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an event with its properties as text."""
    if "ResourceProperties" not in entry:
        return entry
    return {**entry, "ResourceProperties": json.dumps(entry["ResourceProperties"], default=str)}


def has(stack: Stack, physical_id: str) -> bool:
    """Tell whether a stack has made a thing."""
    return any(resource.there and resource.physical_id == physical_id for resource in stack.resources.values())


def of_stack(stack: Stack) -> dict[str, Any]:
    """Return what DescribeStacks tells."""
    wanted = stack.wanted
    members = {
        **summary(stack),
        "Description": (wanted.template.description or None) if wanted else None,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in shown(wanted).items()] if wanted else [],
        "Capabilities": list(wanted.capabilities) if wanted else [],
        "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags.items()] if wanted else [],
        "Outputs": stack.outputs,
        "ChangeSetId": stack.made_by,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "DisableRollback": stack.on_failure == "DO_NOTHING",
        "EnableTerminationProtection": stack.protected,
        "TimeoutInMinutes": stack.timeout_minutes,
        "RetainExceptOnCreate": stack.retain_except_on_create or None,
    }
    members.pop("TemplateDescription", None)
    return {name: value for name, value in members.items() if value is not None}


def summary(stack: Stack) -> dict[str, Any]:
    """Return what ListStacks tells."""
    members = {
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": (stack.wanted.template.description or None) if stack.wanted else None,
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }
    return {name: value for name, value in members.items() if value is not None}


def of_resource(stack: Stack, resource: Resource, when: str) -> dict[str, Any]:
    """Return what is told of a resource; ``when`` is what the operation calls its time."""
    members = {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id or None,
        "ResourceType": resource.type,
        when: resource.changed,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
    return {name: value for name, value in members.items() if value is not None}


def declaration(name: str, parameter: dict[str, Any]) -> dict[str, Any]:
    """Return what GetTemplateSummary tells of a parameter."""
    members = {
        "ParameterKey": name,
        "ParameterType": parameter["Type"],
        "DefaultValue": str(parameter["Default"]) if "Default" in parameter else None,
        "NoEcho": str(parameter.get("NoEcho", False)).lower() == "true",
        "Description": parameter.get("Description"),
        "ParameterConstraints": {
            "AllowedValues": [str(value) for value in parameter.get("AllowedValues", [])],
            **({"AllowedPattern": parameter["AllowedPattern"]} if "AllowedPattern" in parameter else {}),
            **(
                {"ConstraintDescription": parameter["ConstraintDescription"]}
                if "ConstraintDescription" in parameter
                else {}
            ),
        },
    }
    return {key: value for key, value in members.items() if value is not None}
