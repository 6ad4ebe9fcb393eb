"""Deploy the blueprint: step by step, every step in all accounts at once, values handed from stack to stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop import accounts, agreement, blueprint, bundle, stacks
from workshop.agreement import Agreement
from workshop.blueprint import Agreed, Output, Placement
from workshop.errors import MissingStep, StackError
from workshop.stacks import Deployed, Stack

KIT = "bundle/kit.tar"
Outputs = dict[str, str]
Progress = Callable[[Placement, str, int, int], None]


@dataclass
class Federation:
    """The accounts at hand, what is agreed on, and the outputs of every stack so far.

    Parameters
    ----------
    sessions : mapping
        By account name. Not everybody has them all: of the other accounts ``outputs`` must hold what they told.
    outputs : dict
        ``outputs[account][stack]``: what the stacks gave back.
    """

    sessions: Mapping[str, boto3.Session]
    agreed: Agreement
    outputs: dict[str, dict[str, Outputs]]

    @property
    def ids(self) -> Mapping[str, str]:
        """The account id of every member, at hand or not; the server first."""
        return self.agreed.ids

    @property
    def clients(self) -> list[str]:
        """The clients' names."""
        return [name for name in self.ids if name != "server"]


def meet(sessions: Mapping[str, boto3.Session], *, network: str, port: int = 0) -> Federation:
    """Find out who the accounts are, all of them at hand, and agree on addresses; nothing is created yet.

    Raises
    ------
    AccountError
        If an account does not answer.
    AgreementError
        If two names lead to one account, or addresses overlap.
    """
    ids = {name: accounts.identity(name, session).account for name, session in sessions.items()}
    requester = accounts.principal("server", sessions["server"])
    agreed = agreement.agree(ids, network=network, requester=requester, port=port)
    return Federation(sessions, agreed, {name: {} for name in ids})


def deploy(
    federation: Federation,
    steps: Sequence[blueprint.Step] = blueprint.STEPS,
    *,
    progress: Progress = lambda *_: None,
    review: Callable[[Placement, tuple], None] = lambda *_: None,
) -> pd.DataFrame:
    """Deploy every step in the accounts at hand; doing it twice changes nothing.

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
    """
    lines = []
    for step in steps:
        places = [
            place for place in blueprint.placements(step, list(federation.ids)) if place.account in federation.sessions
        ]
        with ThreadPoolExecutor(max_workers=8) as pool:
            done = list(pool.map(lambda place: _deploy(federation, place, progress, review), places))
        for place, deployed in zip(places, done, strict=True):
            federation.outputs[place.account][deployed.name] = dict(deployed.outputs)
            lines.append((place.account, deployed.name, deployed.did, len(deployed.changes)))
    return pd.DataFrame(lines, columns=["account", "stack", "did", "changes"]).set_index(["account", "stack"])


def _deploy(federation: Federation, place: Placement, progress: Progress, review: Callable) -> Deployed:
    stack = stack_of(federation, place)
    if stack.parameters.get("BundleSha256"):  # the instance fetches the kit when it is created
        _ship_kit(federation.sessions[place.account], stack.parameters["BucketName"], stack.parameters["BundleSha256"])
    return stacks.deploy(
        federation.sessions[place.account],
        stack,
        progress=lambda status, done, of: progress(place, status, done, of),
        review=lambda changes: review(place, changes),
    )


def _ship_kit(session: boto3.Session, bucket: str, digest: str) -> None:
    """Upload what ``make bundle`` wrote, unless the bucket has it."""
    client = session.client("s3")
    try:
        if client.head_object(Bucket=bucket, Key=KIT)["Metadata"].get("sha256") == digest:
            return
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise StackError(f"bucket {bucket} does not take the kit: {error}") from error
    client.upload_file(str(bundle.KIT), bucket, KIT, ExtraArgs={"Metadata": {"sha256": digest}})


def stack_of(federation: Federation, place: Placement) -> Stack:
    """Fill in a placement's parameters.

    Raises
    ------
    MissingStep
        If a stack that should have given a value was not deployed.
    """
    values = {name: _value(federation, place, source) for name, source in place.step.takes.items()}
    return Stack(place.step.template, place.account, values, peer=place.peer)


def _value(federation: Federation, place: Placement, source: Output | Agreed) -> str:
    if isinstance(source, Agreed):
        return _AGREED[source.what](federation, place)
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


def _prefix_list(federation: Federation, place: Placement) -> str:
    session = federation.sessions[place.account]
    name = f"com.amazonaws.{session.region_name}.s3"
    wanted = [{"Name": "prefix-list-name", "Values": [name]}]
    try:
        found = session.client("ec2").describe_managed_prefix_lists(Filters=wanted)["PrefixLists"]
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"account {place.account} does not tell its S3 prefix list: {error}") from error
    if not found:
        raise StackError(f"account {place.account}: region {session.region_name} has no prefix list {name}")
    return found[0]["PrefixListId"]


def resources(session: boto3.Session, stack: str) -> pd.DataFrame:
    """List what a stack made: the resource's name in the template, and its type; one line each."""
    found = session.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    lines = sorted((item["LogicalResourceId"], item["ResourceType"]) for item in found)
    return pd.DataFrame(lines, columns=["resource", "type"]).set_index("resource")


_AGREED: dict[str, Callable[[Federation, Placement], str]] = {
    "agreed addresses": lambda all_, place: all_.agreed.cidrs[place.account],
    "its first half": lambda all_, place: all_.agreed.subnets(place.account)[0],
    "its second half": lambda all_, place: all_.agreed.subnets(place.account)[1],
    "the region's list of S3 addresses": _prefix_list,
    "own account id; for the server those of the clients too": lambda all_, place: ",".join(
        all_.ids.values() if place.account == "server" else [all_.ids[place.account]]
    ),
    "the clients' account ids": lambda all_, place: ",".join(
        f"arn:aws:iam::{all_.ids[name]}:role/FL-kickoff-client-job" for name in all_.clients
    ),
    "who deploys for the server": lambda all_, place: all_.agreed.requester,
    "the pair's external id": lambda all_, place: all_.agreed.external_ids[place.account],
    "the server's account id": lambda all_, place: all_.ids["server"],
    "the client's account id": lambda all_, place: all_.ids[place.peer],
    "agreed port": lambda all_, place: str(all_.agreed.port),
    "what make bundle printed": lambda all_, place: bundle.kit_digest(),
}
