"""Response bodies: what is said of stacks, resources and parameters."""

from __future__ import annotations

import json
from typing import Any

from embedded_aws.stacks.changesets import shown
from embedded_aws.stacks.state import Resource, Stack


def event(one: dict[str, Any]) -> dict[str, Any]:
    """Return an event with its properties as text."""
    if "ResourceProperties" not in one:
        return one
    return {**one, "ResourceProperties": json.dumps(one["ResourceProperties"], default=str)}


def has(stack: Stack, physical_id: str) -> bool:
    """Tell whether a stack has made a thing."""
    return any(one.there and one.physical_id == physical_id for one in stack.resources.values())


def of_stack(stack: Stack) -> dict[str, Any]:
    """Return what DescribeStacks tells."""
    wanted = stack.wanted
    told = {
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
    told.pop("TemplateDescription", None)
    return {name: value for name, value in told.items() if value is not None}


def summary(stack: Stack) -> dict[str, Any]:
    """Return what ListStacks tells."""
    told = {
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
    return {name: value for name, value in told.items() if value is not None}


def of_resource(stack: Stack, one: Resource, when: str) -> dict[str, Any]:
    """Return what is told of a resource; ``when`` is what the operation calls its time."""
    told = {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": one.logical_id,
        "PhysicalResourceId": one.physical_id or None,
        "ResourceType": one.type,
        when: one.changed,
        "ResourceStatus": one.status,
        "ResourceStatusReason": one.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
    return {name: value for name, value in told.items() if value is not None}


def declaration(name: str, one: dict[str, Any]) -> dict[str, Any]:
    """Return what GetTemplateSummary tells of a parameter."""
    told = {
        "ParameterKey": name,
        "ParameterType": one["Type"],
        "DefaultValue": str(one["Default"]) if "Default" in one else None,
        "NoEcho": str(one.get("NoEcho", False)).lower() == "true",
        "Description": one.get("Description"),
        "ParameterConstraints": {
            "AllowedValues": [str(value) for value in one.get("AllowedValues", [])],
            **({"AllowedPattern": one["AllowedPattern"]} if "AllowedPattern" in one else {}),
            **({"ConstraintDescription": one["ConstraintDescription"]} if "ConstraintDescription" in one else {}),
        },
    }
    return {key: value for key, value in told.items() if value is not None}
