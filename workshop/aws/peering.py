"""VPC peering as it stands: peerings, routes and security groups, seen from both sides."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from workshop.aws import flow_logs

LOOK_BACK = 3600.0  # seconds of the flow logs
ROUTED = "routed"  # in the place of a peering's id: others have joined the networks, by a transit gateway


def table(
    sessions: Mapping[str, boto3.Session], outputs: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> pd.DataFrame:
    """Return one line per client: is the peering active, is there a route each way, is the port open.

    Where others have joined the two networks there is no peering to look at (None), and any route to the other's
    addresses will do.

    Parameters
    ----------
    sessions : mapping
        The server's and the clients', by name; of an account that is not at hand its half is None.
    outputs : mapping
        ``outputs[account][stack]``, as ``members.Members`` keeps them; what is not known yet is None too.
    """
    apis = {name: session.client("ec2") for name, session in sessions.items()}
    server, theirs = apis.get("server"), outputs["server"].get("fl-network")
    lines = {}
    for name, stacks in outputs.items():
        pair, mine, ec2 = outputs["server"].get(f"fl-peering-{name}"), stacks.get("fl-network"), apis.get(name)
        if name == "server" or not (pair and mine and theirs and (ec2 or server)):
            continue
        pcx, port = pair["PeeringId"], int(pair["ServerPort"])
        lines[name] = {
            "peering": None if pcx == ROUTED else _status(ec2 or server, pcx),
            "route there": ec2 and _has_route(ec2, mine["RouteTableId"], theirs["VpcCidr"], pcx),
            "route back": server and _has_route(server, theirs["RouteTableId"], mine["VpcCidr"], pcx),
            "job may call": ec2 and _open(ec2, mine, "IpPermissionsEgress", theirs["VpcCidr"], port),
            "server listens": server and _open(server, theirs, "IpPermissions", mine["VpcCidr"], port),
        }
    return pd.DataFrame(lines, dtype=object).T.rename_axis("client")


def refused(
    sessions: Mapping[str, boto3.Session], outputs: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> dict[str, dict[str, str]]:
    """Return, by client, what its and the server's flow logs last said of its packets to the server, if it is a REJECT.

    Parameters
    ----------
    sessions, outputs
        As for :func:`table`.

    Returns
    -------
    dict
        ``refused[client][account]``: a sentence; account is whose interface has seen it: the client's or ``server``.
    """
    records = {name: flow_logs.messages(session, seconds=LOOK_BACK) for name, session in sessions.items()}
    theirs, lines = outputs["server"].get("fl-network"), {}
    for name, stacks in outputs.items():
        pair, mine = outputs["server"].get(f"fl-peering-{name}"), stacks.get("fl-network")
        if name == "server" or not (pair and mine and theirs):
            continue
        way = flow_logs.Way(mine["VpcCidr"], theirs["VpcCidr"], int(pair["ServerPort"]))
        seen = {account: flow_logs.last(records.get(account, ()), way) for account in (name, "server")}
        lines[name] = {
            account: f"REJECT {line['source']} → {line['target']}:{line['target_port']} seen at {account}'s interface "
            f"{line['interface']}"
            for account, line in seen.items()
            if line and line["action"] == "REJECT"
        }
    return lines


def _status(ec2: Any, peering: str) -> str:
    try:
        peerings = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])["VpcPeeringConnections"]
    except ClientError as error:
        if error.response["Error"]["Code"].endswith(".NotFound"):
            return "missing"
        raise
    return peerings[0]["Status"]["Code"] if peerings else "missing"


def _has_route(ec2: Any, route_table: str, cidr: str, peering: str) -> bool:
    wanted = [{"Name": "route-table-id", "Values": [route_table]}]
    routes = [route for table in ec2.describe_route_tables(Filters=wanted)["RouteTables"] for route in table["Routes"]]
    if peering != ROUTED:
        return any(
            route.get("DestinationCidrBlock") == cidr and route.get("VpcPeeringConnectionId") == peering
            for route in routes
        )
    there = ipaddress.IPv4Network(cidr)
    return any(
        ipaddress.IPv4Network(route["DestinationCidrBlock"]).supernet_of(there) and route["State"] == "active"
        for route in routes
        if "DestinationCidrBlock" in route and route.get("GatewayId") != "local"
    )


def _open(ec2: Any, network: Mapping[str, str], side: str, cidr: str, port: int) -> bool:
    wanted = [{"Name": "group-id", "Values": [network["FederationGroupId"]]}]
    return any(
        rule.get("FromPort") == rule.get("ToPort") == port and cidr in [item["CidrIp"] for item in rule["IpRanges"]]
        for group in ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
        for rule in group[side]
    )
