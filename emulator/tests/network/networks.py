"""Networks of several accounts in this process, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import network_world
import pytest
from botocore.exceptions import ClientError
from network_world import ACCOUNTS


def refused(call: Callable[..., Any], *words: str, **request: Any) -> str:
    """Make a call that must be refused; return the code, after looking for words in the message."""
    with pytest.raises(ClientError) as error:
        call(**request)
    said = error.value.response["Error"]
    for word in words:
        assert word in said["Message"], said
    return said["Code"]


class Networks:
    """EC2 clients by account, and short ways to make things."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}

    def ec2(self, account: str) -> Any:
        """Return the EC2 client of an account."""
        if account not in self._clients:
            self._clients[account] = network_world.session(account).client("ec2")
        return self._clients[account]

    def vpc(self, account: str, cidr: str) -> str:
        """Make a VPC."""
        return self.ec2(account).create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]

    def subnet(self, account: str, vpc: str, cidr: str, zone: str = "us-east-1c") -> str:
        """Make a subnet, in a zone that lacks nothing."""
        made = self.ec2(account).create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)
        return made["Subnet"]["SubnetId"]

    def table(self, account: str, vpc: str) -> str:
        """Make a route table."""
        return self.ec2(account).create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]

    def group(self, account: str, vpc: str, name: str = "group") -> str:
        """Make a security group."""
        return self.ec2(account).create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]

    def ask(self, account: str, vpc: str, owner: str, peer: str, **more: Any) -> str:
        """Ask for a peering; return its id."""
        request = {"VpcId": vpc, "PeerVpcId": peer, "PeerOwnerId": ACCOUNTS[owner], **more}
        made = self.ec2(account).create_vpc_peering_connection(**request)
        return made["VpcPeeringConnection"]["VpcPeeringConnectionId"]

    def pair(self) -> tuple[str, str, str]:
        """Connect VPCs of server and client-1; return them and the active connection."""
        server, client = self.vpc("server", "10.0.0.0/16"), self.vpc("client-1", "10.1.0.0/16")
        name = self.ask("server", server, "client-1", client)
        self.ec2("client-1").accept_vpc_peering_connection(VpcPeeringConnectionId=name)
        return server, client, name

    def seen(self, account: str, **filters: Any) -> dict[str, str]:
        """Return the state of every connection that an account sees, by id."""
        return {one["VpcPeeringConnectionId"]: one["Status"]["Code"] for one in self.told(account, **filters)}

    def told(self, account: str, **request: Any) -> list[dict[str, Any]]:
        """Return what an account is told of connections."""
        return self.ec2(account).describe_vpc_peering_connections(**request)["VpcPeeringConnections"]


def named(name: str, *values: str) -> list[dict[str, Any]]:
    """Return one filter."""
    return [{"Name": name, "Values": list(values)}]
