"""Deployment of the blueprint: every step in all accounts at once, values handed from stack to stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import pandas as pd
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws import accounts, agreement, blueprint, stacks
from workshop.aws.choices import Choices
from workshop.aws.members import Members
from workshop.aws.stacks import Change, Deployed, Stack
from workshop.aws.steps import SERVER_OR_ALL, Agreed, Output, Placement, Step, at_hand
from workshop.errors import MissingStep, StackError
from workshop.packing import bundle

KIT = "bundle/kit.tar"
Progress = Callable[[Placement, str, int, int], None]


def meet(
    sessions: Mapping[str, boto3.Session], *, network: str, port: int = 0, choices: Choices | None = None
) -> Members:
    """Find out who the accounts are, all of them at hand, and agree on addresses; nothing is created yet.

    Raises
    ------
    AccountError
        If an account does not answer.
    AgreementError
        If two names lead to one account, or addresses overlap.
    """
    ids = {name: accounts.identity(name, session).account for name, session in sessions.items()}
    requester, requester_id = accounts.principal("server", sessions["server"])
    agreed = agreement.agree(ids, network=network, requester=requester, requester_id=requester_id, port=port)
    return Members(sessions, agreed, {name: {} for name in ids}, choices or Choices())


def deploy(
    federation: Members,
    steps: Iterable[Step] | None = None,
    *,
    progress: Progress = lambda *_: None,
    review: Callable[[Placement, tuple], None] = lambda *_: None,
) -> pd.DataFrame:
    """Deploy every step in the accounts at hand, by default those of the chosen platform; twice changes nothing.

    Returns
    -------
    DataFrame
        One line per stack: account, stack, what was done, and how many resources changed.

    Raises
    ------
    StackError
        Names the first account, stack and resource that failed. What stands already stays.
    MissingStep
        If a value of an account that is not at hand is needed; names the account and the value.
    AgreementError
        If an owner has chosen a parameter that nobody may choose.
    """
    blueprint.check(federation.choices)
    lines = []
    for step in blueprint.of(federation.choices) if steps is None else steps:
        places = at_hand(step, federation)
        with ThreadPoolExecutor(max_workers=8) as pool:
            done = list(pool.map(lambda place: _deploy(federation, place, progress, review), places))
        for place, deployed in zip(places, done, strict=True):
            federation.outputs[place.account][deployed.name] = dict(deployed.outputs)
            lines.append((place.account, deployed.name, deployed.did, len(deployed.changes)))
        lines += [line for name in federation.sessions if (line := _delete_unwanted(federation, step, name, review))]
    return pd.DataFrame(lines, columns=["account", "stack", "did", "changes"]).set_index(["account", "stack"])


def _deploy(federation: Members, place: Placement, progress: Progress, review: Callable) -> Deployed:
    stack = stack_of(federation, place)
    if stack.parameters.get("BundleSha256"):  # the instance fetches the kit when it is created
        _ship_kit(
            federation.sessions[place.account], stack.parameters["BucketName"], stack.parameters["BundleSha256"],
            progress=lambda done, of: progress(place, f"{done} of {of} MB of the kit are sent", done, of),
        )  # fmt: skip
    return stacks.deploy(
        federation.sessions[place.account],
        stack,
        progress=lambda status, done, of: progress(place, status, done, of),
        review=lambda changes: review(place, changes),
    )


def _delete_unwanted(federation: Members, step: Step, name: str, review: Callable) -> tuple | None:
    """Delete a stack that an owner has chosen before and does not choose any more; it would cost money."""
    if step.where != SERVER_OR_ALL or any(place.account == name for place in at_hand(step, federation)):
        return None
    session, stack = federation.sessions[name], Stack(step.template, name)
    if stack.name not in stacks.names(session):
        return None
    review(Placement(step, name), (Change("Remove", stack.name, "the whole stack", "False"),))
    stacks.delete(session, stack.name, account=name)
    federation.outputs[name].pop(stack.name, None)
    return name, stack.name, "deleted", 0


def _ship_kit(session: boto3.Session, bucket: str, digest: str, *, progress: Callable[[int, int], None]) -> None:
    """Upload what ``make bundle`` wrote, unless the bucket has it; tell MB done and MB in all, at every tenth."""
    client = session.client("s3")
    try:
        if client.head_object(Bucket=bucket, Key=KIT)["Metadata"].get("sha256") == digest:
            return
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise StackError(f"bucket {bucket} does not take the kit: {error}") from error
    size, sent, lock = bundle.KIT.stat().st_size, 0, threading.Lock()

    def count(more: int) -> None:  # from several threads
        nonlocal sent
        with lock:
            before, sent = sent, sent + more
            if 10 * before // size < 10 * sent // size:
                progress(round(sent / 1e6), round(size / 1e6))

    extra = {"Metadata": {"sha256": digest}}
    try:
        client.upload_file(str(bundle.KIT), bucket, KIT, ExtraArgs=extra, Callback=count)
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise StackError(f"bucket {bucket} did not get the kit, {sent / 1e6:.0f} MB were sent: {error}") from error


def stack_of(federation: Members, place: Placement) -> Stack:
    """Fill in a placement's parameters.

    Raises
    ------
    MissingStep
        If a stack that should have given a value was not deployed.
    """
    values = {name: _value(federation, place, source) for name, source in place.step.takes.items()}
    stack = Stack(place.step.template, place.account, peer=place.peer, tags=federation.choices.tags)
    chosen = federation.choices.parameters
    return replace(stack, parameters={name: chosen[name] for name in chosen.keys() & stack.parameter_names} | values)


def _value(federation: Members, place: Placement, source: Output | Agreed) -> str:
    if isinstance(source, Agreed):
        return source.value(federation, place)
    whose = {"own": place.account, "server": "server", "client": place.peer}[source.whose]
    peer = (place.peer or place.account) if source.template == "peering" else ""
    stack = Stack(source.template, whose, peer=peer)
    known = federation.outputs[whose].get(stack.name)
    if known is None and whose in federation.sessions:
        known = federation.outputs[whose][stack.name] = stacks.outputs(federation.sessions[whose], stack)
    if known is None or source.name not in known:
        raise MissingStep(
            f"{place.account}'s stack {place.step.template} needs {source.name} of {whose}'s stack {stack.name}: ask "
            "its owner to deploy it and to send you the new card (python -m workshop card)"
        )
    return known[source.name]


def resources(session: boto3.Session, stack: str) -> pd.DataFrame:
    """List what a stack made: the resource's name in the template, and its type; one line each."""
    stack_resources = session.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    lines = sorted((item["LogicalResourceId"], item["ResourceType"]) for item in stack_resources)
    return pd.DataFrame(lines, columns=["resource", "type"]).set_index("resource")
