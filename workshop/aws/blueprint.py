"""Blueprints of both tracks: which account runs which template, in which order, with what, and at what price."""

from __future__ import annotations

from collections.abc import Callable

from workshop.aws import accounts, images, prices, region, stacks
from workshop.aws.choices import Choices
from workshop.aws.members import Members
from workshop.aws.stacks import Stack
from workshop.aws.steps import (
    CLIENT,
    EVERY,
    PER_CLIENT,
    SERVER,
    SERVER_OR_ALL,
    Agreed,
    Blueprint,
    Cost,
    Output,
    Placement,
    Step,
)
from workshop.errors import AgreementError
from workshop.files import TEMPLATES
from workshop.packing import bundle

NAME_PREFIX = "FL-"  # of roles and policies, unless an owner chooses another
BEGIN, END = "<!-- blueprint -->", "<!-- end of blueprint -->"
# What is reached through endpoints of the VPC: by a job, by the server's notebook besides, and what else there is.
JOB_ENDPOINTS, SERVER_ENDPOINTS, OTHER_ENDPOINTS = (
    ("s3",),
    ("sagemaker.api", "sts", "states"),
    ("logs", "kms", "ecr.api", "ecr.dkr"),
)


def endpoints(choices: Choices, *, server: bool) -> tuple[str, ...]:
    """Return the services to which an account has endpoints; ``s3`` is the gateway, which costs nothing.

    >>> endpoints(Choices(), server=False)
    ('s3',)
    """
    if choices.endpoints == "all":
        return (*JOB_ENDPOINTS, *SERVER_ENDPOINTS, *OTHER_ENDPOINTS)
    return (*JOB_ENDPOINTS, *SERVER_ENDPOINTS) if server else JOB_ENDPOINTS


def cluster_endpoints(*, server: bool) -> tuple[str, ...]:
    """Return the services to which a cluster's account has endpoints; ``s3`` is the gateway.

    >>> cluster_endpoints(server=False)
    ('s3', 'ec2', 'eks', 'eks-auth', 'ecr.api', 'ecr.dkr')
    """
    return (*JOB_ENDPOINTS, "ec2", "eks", "eks-auth", "ecr.api", "ecr.dkr", *(("sts",) if server else ()))


def _own(template: str, *names: str) -> dict[str, Output]:
    """Take outputs of the same account under their own names."""
    return {name: Output("own", template, name) for name in names}


def _zone(number: int) -> Callable[[Members, Placement], str]:
    def of(members: Members, place: Placement) -> str:
        known = members.outputs[place.account].get("fl-network")
        if known is None and "fl-network" in stacks.names(members.sessions[place.account]):
            known = stacks.outputs(members.sessions[place.account], Stack("network", place.account))
        if known is not None:  # a subnet that stands stays where it is, whatever zones there are now
            return known["Zones"].split(",")[number] if "Zones" in known else ""
        return region.zones(members.sessions[place.account], place.account)[number]

    return of


def _principals(members: Members, place: Placement) -> str:
    return ",".join(members.ids.values() if place.account == "server" else [members.ids[place.account]])


def _kickoff_roles(members: Members, place: Placement) -> str:
    """Return the roles' ARNs: as the clients' cards tell them, before that as this owner would call them."""
    partition, chosen = region.partition(members.sessions["server"]), members.choices.parameters
    named = f"role{chosen.get('RolePath', '/')}{chosen.get('NamePrefix', NAME_PREFIX)}kickoff-client-job"
    told = {name: members.outputs[name].get("fl-client-access", {}) for name in members.clients}
    return ",".join(
        told[name].get("KickoffRoleArn", f"arn:{partition}:iam::{members.ids[name]}:{named}") for name in told
    )


def _kit_digest() -> str:
    """Return the digest of the kit that a notebook instance is to install; the embedded AWS has none that runs."""
    return bundle.kit_digest() if accounts.target() == "aws" else ""


def _endpoint_cost(choices: Choices) -> Cost:
    count, zones = len(endpoints(choices, server=True)) - 1, 2 if choices.endpoints == "all" else 1
    return Cost(f"{count} endpoints, zones: {zones}", 3, count * zones * prices.ENDPOINT_PER_ZONE)


def _free(what: str) -> Callable[[Choices], Cost]:
    return lambda choices: Cost(what, 1)


