"""CloudFormation stacks: create, change, read and delete them, each in one account, and say how it goes."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws import refusals
from workshop.aws.pace import pauses
from workshop.errors import StackError
from workshop.files import TEMPLATES

PREFIX = "fl-"
DEADLINE = 1800.0  # seconds; interface endpoints and notebook instances take minutes
_OURS = {"Key": "workshop", "Value": "federated-learning"}  # a tag of every stack of this kit
_DIGEST = "fl-digest"  # a tag: what the stack was made from, so that an unchanged one is known without a change set
_REMEDIES = {
    "accept-peering": "the client's role may not do that: its owner deploys fl-peering-accepter of this version",
    "AccessDenied": "this profile may not do that: deploy with an administrator of the account",
    "not authorized": "this profile may not do that: deploy with an administrator of the account",
    "already exists": "it was made by something else: delete it, or rename what made it",
    "LimitExceeded": "ask AWS for a higher quota, or delete what is not needed",
    "PeeringConnection": "the peering has gone: ask the server's owner for a new card, and give yours if yours is new",
    "overlap": "choose another NETWORK in 02_connect_accounts",
}

Progress = Callable[[str, int, int], None]  # status of the stack, resources that are done, resources in all


@dataclass(frozen=True)
class Change:
    """What an update would do to one resource."""

    action: str  # Add, Modify, Remove
    resource: str
    type: str
    replacement: str  # True: deleted and made anew; False; Conditional


@dataclass(frozen=True)
class Deployed:
    """A stack as it stands after a deployment."""

    name: str
    did: str  # created, changed, unchanged
    outputs: Mapping[str, str]
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Stack:
    """One stack: its template, its parameters and where it belongs.

    Parameters
    ----------
    template : str
        A file of ``cloudformation/`` without its ending.
    account : str
        The account's name, for messages.
    parameters : mapping
        The template's parameters.
    peer : str
        Makes a second stack of the same template possible: the peering with each client.
    tags : mapping
        The owner's own tags; CloudFormation hands them on to what the stack makes.
    """

    template: str
    account: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    peer: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stack's name in its account."""
        return PREFIX + "-".join(filter(None, (self.template, self.peer)))

    @property
    def body(self) -> str:
        """The template."""
        return (TEMPLATES / f"{self.template}.yaml").read_text()

    @property
    def parameter_names(self) -> set[str]:
        """The names of the template's parameters."""
        section = re.split(r"^\w", self.body.partition("\nParameters:\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        return set(re.findall(r"^  (\w+):$", section, re.MULTILINE))

    def request(self) -> dict[str, Any]:
        """Return what CreateStack and CreateChangeSet are given."""
        made_of = [self.body, dict(self.parameters), *([dict(self.tags)] if self.tags else [])]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return {
            "StackName": self.name,
            "TemplateBody": self.body,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in sorted(self.parameters.items())
            ],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Tags": [
                _OURS,
                {"Key": _DIGEST, "Value": digest},
                *({"Key": key, "Value": value} for key, value in sorted(self.tags.items())),
            ],
        }


