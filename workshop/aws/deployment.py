"""Deploy the blueprint: step by step, every step in all accounts at once, values handed from stack to stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import boto3
import pandas as pd
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws import accounts, agreement, blueprint, region, stacks
from workshop.aws.agreement import Agreement
from workshop.aws.blueprint import Agreed, Output, Placement
from workshop.aws.choices import Choices
from workshop.aws.stacks import Change, Deployed, Stack
from workshop.errors import MissingStep, StackError
from workshop.packing import bundle

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
    choices : Choices
        What the owner of the accounts at hand has chosen for them.
    """

    sessions: Mapping[str, boto3.Session]
    agreed: Agreement
    outputs: dict[str, dict[str, Outputs]]
    choices: Choices = field(default_factory=Choices)

    @property
    def ids(self) -> Mapping[str, str]:
        """The account id of every member, at hand or not; the server first."""
        return self.agreed.ids

    @property
    def clients(self) -> list[str]:
        """The clients' names."""
        return [name for name in self.ids if name != "server"]

    def placements(self, step: blueprint.Step) -> list[Placement]:
        """Return the stacks of a step in the accounts at hand."""
        places = blueprint.placements(step, list(self.ids), all_endpoints=self.choices.endpoints == "all")
        return [place for place in places if place.account in self.sessions]


def meet(
    sessions: Mapping[str, boto3.Session], *, network: str, port: int = 0, choices: Choices | None = None
) -> Federation:
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
    return Federation(sessions, agreed, {name: {} for name in ids}, choices or Choices())


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
        places = federation.placements(step)
        with ThreadPoolExecutor(max_workers=8) as pool:
            done = list(pool.map(lambda place: _deploy(federation, place, progress, review), places))
        for place, deployed in zip(places, done, strict=True):
            federation.outputs[place.account][deployed.name] = dict(deployed.outputs)
            lines.append((place.account, deployed.name, deployed.did, len(deployed.changes)))
        lines += [line for name in federation.sessions if (line := _delete_unwanted(federation, step, name, review))]
    return pd.DataFrame(lines, columns=["account", "stack", "did", "changes"]).set_index(["account", "stack"])


def _deploy(federation: Federation, place: Placement, progress: Progress, review: Callable) -> Deployed:
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


def _delete_unwanted(federation: Federation, step: blueprint.Step, name: str, review: Callable) -> tuple | None:
    """Delete a stack that an owner has chosen before and does not choose any more; it would cost money."""
    if step.where != blueprint.SERVER_OR_ALL or any(place.account == name for place in federation.placements(step)):
        return None
    session, stack = federation.sessions[name], Stack(step.template, name)
    if stack.name not in stacks.names(session):
        return None
    review(Placement(step, name), (Change("Remove", stack.name, "the whole stack", "False"),))
    stacks.delete(session, stack.name, account=name)
    federation.outputs[name].pop(stack.name, None)
    return name, stack.name, "deleted", 0


def _kit_digest() -> str:
    """Return the digest of the kit that a notebook instance is to install; the embedded AWS has none that runs."""
    return bundle.kit_digest() if accounts.target() == "aws" else ""


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


def _zone(number: int) -> Callable[[Federation, Placement], str]:
    def of(federation: Federation, place: Placement) -> str:
        known = federation.outputs[place.account].get("fl-network")
        if known is None and "fl-network" in stacks.names(federation.sessions[place.account]):
            known = stacks.outputs(federation.sessions[place.account], Stack("network", place.account))
        if known is not None:  # a subnet that stands stays where it is, whatever zones there are now
            return known["Zones"].split(",")[number] if "Zones" in known else ""
        return region.zones(federation.sessions[place.account], place.account)[number]

    return of


def resources(session: boto3.Session, stack: str) -> pd.DataFrame:
    """List what a stack made: the resource's name in the template, and its type; one line each."""
    found = session.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    lines = sorted((item["LogicalResourceId"], item["ResourceType"]) for item in found)
    return pd.DataFrame(lines, columns=["resource", "type"]).set_index("resource")


_AGREED: dict[str, Callable[[Federation, Placement], str]] = {
    "agreed addresses": lambda all_, place: all_.agreed.cidrs[place.account],
    "its first half": lambda all_, place: all_.agreed.subnets(place.account)[0],
    "its second half": lambda all_, place: all_.agreed.subnets(place.account)[1],
    "the region's list of S3 addresses": lambda all_, place: region.s3_prefix_list(
        all_.sessions[place.account], place.account
    ),
    "a zone that has the services": _zone(0),
    "another such zone": _zone(1),
    "own account id; for the server those of the clients too": lambda all_, place: ",".join(
        all_.ids.values() if place.account == "server" else [all_.ids[place.account]]
    ),
    "the clients' account ids": lambda all_, place: ",".join(
        f"arn:{region.partition(all_.sessions['server'])}:iam::{all_.ids[name]}:role/FL-kickoff-client-job"
        for name in all_.clients
    ),
    "who deploys for the server": lambda all_, place: all_.agreed.requester,
    "whose unique id is": lambda all_, place: all_.agreed.requester_id,
    "the pair's external id": lambda all_, place: all_.agreed.external_ids[place.account],
    "the server's account id": lambda all_, place: all_.ids["server"],
    "the client's account id": lambda all_, place: all_.ids[place.peer],
    "agreed port": lambda all_, place: str(all_.agreed.port),
    "what make bundle printed": lambda all_, place: _kit_digest(),
    "its first twelve digits": lambda all_, place: _kit_digest()[:12],
    "the owner's choice of endpoints": lambda all_, place: all_.choices.endpoints,
    "the owner's choice of machine": lambda all_, place: all_.choices.instance_type,
    "the owner's choice of idle minutes": lambda all_, place: str(all_.choices.idle_minutes),
}