_STORAGE = {"BucketName": Output("own", "storage", "Bucket"), **_own("storage", "KeyArn")}
_IMAGE = Agreed(
    "SageMaker's scikit-learn image of the region",
    lambda members, place: images.training_image(members.sessions[place.account].region_name),
)
_REQUESTER = Agreed("who deploys for the server", lambda members, place: members.agreed.requester)
_REQUESTER_ID = Agreed("whose unique id is", lambda members, place: members.agreed.requester_id)

NETWORKS = (
    Step(
        "storage",
        EVERY,
        lambda choices: Cost("bucket, key (turned once a year: +$1 a month)", 1, prices.KEY),
        leaves="the key, unusable and free of charge, for seven days",
    ),
    Step(
        "network",
        EVERY,
        lambda choices: Cost(f"VPC, two subnets, group, S3 endpoint, {prices.FLOW_LOGS}", 2),
        {
            "VpcCidr": Agreed("agreed addresses", lambda members, place: members.agreed.cidrs[place.account]),
            "SubnetACidr": Agreed("its first half", lambda members, place: members.agreed.subnets(place.account)[0]),
            "SubnetBCidr": Agreed("its second half", lambda members, place: members.agreed.subnets(place.account)[1]),
            "S3PrefixListId": Agreed(
                "the region's list of S3 addresses",
                lambda members, place: region.s3_prefix_list(members.sessions[place.account], place.account),
            ),
            "LogKeyArn": Output("own", "storage", "KeyArn"),
            "ZoneA": Agreed("a zone that has the services", _zone(0)),
            "ZoneB": Agreed("another such zone", _zone(1)),
        },
    ),
    Step(
        "endpoints",
        SERVER_OR_ALL,
        _endpoint_cost,
        {
            **_own("network", "VpcId", "SubnetIds", "FederationGroupId"),
            "PrincipalAccounts": Agreed("own account id; for the server those of the clients too", _principals),
            "EndpointSet": Agreed("the owner's choice of endpoints", lambda members, place: members.choices.endpoints),
        },
    ),
)
ROLES = (
    Step(
        "server-access",
        SERVER,
        _free("role, policy"),
        {
            "KickoffRoleArns": Agreed("the clients' cards, or their account ids", _kickoff_roles),
            "OperatorArn": _REQUESTER,
            "OperatorId": _REQUESTER_ID,
            **_STORAGE,
        },
    ),
    Step(
        "client-job",
        CLIENT,
        _free("role"),
        {**_STORAGE, **_own("network", "SubnetIds", "FederationGroupId"), "TrainingImage": _IMAGE},
        runs={
            "(training job)": lambda choices: Cost(
                f"{choices.instance_type}; a stop bills 2 minutes more", 5, prices.TRAINING[choices.instance_type]
            )
        },
        leaves="the jobs' entries in SageMaker, which cannot be deleted",
    ),
    Step(
        "client-access",
        CLIENT,
        _free("state machine, two roles, policy"),
        {
            "ServerRoleArn": Output("server", "server-access", "NotebookRoleArn"),
            "ServerRoleId": Output("server", "server-access", "NotebookRoleId"),
            "ExternalId": Agreed(
                "the pair's external id", lambda members, place: members.agreed.external_ids[place.account]
            ),
            **_own("network", "SubnetIds", "FederationGroupId"),
            **_own("client-job", "ExecutionRoleArn"),
            **_STORAGE,
            "ClientName": Agreed("what the federation calls the account", lambda members, place: place.account),
            "TrainingImage": _IMAGE,
            "KickOff": Agreed(
                "the owner's choice of who writes the request", lambda members, place: members.choices.kick_off
            ),
            "InstanceType": Agreed(
                "the owner's choice of machine", lambda members, place: members.choices.instance_type
            ),
        },
    ),
)


def _for_caller(template: str, name: str) -> dict[str, Output]:
    """Take storage, and the role that runs the notebooks, by its name."""
    return {**_STORAGE, "CallerRole": Output("own", template, name)}


def _serving(template: str, name: str) -> Step:
    """Roles with which models are served; of whoever runs the notebooks."""
    return Step(
        "serving",
        SERVER,
        _free("role, policy"),
        {**_for_caller(template, name), "ServingImage": _IMAGE},
        runs={
            "(model endpoint)": lambda choices: Cost(
                "ml.m5.large, for as long as it is up", 5, prices.SERVING_ML_M5_LARGE
            )
        },
        leaves="endpoints, which cost on: take them down first",
    )


