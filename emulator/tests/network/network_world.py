"""One small world of VPCs, and who reaches whom in it: the table that evaluator, gateway and kernel are asked.

Every verdict is worked out by hand from AWS's rules (VPC user guide, peering guide), not taken from this repository's
code.

    server    10.0.0.0/24  admits TCP `port` from 10.0.0.0/8; routes back to clients 1 and 4, not to client 2
    client-1  10.1.0.0/24  peered; subnets "routed" (server, and client 2 by way of the server), "bare" (no routes)
    client-2  10.2.0.0/24  peered and routed, but the server's subnet has no route back
    client-3  10.0.0.0/24  the server's own range
    client-4  10.4.0.0/24  routed, but the server has not accepted the peering
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3

from embedded_aws import accounts

REGION = "us-east-1"
ACCOUNTS = accounts.accounts(["server", *(f"client-{number}" for number in range(1, 5))])
RANGES = {"server": "10.0.0.0/24", "client-1": "10.1.0.0/24", "client-2": "10.2.0.0/24"} | {
    "client-3": "10.0.0.0/24",
    "client-4": "10.4.0.0/24",
}
INTERNET = "1.1.1.1"
FLOW_LOG = "/fl/flow-log"


@dataclass(frozen=True)
class Job:
    """Where a job stands: account, subnet and group of the world; no subnet: no VpcConfig."""

    account: str
    subnet: str = "routed"
    group: str = "to-server"
    isolated: bool = False


JOBS = {
    "good": Job("client-1"),
    "bare": Job("client-1", subnet="bare"),
    "wrong-group": Job("client-1", group="to-nobody"),
    "open": Job("client-1", group="to-all"),
    "one-way": Job("client-2"),
    "overlapping": Job("client-3"),
    "not-accepted": Job("client-4"),
    "no-vpc": Job("client-1", subnet=""),
    "isolated": Job("client-1", isolated=True),
}
# job, where it knocks, what comes of it, and what the reason says if nothing does
PROBES = (
    ("good", "server", "open", ""),
    ("good", "server's other port", "dropped", "no egress rule"),  # someone listens there
    ("open", "server's other port", "dropped", "no ingress rule"),
    ("open", "server's closed port", "refused", ""),  # let through, and nobody listens
    ("open", "client-1", "dropped", "no ingress rule"),  # a neighbour in the same subnet
    ("open", "client-2", "dropped", "peering ends there"),  # peering is not transitive, route or not
    ("open", "nobody", "dropped", "no network interface"),
    ("open", "internet", "dropped", "no route to 1.1.1.1"),
    ("bare", "server", "dropped", "no route to 10.0.0.10"),
    ("wrong-group", "server", "dropped", "no egress rule"),
    ("one-way", "server", "dropped", "no route back to 10.2.0."),
    ("overlapping", "server", "dropped", "no network interface"),  # local wins for the own range
    ("not-accepted", "server", "dropped", "pending-acceptance"),
    ("no-vpc", "server", "dropped", "no VpcConfig"),
    ("isolated", "server", "dropped", "EnableNetworkIsolation"),
)

# What the flow logs say of these: at the interface of the job, and at the target's; empty: nothing. A record without a
# way back is as one with it: the packet has arrived.
RECORDS = {
    ("good", "server"): ("ACCEPT", "ACCEPT"),
    ("good", "server's other port"): ("REJECT", ""),
    ("open", "server's other port"): ("ACCEPT", "REJECT"),
    ("open", "server's closed port"): ("ACCEPT", "ACCEPT"),
    ("open", "client-1"): ("ACCEPT", "REJECT"),
    ("open", "client-2"): ("ACCEPT", ""),
    ("open", "nobody"): ("ACCEPT", ""),
    ("open", "internet"): ("ACCEPT", ""),
    ("bare", "server"): ("ACCEPT", ""),
    ("wrong-group", "server"): ("REJECT", ""),
    ("one-way", "server"): ("ACCEPT", "ACCEPT"),
    ("overlapping", "server"): ("ACCEPT", ""),
    ("not-accepted", "server"): ("ACCEPT", ""),
}


@dataclass
class World:
    """The ids of what was made, by names of this module."""

    session: Callable[[str], boto3.Session]
    port: int
    other: int
    closed: int
    vpcs: dict[str, str] = field(default_factory=dict)
    subnets: dict[tuple[str, str], str] = field(default_factory=dict)
    tables: dict[tuple[str, str], str] = field(default_factory=dict)
    groups: dict[tuple[str, str], str] = field(default_factory=dict)
    peerings: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict)

    def ec2(self, account: str) -> Any:
        """Return the EC2 client of an account; making one takes as long as fifty calls."""
        if account not in self.clients:
            self.clients[account] = self.session(account).client("ec2", region_name=REGION)
        return self.clients[account]

    def target(self, name: str) -> tuple[str, int]:
        """Return address and port of what a probe knocks at."""
        return {
            "server": ("10.0.0.10", self.port),
            "server's other port": ("10.0.0.10", self.other),
            "server's closed port": ("10.0.0.10", self.closed),
            "client-1": ("10.1.0.10", self.port),
            "client-2": ("10.2.0.10", self.port),
            "nobody": ("10.0.0.99", self.port),
            "internet": (INTERNET, 443),
        }[name]

    def vpc_config(self, job: Job) -> Mapping[str, list[str]] | None:
        """Return the VpcConfig of a job."""
        if not job.subnet:
            return None
        group, subnet = self.groups[job.account, job.group], self.subnets[job.account, job.subnet]
        return {"SecurityGroupIds": [group], "Subnets": [subnet]}


def session(name: str) -> boto3.Session:
    """Return a session in an account of moto in this process, which takes any role."""
    sts = boto3.client("sts", region_name=REGION, aws_access_key_id="AKIAX", aws_secret_access_key="x")
    lent = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNTS[name]}:role/any", RoleSessionName="any")["Credentials"]
    return boto3.Session(lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"], region_name=REGION)


def build(session: Callable[[str], boto3.Session], *, port: int, other: int, closed: int) -> World:
    """Make the world with boto3, in whatever AWS the sessions lead to."""
    world = World(session, port, other, closed)
    for account, cidr in RANGES.items():
        _network(world, account, cidr)
    for client in ("client-1", "client-2", "client-3", "client-4"):
        _peer(world, client)
    for account in ("server", "client-1", "client-2"):  # client 1 and 2: bystanders
        made = world.ec2(account).create_network_interface(
            SubnetId=world.subnets[account, "routed"],
            PrivateIpAddress=RANGES[account].replace("0/24", "10"),
            Groups=[world.groups[account, "to-server"]],
        )
        world.interfaces[account] = made["NetworkInterface"]["NetworkInterfaceId"]
    return world


def _log(session: boto3.Session, vpc: str, ec2: Any) -> None:
    """Make a flow log of a VPC, with a role that may write it."""
    trust = {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
    write = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    iam, documents = session.client("iam"), [{"Version": "2012-10-17", "Statement": [one]} for one in (trust, write)]
    role = iam.create_role(RoleName="flow-log", AssumeRolePolicyDocument=json.dumps(documents[0]))["Role"]["Arn"]
    iam.put_role_policy(RoleName="flow-log", PolicyName="write", PolicyDocument=json.dumps(documents[1]))
    session.client("logs", region_name=REGION).create_log_group(logGroupName=FLOW_LOG)
    ec2.create_flow_logs(
        ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", LogGroupName=FLOW_LOG, DeliverLogsPermissionArn=role
    )


def _network(world: World, account: str, cidr: str) -> None:
    ec2 = world.ec2(account)
    vpc = world.vpcs[account] = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    _log(world.session(account), vpc, ec2)
    halves = {"routed": cidr.replace("0/24", "0/25"), "bare": cidr.replace("0/24", "128/25")}
    for name, half in halves.items():
        zone = "us-east-1c"  # in none of these accounts the one that lacks SageMaker
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=half, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        world.subnets[account, name], world.tables[account, name] = subnet, table
    ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[world.tables[account, n] for n in halves]
    )
    s3 = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": _s3_list(ec2)}]}
    server = {"IpProtocol": "tcp", "FromPort": world.port, "ToPort": world.port}
    server["IpRanges"] = [{"CidrIp": RANGES["server"]}]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    for name, rules in {"to-server": [s3, server], "to-nobody": [s3], "to-all": [everything]}.items():
        group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        world.groups[account, name] = group
        if name != "to-all":
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)
    if account == "server":
        for admitted in (world.port, world.closed):
            ec2.authorize_security_group_ingress(
                GroupId=world.groups[account, "to-server"],
                IpPermissions=[
                    {
                        "IpProtocol": "tcp",
                        "FromPort": admitted,
                        "ToPort": admitted,
                        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
                    }
                ],
            )


def _s3_list(ec2: Any) -> str:
    lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    return next(one["PrefixListId"] for one in lists if one["PrefixListName"] == f"com.amazonaws.{REGION}.s3")


def _peer(world: World, client: str) -> None:
    ec2, server = world.ec2(client), world.ec2("server")
    owner = server.describe_vpcs(VpcIds=[world.vpcs["server"]])["Vpcs"][0]["OwnerId"]
    asked = ec2.create_vpc_peering_connection(
        VpcId=world.vpcs[client], PeerVpcId=world.vpcs["server"], PeerOwnerId=owner
    )
    peering = world.peerings[client] = asked["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    if client not in ("client-3", "client-4"):  # the one has failed already, the other waits
        server.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    if client != "client-3":  # whose own range it is
        route(world, client, RANGES["server"], peering)
    if client == "client-1":
        route(world, client, RANGES["client-2"], peering)
    if client in ("client-1", "client-4"):
        route(world, "server", RANGES[client], peering)


def route(world: World, account: str, cidr: str, peering: str) -> None:
    """Add a route over a peering to the routed subnet of an account."""
    world.ec2(account).create_route(
        RouteTableId=world.tables[account, "routed"], DestinationCidrBlock=cidr, VpcPeeringConnectionId=peering
    )


def unroute(world: World, account: str, cidr: str) -> None:
    """Take a route of the routed subnet away."""
    world.ec2(account).delete_route(RouteTableId=world.tables[account, "routed"], DestinationCidrBlock=cidr)