def deploy(
    session: boto3.Session,
    stack: Stack,
    *,
    progress: Progress = lambda *_: None,
    review: Callable[[tuple[Change, ...]], None] = lambda changes: None,
    deadline: float = DEADLINE,
) -> Deployed:
    """Bring a stack to what its template and parameters say; a stack that is there already, unchanged, is left alone.

    Parameters
    ----------
    session : boto3.Session
        In the account that owns the stack.
    progress : callable
        Called with the status, how many resources are done, and how many there are.
    review : callable
        Gets the changes of an update before they are made; an exception leaves the stack as it is.
    deadline : float
        Seconds until the stack must stand.

    Raises
    ------
    StackError
        Names the account, the stack, the first resource that failed, its reason and what to do.
    """
    client = session.client("cloudformation")
    request = stack.request()
    try:
        there = _describe(client, stack.name)
        if there and there["StackStatus"].startswith(("ROLLBACK_", "CREATE_FAILED", "DELETE_", "REVIEW_")):
            delete(session, stack.name, account=stack.account, deadline=deadline)  # what a failed attempt has left
            there = None
        if there is None:
            client.create_stack(**request)
            _reach(client, stack, "CREATE_COMPLETE", progress, deadline)
            return Deployed(stack.name, "created", outputs(session, stack))
        if _tag(there) == _tag({"Tags": request["Tags"]}) and there["StackStatus"].endswith("_COMPLETE"):
            return Deployed(stack.name, "unchanged", _outputs(there))
        name = f"fl-{secrets.token_hex(4)}"
        made = _make_change_set(client, stack, request | {"ChangeSetName": name}, review=review, deadline=deadline)
        changes = made or ()
        if made is not None:
            client.execute_change_set(StackName=stack.name, ChangeSetName=name)
            _reach(client, stack, "UPDATE_COMPLETE", progress, deadline)
    except (BotoCoreError, ClientError) as error:
        raise StackError(_failure(stack, str(error))) from error
    return Deployed(stack.name, "changed" if changes else "unchanged", outputs(session, stack), changes)


def outputs(session: boto3.Session, stack: Stack) -> dict[str, str]:
    """Return a stack's outputs by name.

    Raises
    ------
    StackError
        If the account has no such stack.
    """
    there = _describe(session.client("cloudformation"), stack.name)
    if there is None:
        raise StackError(f"account {stack.account} has no stack {stack.name}: run 02_connect_accounts.ipynb first")
    return _outputs(there)


def delete(
    session: boto3.Session,
    name: str,
    *,
    account: str,
    progress: Progress = lambda *_: None,
    deadline: float = DEADLINE,
    again: str = "the same command",
) -> bool:
    """Empty the stack's buckets, delete it and wait; return whether there was one.

    Parameters
    ----------
    again : str
        What its owner runs when that has been mended which keeps AWS from deleting it.

    Raises
    ------
    StackError
        Names every resource that could not be deleted, who holds it, and what to do.
    """
    client = session.client("cloudformation")
    there = _describe(client, name)
    if there is None:
        return False
    stack = Stack(name.removeprefix(PREFIX), account)
    try:
        for resource in client.describe_stack_resources(StackName=name)["StackResources"]:
            if resource["ResourceType"] == "AWS::S3::Bucket" and resource.get("PhysicalResourceId"):
                empty_bucket(session, resource["PhysicalResourceId"])
        client.delete_stack(StackName=name)
        status = _follow(client, stack, progress, deadline, stack_id=there["StackId"])
        if status != "DELETE_COMPLETE":
            events = _failures(client, there["StackId"])
            explanation = refusals.explain(session, name, events, again=again) if events else f"ended as {status}"
            raise StackError(f"account {account}, stack {name}: {explanation}")
    except (BotoCoreError, ClientError) as error:
        explanation = refusals.by_words(str(error), name, profile=f" --profile {session.profile_name}")
        raise StackError(f"account {account}, stack {name}: {error} - {explanation}; then run {again} again") from error
    return True


def names(session: boto3.Session) -> list[str]:
    """Return the names of this kit's stacks in an account."""
    pages = session.client("cloudformation").get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"]]
    # The tag, too: whoever has a stack fl-invoices of their own keeps it.
    return sorted(
        stack["StackName"] for stack in stacks if stack["StackName"].startswith(PREFIX) and _OURS in stack["Tags"]
    )