def _tracker(template: str, name: str) -> Step:
    """An MLflow app of SageMaker's; only where it is chosen."""
    return Step(
        "tracker",
        SERVER,
        lambda choices: Cost("MLflow app of SageMaker's, which AWS lists without a price of its own", 5),
        _for_caller(template, name),
        leaves="its files, in the bucket",
    )


_NOTEBOOK, _LAUNCHER = ("server-access", "NotebookRoleName"), ("run-access", "LauncherRoleName")
SERVED = (_serving(*_NOTEBOOK),)
PEERING_ASKED = (
    Step(
        "peering-accepter",
        CLIENT,
        _free("role"),
        {
            "ServerAccountId": Agreed("the server's account id", lambda members, place: members.ids["server"]),
            "RequesterArn": _REQUESTER,
            "RequesterId": _REQUESTER_ID,
            **_own("network", "VpcId"),
        },
    ),
    Step(
        "peering",
        PER_CLIENT,
        _free("peering, route, one open port"),
        {
            "PeerAccountId": Agreed("the client's account id", lambda members, place: members.ids[place.peer]),
            "PeerVpcId": Output("client", "network", "VpcId"),
            "PeerVpcCidr": Output("client", "network", "VpcCidr"),
            "AccepterRoleArn": Output("client", "peering-accepter", "AccepterRoleArn"),
            **_own("network", "VpcId", "RouteTableId", "FederationGroupId"),
            "ServerPort": Agreed("agreed port", lambda members, place: str(members.agreed.port)),
        },
        leaves="the peering, shown as deleted for some hours",
    ),
)
PEERING_ANSWERED = (
    Step(
        "peering-routes",
        CLIENT,
        _free("route, leave to call one port"),
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
        lambda choices: Cost("20 GB of disk, also while it is stopped", 6, prices.NOTEBOOK_DISK),
        {
            "SubnetIds": Output("own", "network", "SubnetIds"),
            "FederationGroupId": Output("own", "network", "FederationGroupId"),
            "RoleArn": Output("own", "server-access", "NotebookRoleArn"),
            "BundleSha256": Agreed("what make bundle printed", lambda members, place: _kit_digest()),
            "BundleName": Agreed("its first twelve digits", lambda members, place: _kit_digest()[:12]),
            "IdleMinutes": Agreed(
                "the owner's choice of idle minutes", lambda members, place: str(members.choices.idle_minutes)
            ),
            **_STORAGE,
        },
        runs={"(notebook, running)": lambda choices: Cost("ml.t3.medium", 0, prices.NOTEBOOK_ML_T3_MEDIUM)},
    ),
)
SAGEMAKER = Blueprint((*NETWORKS, *ROLES, *SERVED, *PEERING_ASKED, *PEERING_ANSWERED))

