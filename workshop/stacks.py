"""Create, read and delete CloudFormation stacks, each in one account."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.exceptions import ClientError, WaiterError

from workshop.errors import StackError

TEMPLATES = Path(__file__).resolve().parents[1] / "cloudformation"


def deploy(session: boto3.Session, template: str, parameters: Mapping[str, str], *, account: str) -> dict[str, str]:
    """Bring a stack to what its template and parameters say; a stack that is there already is left alone.

    Parameters
    ----------
    session : boto3.Session
        In the account that owns the stack.
    template : str
        A file of ``cloudformation/`` without its ending; the stack is called ``fl-<template>``.
    parameters : mapping of str to str
        The template's parameters.
    account : str
        The account's name, for messages.

    Returns
    -------
    dict
        The stack's outputs.

    Raises
    ------
    StackError
        Names the account, the stack, the first resource that failed and its reason.
    """
    name = f"fl-{template}"
    client = session.client("cloudformation")
    body = (TEMPLATES / f"{template}.yaml").read_text()
    wanted = {
        "StackName": name,
        "TemplateBody": body,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [{"Key": "workshop", "Value": "federated-learning"}],
    }
    try:
        there = _describe(client, name)
        if there is None:
            client.create_stack(**wanted)
            client.get_waiter("stack_create_complete").wait(
                StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
            )
        elif _differs(client, name, there, body, parameters):
            client.update_stack(**wanted)
            client.get_waiter("stack_update_complete").wait(
                StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
            )
    except (ClientError, WaiterError) as error:
        raise StackError(f"account {account}, stack {name}: {_first_failure(client, name) or error}") from error
    return outputs(session, template, account=account)


def outputs(session: boto3.Session, template: str, *, account: str) -> dict[str, str]:
    """Return a stack's outputs by name.

    Raises
    ------
    StackError
        If the account has no such stack.
    """
    stack = _describe(session.client("cloudformation"), f"fl-{template}")
    if stack is None:
        raise StackError(f"account {account} has no stack fl-{template}: run 02_connect_accounts.ipynb first")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def delete(session: boto3.Session, template: str, *, account: str) -> bool:
    """Empty the stack's buckets, delete it and wait; return whether there was one.

    Raises
    ------
    StackError
        Names the resource that could not be deleted.
    """
    name = f"fl-{template}"
    client = session.client("cloudformation")
    if _describe(client, name) is None:
        return False
    resources = client.describe_stack_resources(StackName=name)["StackResources"]
    for resource in resources:
        if resource["ResourceType"] == "AWS::S3::Bucket":
            empty_bucket(session, resource["PhysicalResourceId"])
    try:
        client.delete_stack(StackName=name)
        client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600})
    except (ClientError, WaiterError) as error:
        raise StackError(f"account {account}, stack {name}: {_first_failure(client, name) or error}") from error
    return True


def empty_bucket(session: boto3.Session, bucket: str) -> None:
    """Delete every version of every object; a bucket that is gone already is fine."""
    try:
        session.resource("s3").Bucket(bucket).object_versions.delete()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def _describe(client, name: str) -> dict | None:
    try:
        return client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _differs(client, name: str, there: dict, body: str, parameters: Mapping[str, str]) -> bool:
    now = {item["ParameterKey"]: item["ParameterValue"] for item in there.get("Parameters", [])}
    return now != dict(parameters) or client.get_template(StackName=name)["TemplateBody"] != body


def _first_failure(client, name: str) -> str | None:
    try:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
    except ClientError:
        return None
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    if not failed:
        return None
    first = min(failed, key=lambda event: event["Timestamp"])
    reason = first.get("ResourceStatusReason", "no reason given")
    return f"{first['LogicalResourceId']} ({first['ResourceType']}): {reason}"
