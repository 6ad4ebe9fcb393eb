"""The network between the accounts as it stands: peerings, routes and doors, seen from both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
import pandas as pd


def table(
    sessions: Mapping[str, boto3.Session], outputs: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> pd.DataFrame:
    """Return one line per client: is the peering active, is there a route each way, is the port open.

    Parameters
    ----------
    sessions : mapping
        The server's and the clients', by name.
    outputs : mapping
        ``outputs[account][stack]``, as ``deployment.Federation`` keeps them.
    """
    server = sessions["server"].client("ec2")
    lines = {}
    for name, session in sessions.items():
        if name == "server":
            continue
        ec2, mine, theirs = session.client("ec2"), outputs[name]["fl-network"], outputs["server"]["fl-network"]
        pcx = outputs["server"][f"fl-peering-{name}"]["PeeringId"]
        port = int(outputs["server"][f"fl-peering-{name}"]["ServerPort"])
        lines[name] = {
            "peering": _status(ec2, pcx),
            "route there": _has_route(ec2, mine["RouteTableId"], theirs["VpcCidr"], pcx),
            "route back": _has_route(server, theirs["RouteTableId"], mine["VpcCidr"], pcx),
            "job may call": _open(ec2, mine["FederationGroupId"], "IpPermissionsEgress", theirs["VpcCidr"], port),
            "server listens": _open(server, theirs["FederationGroupId"], "IpPermissions", mine["VpcCidr"], port),
        }
    return pd.DataFrame(lines).T.rename_axis("client")


def _status(ec2: Any, peering: str) -> str:
    found = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])["VpcPeeringConnections"]
    return found[0]["Status"]["Code"] if found else "missing"


def _has_route(ec2: Any, route_table: str, cidr: str, peering: str) -> bool:
    (found,) = ec2.describe_route_tables(RouteTableIds=[route_table])["RouteTables"]
    return any(
        route.get("DestinationCidrBlock") == cidr and route.get("VpcPeeringConnectionId") == peering
        for route in found["Routes"]
    )


def _open(ec2: Any, group: str, side: str, cidr: str, port: int) -> bool:
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return any(
        rule.get("FromPort") == rule.get("ToPort") == port and cidr in [item["CidrIp"] for item in rule["IpRanges"]]
        for rule in found[side]
    )
