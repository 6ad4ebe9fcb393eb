"""Which account runs which template, in which order, and which output feeds which parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from workshop.files import TEMPLATES

BEGIN, END = "<!-- blueprint -->", "<!-- end of blueprint -->"
EVERY, SERVER, CLIENT, PER_CLIENT = "every account", "server", "every client", "server, once per client"
SERVER_OR_ALL = "server; others who choose all endpoints"


@dataclass(frozen=True)
class Output:
    """An output of a stack: of the same account (``own``), of the server, or of the client that a stack is about."""

    whose: str
    template: str
    name: str

    def __str__(self) -> str:
        owner = {"own": "own", "server": "the server's", "client": "the client's"}[self.whose]
        return f"{self.name} of {owner} {self.template}"


@dataclass(frozen=True)
class Agreed:
    """Something the owners agreed on, or that an account knows of itself."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Step:
    """One template and where its parameters come from; a parameter that is not named keeps its default."""

    template: str
    where: str
    takes: Mapping[str, Output | Agreed] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """One stack to be: a step in an account, and for a peering the client it is about."""

    step: Step
    account: str
    peer: str = ""


def _own(template: str, *names: str) -> dict[str, Output]:
    """Take outputs of the same account under their own names."""
    return {name: Output("own", template, name) for name in names}


_STORAGE = {"BucketName": Output("own", "storage", "Bucket"), **_own("storage", "KeyArn")}
STEPS = (
    Step("storage", EVERY),
    Step(
        "network",
        EVERY,
        {
            "VpcCidr": Agreed("agreed addresses"),
            "SubnetACidr": Agreed("its first half"),
            "SubnetBCidr": Agreed("its second half"),
            "S3PrefixListId": Agreed("the region's list of S3 addresses"),
            "LogKeyArn": Output("own", "storage", "KeyArn"),
            "ZoneA": Agreed("a zone that has the services"),
            "ZoneB": Agreed("another such zone"),
        },
    ),
    Step(
        "endpoints",
        SERVER_OR_ALL,
        {
            **_own("network", "VpcId", "SubnetIds", "FederationGroupId"),
            "PrincipalAccounts": Agreed("own account id; for the server those of the clients too"),
            "EndpointSet": Agreed("the owner's choice of endpoints"),
        },
    ),
    Step(
        "server-access",
        SERVER,
        {
            "KickoffRoleArns": Agreed("the clients' account ids"),
            "OperatorArn": Agreed("who deploys for the server"),
            "OperatorId": Agreed("whose unique id is"),
            **_STORAGE,
        },
    ),
    Step("client-job", CLIENT, {**_STORAGE, **_own("network", "SubnetIds", "FederationGroupId")}),
    Step(
        "client-access",
        CLIENT,
        {
            "ServerRoleArn": Output("server", "server-access", "NotebookRoleArn"),
            "ServerRoleId": Output("server", "server-access", "NotebookRoleId"),
            "ExternalId": Agreed("the pair's external id"),
            **_own("network", "SubnetIds", "FederationGroupId"),
            **_own("client-job", "ExecutionRoleArn"),
            "InstanceType": Agreed("the owner's choice of machine"),
        },
    ),
    Step(
        "peering-accepter",
        CLIENT,
        {
            "ServerAccountId": Agreed("the server's account id"),
            "RequesterArn": Agreed("who deploys for the server"),
            "RequesterId": Agreed("whose unique id is"),
            **_own("network", "VpcId"),
        },
    ),
    Step(
        "peering",
        PER_CLIENT,
        {
            "PeerAccountId": Agreed("the client's account id"),
            "PeerVpcId": Output("client", "network", "VpcId"),
            "PeerVpcCidr": Output("client", "network", "VpcCidr"),
            "AccepterRoleArn": Output("client", "peering-accepter", "AccepterRoleArn"),
            **_own("network", "VpcId", "RouteTableId", "FederationGroupId"),
            "ServerPort": Agreed("agreed port"),
        },
    ),
    Step(
        "peering-routes",
        CLIENT,
        {
            "PeeringId": Output("server", "peering", "PeeringId"),
            "ServerVpcCidr": Output("server", "network", "VpcCidr"),
            "ServerPort": Output("server", "peering", "ServerPort"),
            **_own("network", "RouteTableId", "FederationGroupId"),
        },
    ),
    Step(
        "notebook-instance",
        SERVER,
        {
            "SubnetIds": Output("own", "network", "SubnetIds"),
            "FederationGroupId": Output("own", "network", "FederationGroupId"),
            "RoleArn": Output("own", "server-access", "NotebookRoleArn"),
            "BundleSha256": Agreed("what make bundle printed"),
            "BundleName": Agreed("its first twelve digits"),
            "IdleMinutes": Agreed("the owner's choice of idle minutes"),
            **_STORAGE,
        },
    ),
)


def placements(step: Step, names: Sequence[str], *, all_endpoints: bool = False) -> Iterator[Placement]:
    """Yield the stacks that a step makes in a federation of these accounts.

    Parameters
    ----------
    all_endpoints : bool
        Whether every owner wants interface endpoints for every service.

    >>> [place.account for place in placements(STEPS[0], ["server", "client-1"])]
    ['server', 'client-1']
    """
    clients = [name for name in names if name != "server"]
    if step.where in (EVERY, SERVER, SERVER_OR_ALL) and "server" in names:
        yield Placement(step, "server")
    if step.where in (EVERY, CLIENT) or (step.where == SERVER_OR_ALL and all_endpoints):
        yield from (Placement(step, name) for name in clients)
    if step.where == PER_CLIENT:
        yield from (Placement(step, "server", peer=name) for name in clients)


def main() -> int:
    """Write the table into ``cloudformation/README.md``."""
    page = TEMPLATES / "README.md"
    begin, end = page.read_text().partition(BEGIN)[0], page.read_text().partition(END)[2]
    page.write_text(f"{begin}{BEGIN}\n{table()}\n{END}{end}")
    return 0


def table() -> str:
    """Return the blueprint as a Markdown table."""
    lines = ["| step | template | who runs it | parameters |", "|---|---|---|---|"]
    for number, step in enumerate(STEPS, start=1):
        takes = "<br>".join(f"`{name}`: {source}" for name, source in step.takes.items()) or "defaults"
        lines.append(f"| {number} | [{step.template}]({step.template}.yaml) | {step.where} | {takes} |")
    return "\n".join(lines)