def empty_bucket(session: boto3.Session, bucket: str) -> None:
    """Delete every version of every object; a bucket that is gone already is fine."""
    try:
        session.resource("s3").Bucket(bucket).object_versions.delete()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def _make_change_set(
    client, stack: Stack, request: dict, *, review: Callable, deadline: float
) -> tuple[Change, ...] | None:
    """Make a change set and show it; return its changes, or None if there is nothing to do."""
    set_of = {"StackName": stack.name, "ChangeSetName": request["ChangeSetName"]}
    client.create_change_set(**request, ChangeSetType="UPDATE")
    give_up = time.monotonic() + deadline
    for pause in pauses(client):
        made = client.describe_change_set(**set_of)
        if made["Status"] in ("CREATE_COMPLETE", "FAILED"):
            break
        if time.monotonic() > give_up:
            raise StackError(_failure(stack, f"its change set is still {made['Status']} after {deadline:.0f} s"))
        time.sleep(pause)
    if made["Status"] == "FAILED":
        client.delete_change_set(**set_of)
        if "didn't contain changes" in made["StatusReason"] or "No updates" in made["StatusReason"]:
            return None
        raise StackError(_failure(stack, made["StatusReason"]))
    # The digest is a tag, and tags of a stack are handed on to its resources: that is no change to look at.
    parts = [change["ResourceChange"] for change in made["Changes"]]
    parts = [part for part in parts if part.get("Scope") != ["Tags"]]
    changes = tuple(
        Change(part["Action"], part["LogicalResourceId"], part["ResourceType"], part.get("Replacement", "False"))
        for part in parts
    )
    try:
        if changes:
            review(changes)
    except BaseException:
        client.delete_change_set(**set_of)
        raise
    return changes


def _reach(client, stack: Stack, wanted: str, progress: Progress, deadline: float) -> None:
    """Follow a stack to its end; raise if that is not the wanted one."""
    status = _follow(client, stack, progress, deadline)
    if not status.startswith(wanted):  # an update may have something left to clean up
        failed = [_words(event) for event in _failures(client, stack.name)]
        raise StackError(_failure(stack, failed[0] if failed else f"ended as {status}"))


def _follow(client, stack: Stack, progress: Progress, deadline: float, *, stack_id: str = "") -> str:
    """Report how a stack gets on until it has come to an end; return its status then."""
    give_up = time.monotonic() + deadline
    for pause in pauses(client):
        there = _describe(client, stack_id or stack.name)
        status = there["StackStatus"] if there else "DELETE_COMPLETE"
        resources = client.describe_stack_resources(StackName=stack_id or stack.name)["StackResources"] if there else []
        done = sum(resource["ResourceStatus"].endswith("_COMPLETE") for resource in resources)
        progress(status, done, len(resources))
        if not status.endswith("_IN_PROGRESS"):
            return status
        if time.monotonic() > give_up:
            waiting = [item["LogicalResourceId"] for item in resources if item["ResourceStatus"].endswith("PROGRESS")]
            raise StackError(_failure(stack, f"still {status} after {deadline:.0f} s, at {', '.join(waiting)}"))
        time.sleep(pause)
    raise AssertionError("pauses never end")


def _failures(client, name: str) -> list[dict]:
    """Return the events of the last attempt in which a resource failed, the first one first, one per resource."""
    failed: dict[str, dict] = {}
    for event in client.describe_stack_events(StackName=name)["StackEvents"]:  # newest first
        status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
        if status.endswith("_FAILED") and "cancelled" not in reason:
            failed.pop(event["LogicalResourceId"], None)
            failed[event["LogicalResourceId"]] = event
        started = status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if started and event["PhysicalResourceId"] == event["StackId"]:
            break
    # The stack's own event repeats the names of its resources.
    parts = [event for event in failed.values() if event["PhysicalResourceId"] != event["StackId"]]
    return (parts or list(failed.values()))[::-1]


def _words(event: Mapping[str, Any]) -> str:
    return f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', '')}"


def _failure(stack: Stack, what: str) -> str:
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in what), "")
    return f"account {stack.account}, stack {stack.name}: {what}{f' - {remedy}' * bool(remedy)}"


def _describe(client, name: str) -> dict | None:
    try:
        return client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _outputs(there: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in there.get("Outputs", [])}


def _tag(there: Mapping[str, Any]) -> str | None:
    return next((tag["Value"] for tag in there.get("Tags", []) if tag["Key"] == _DIGEST), None)