# Whose steps come with those of the fraud track: a cluster in every account in the place of jobs and a notebook.
_CLUSTER = _own("cluster", "ClusterName", "ClusterArn")
CLUSTERS = (
    Step("registry", EVERY, _free("image registry: $0.10 a GB and month"), _own("storage", "KeyArn")),
    Step(
        "cluster",
        EVERY,
        lambda choices: Cost("control plane of a cluster", 12, prices.CLUSTER),
        {
            **_own("storage", "KeyArn"),
            **_own("network", "SubnetIds"),
            "OwnerArn": Agreed(
                "who deploys here",
                lambda members, place: accounts.principal(place.account, members.sessions[place.account])[0],
            ),
        },
    ),
    Step(
        "cluster-endpoints",
        EVERY,
        lambda choices: Cost("5 endpoints; the server has 6", 3, 5 * prices.ENDPOINT_PER_ZONE),
        {
            **_own("network", "VpcId", "SubnetIds"),
            **_own("cluster", "ClusterGroupId"),
            "PrincipalAccounts": Agreed("own account id; for the server those of the clients too", _principals),
            "Server": Agreed(
                "whether it is the server's", lambda members, place: "yes" if place.account == "server" else "no"
            ),
        },
    ),
    Step(
        "nodes",
        EVERY,
        lambda choices: Cost("a node t3.medium, its disk", 5, prices.NODE_T3_MEDIUM + prices.NODE_DISK),
        {**_own("network", "SubnetIds"), **_own("cluster", "ClusterName")},
    ),
    Step("agent-access", CLIENT, _free("role, its association"), {**_STORAGE, **_CLUSTER}),
    Step(
        "run-access",
        SERVER,
        _free("two roles, association, access entry"),
        {**_STORAGE, **_CLUSTER, "OperatorArn": _REQUESTER, "OperatorId": _REQUESTER_ID},
        runs={"(load balancer)": lambda choices: Cost("a Service of the server's cluster", 3, prices.LOAD_BALANCER)},
    ),
    _serving(*_LAUNCHER),
)
_BOTH = Blueprint((*NETWORKS, *PEERING_ASKED, *PEERING_ANSWERED))
KUBERNETES = Blueprint(
    (
        *_BOTH.only(["storage", "network"]),
        *CLUSTERS,
        *_BOTH.only(["peering-accepter", "peering", "peering-routes"]),
    )
)
TABLE_JOB = Step(
    "table-job",
    CLIENT,
    _free("role"),
    {
        **_STORAGE,
        "SparkImage": Agreed(
            "SageMaker's Spark image of the region",
            lambda members, place: images.spark_image(members.sessions[place.account].region_name),
        ),
    },
    runs={"(Spark job)": lambda choices: Cost("ml.m5.xlarge, by the second", 5, prices.PROCESSING_ML_M5_XLARGE)},
    leaves="the jobs' entries in SageMaker, which cannot be deleted",
)
TRACKERS = {"sagemaker": _tracker(*_NOTEBOOK), "kubernetes": _tracker(*_LAUNCHER)}
# Every template once; who tidies up looks for all of them.
ALL = Blueprint((*NETWORKS, *ROLES, *PEERING_ASKED, *PEERING_ANSWERED, *CLUSTERS, TABLE_JOB, TRACKERS["sagemaker"]))


def of(choices: Choices) -> Blueprint:
    """Return the blueprint of the platform on which clients run, with what is chosen besides."""
    blueprint = {"sagemaker": SAGEMAKER, "kubernetes": KUBERNETES}[choices.platform]
    job = (TABLE_JOB,) if choices.tables == "built" else ()
    tracker = (TRACKERS[choices.platform],) if choices.tracker == "app" else ()
    return Blueprint((*blueprint, *job, *tracker))


def settable() -> set[str]:
    """Return the parameters of templates that an owner may choose: those that keep their default otherwise."""
    return {name for step in ALL for name in Stack(step.template, "").parameter_names if name not in step.takes}


def check(choices: Choices) -> None:
    """Refuse the choice of a parameter that no template has, or that follows from something else.

    Raises
    ------
    AgreementError
        Names it, and those that there are; or what this AWS does not have.
    """
    if choices.tracker == "app" and accounts.target() != "aws":
        raise AgreementError(
            "the embedded AWS has no MLflow app: its runs go to MLflow on this machine (TRACKER = 'here')"
        )
    if unknown := sorted(choices.parameters.keys() - settable()):
        raise AgreementError(f"{unknown[0]} is nothing to choose; there are {', '.join(sorted(settable()))}")


def main() -> int:
    """Write the table into ``cloudformation/README.md``."""
    page = TEMPLATES / "README.md"
    begin, end = page.read_text().partition(BEGIN)[0], page.read_text().partition(END)[2]
    page.write_text(f"{begin}{BEGIN}\n{table()}\n{END}{end}")
    return 0


def table() -> str:
    """Return both blueprints as Markdown tables."""
    blocks = []
    for title, steps in (("Training jobs (SageMaker)", SAGEMAKER), ("Agents on clusters (EKS)", KUBERNETES)):
        lines = ["| step | template | who runs it | parameters | left when deleted |", "|---|---|---|---|---|"]
        for number, step in enumerate(steps, start=1):
            takes = "<br>".join(f"`{name}`: {source}" for name, source in step.takes.items()) or "defaults"
            left = step.leaves or "nothing"
            lines.append(f"| {number} | [{step.template}]({step.template}.yaml) | {step.where} | {takes} | {left} |")
        blocks.append(f"**{title}**\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)
