"""Change sets: what an update would do, kept until somebody executes it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from embedded_aws.stacks.plan import Change, Detail
from embedded_aws.stacks.state import Stack, Wanted

NOTHING_TO_DO = "The submitted information didn't contain changes. Submit different information to create a change set."


@dataclass
class ChangeSet:
    """A change set of a stack."""

    name: str
    stack: Stack
    kind: str  # CREATE or UPDATE
    wanted: Wanted
    description: str | None
    changes: list[Change]
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    execution: str = "AVAILABLE"
    id: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if not self.id:
            stack = self.stack
            self.id = f"arn:aws:cloudformation:{stack.region}:{stack.account}:changeSet/{self.name}/{uuid.uuid4()}"
        if self.status == "FAILED":
            self.execution = "UNAVAILABLE"

    def summary(self) -> dict[str, Any]:
        """Return what ListChangeSets tells."""
        members = {
            "StackId": self.stack.id,
            "StackName": self.stack.name,
            "ChangeSetId": self.id,
            "ChangeSetName": self.name,
            "ExecutionStatus": self.execution,
            "Status": self.status,
            "StatusReason": self.reason,
            "CreationTime": self.created,
            "Description": self.description,
            "IncludeNestedStacks": False,
        }
        return {name: value for name, value in members.items() if value is not None}

    def describe(self) -> dict[str, Any]:
        """Return what DescribeChangeSet tells."""
        return {
            **self.summary(),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in shown(self.wanted).items()],
            "Capabilities": list(self.wanted.capabilities),
            "Tags": [{"Key": key, "Value": value} for key, value in self.wanted.tags.items()],
            "NotificationARNs": [],
            "Changes": [{"Type": "Resource", "ResourceChange": _change(change)} for change in self.changes],
        }


def shown(wanted: Wanted) -> dict[str, str]:
    """Return the parameters as they are told: NoEcho ones hidden."""
    declared = wanted.template.parameters
    return {
        name: "****" if str(declared[name].get("NoEcho", False)).lower() == "true" else value
        for name, value in wanted.parameters.items()
    }


def _change(change: Change) -> dict[str, Any]:
    members: dict[str, Any] = {
        "Action": change.action,
        "LogicalResourceId": change.logical_id,
        "ResourceType": change.type,
        "Scope": sorted({detail.attribute for detail in change.details}),
        "Details": [_detail(detail) for detail in change.details],
    }
    if change.physical_id:
        members["PhysicalResourceId"] = change.physical_id
    if change.replacement:
        members["Replacement"] = change.replacement
    return members


def _detail(detail: Detail) -> dict[str, Any]:
    target = {"Attribute": detail.attribute, "RequiresRecreation": detail.recreation}
    members = {"Target": target, "Evaluation": detail.evaluation, "ChangeSource": detail.source}
    if detail.name:
        target["Name"] = detail.name
    if detail.entity:
        members["CausingEntity"] = detail.entity
    return members
