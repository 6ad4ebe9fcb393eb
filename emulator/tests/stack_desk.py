"""Stacks for tests: made, changed and deleted, each call waiting for the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError

NAMED = ["CAPABILITY_NAMED_IAM"]
SECONDS = 60.0
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
BUCKET = {
    "Type": "AWS::S3::Bucket",
    "Properties": {
        "BucketName": "bucket-of-a-stack",
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "RestrictPublicBuckets": "true"},
        "VersioningConfiguration": {"Status": "Enabled"},
    },
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "role-of-a-stack", "AssumeRolePolicyDocument": TRUST}}
GROUP = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "group-of-a-stack", "RetentionInDays": 7}}
VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}


def template(**resources: Any) -> str:
    """Return a template with these resources."""
    return json.dumps({"Resources": resources})


def changed(resource: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return a resource with other properties; None takes one away."""
    now = {**resource.get("Properties", {}), **properties}
    return {**resource, "Properties": {name: value for name, value in now.items() if value is not None}}


def until_free(delete: Callable[[], Any]) -> None:
    """Delete what a lingering network interface may still hold for a moment."""
    give_up = time.monotonic() + SECONDS
    while True:
        try:
            delete()
            return
        except ClientError as error:
            if error.response["Error"]["Code"] != "DependencyViolation" or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


class StackDesk:
    """One account's CloudFormation."""

    def __init__(self, session: boto3.Session) -> None:
        self.session = session
        self.api = session.client("cloudformation")

    def client(self, service: str) -> Any:
        """Return another client of the account."""
        return self.session.client(service)

    def create(self, name: str, body: str, **request: Any) -> dict[str, Any]:
        """Create a stack; return it as it ends."""
        given = {"Capabilities": NAMED, **request}
        return self.ended(self.api.create_stack(StackName=name, TemplateBody=body, **given)["StackId"])

    def update(self, name: str, body: str, **request: Any) -> dict[str, Any]:
        """Update a stack; return it as it ends."""
        given = {"Capabilities": NAMED, **request}
        return self.ended(self.api.update_stack(StackName=name, TemplateBody=body, **given)["StackId"])

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a stack; return it as it ends."""
        stack_id = self.api.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        self.api.delete_stack(StackName=name)
        return self.ended(stack_id)

    def change_set(self, stack: str, body: str, *, kind: str = "UPDATE", **request: Any) -> dict[str, Any]:
        """Make a change set and return what it says."""
        given = {"Capabilities": NAMED, "ChangeSetName": "change", **request}
        made = self.api.create_change_set(StackName=stack, ChangeSetType=kind, TemplateBody=body, **given)
        return self.api.describe_change_set(ChangeSetName=made["Id"])

    def execute(self, change_set: dict[str, Any]) -> dict[str, Any]:
        """Execute a change set; return the stack as it ends."""
        self.api.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
        return self.ended(change_set["StackId"])

    def ended(self, stack: str) -> dict[str, Any]:
        """Return the stack when nothing is being done to it."""
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            (told,) = self.api.describe_stacks(StackName=stack)["Stacks"]
            if not told["StackStatus"].endswith("_IN_PROGRESS"):
                return told
            time.sleep(0.02)
        raise AssertionError(f"{stack} is still {told['StackStatus']}")

    def reasons(self, stack: str) -> dict[str, str]:
        """Return why resources failed, by name."""
        return {
            event["LogicalResourceId"]: event.get("ResourceStatusReason", "")
            for event in self.events(stack)
            if event["ResourceStatus"].endswith("_FAILED")
        }

    def events(self, stack: str) -> list[dict[str, Any]]:
        """Return the events, oldest first."""
        return self.api.describe_stack_events(StackName=stack)["StackEvents"][::-1]

    def outputs(self, stack: str) -> dict[str, str]:
        """Return the outputs by name."""
        (told,) = self.api.describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in told["Outputs"]}

    def physical(self, stack: str, name: str) -> str:
        """Return a resource's physical id."""
        told = self.api.describe_stack_resource(StackName=stack, LogicalResourceId=name)
        return told["StackResourceDetail"]["PhysicalResourceId"]

    def clear(self) -> None:
        """Delete every stack; whatever a test did, that must work."""
        for stack in self.api.describe_stacks()["Stacks"]:
            if stack["StackStatus"] == "REVIEW_IN_PROGRESS":  # has nothing yet, and nothing to wait for
                self.api.delete_stack(StackName=stack["StackName"])
                continue
            self.ended(stack["StackId"])
            self.api.delete_stack(StackName=stack["StackName"])
            ended = self.ended(stack["StackId"])
            assert ended["StackStatus"] == "DELETE_COMPLETE", self.reasons(stack["StackId"])
