"""VPCs and subnets: ranges that fit, the zones of an account, and deletions that AWS refuses.

Source: AWS, EC2 API reference, CreateSubnet, AssociateVpcCidrBlock and DeleteVpc; VPC user guide, "VPC CIDR blocks";
VPC peering guide, "Delete a VPC peering connection". That an active connection holds a VPC (its console deletes both)
is what users of the API report (terraform-provider-aws issue 3118).
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidSubnetRangeError, InvalidVPCRangeError
from moto.ec2.models import EC2Backend
from moto.ec2.models.availability_zones_and_regions import Zone
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses import EC2Response

from embedded_aws.services.ec2 import zones
from embedded_aws.services.ec2.errors import in_use
from embedded_aws.services.ec2.peerings import ACTIVE, PENDING, overlap, ranges
from embedded_aws.services.ec2.routes import canonical


class Vpcs(EC2Backend):
    """moto's VPCs and subnets, mended."""

    # moto's zones have the same names in every account, and every service in each of them.
    @property
    def zones(self) -> dict[str, list[Zone]]:
        """The region's zones, as this account calls them."""
        return {self.region_name: list(zones.of(self.account_id, self.region_name))}

    def create_vpc(self, cidr_block: str, *args: Any, **more: Any) -> Any:
        """Create a VPC; its range is kept without bits beyond the mask."""
        return super().create_vpc(_kept(cidr_block), *args, **more)

    # moto lets any range come in.
    def associate_vpc_cidr_block(
        self, vpc_id: str, cidr_block: str, amazon_provided_ipv6_cidr_block: bool = False
    ) -> dict[str, Any]:
        """Give a VPC one more range, which neither it nor a peer has."""
        if cidr_block and not amazon_provided_ipv6_cidr_block:
            cidr_block, vpc = _kept(cidr_block), self.get_vpc(vpc_id)
            wanted = [IPv4Network(cidr_block)]
            taken = ranges(vpc)
            for connection in list(self.vpc_pcxs.values()):
                if connection.state in (ACTIVE, PENDING) and connection.joins(vpc_id):
                    taken += [*ranges(connection.vpc), *ranges(connection.peer_vpc)]
            if not 16 <= wanted[0].prefixlen <= 28 or overlap(wanted, taken):
                raise InvalidVPCRangeError(cidr_block)
        return super().associate_vpc_cidr_block(vpc_id, cidr_block, amazon_provided_ipv6_cidr_block)

    def create_subnet(
        self,
        vpc_id: str,
        cidr_block: str,
        ipv6_cidr_block: str | None = None,
        availability_zone: str | None = None,
        availability_zone_id: str | None = None,
        **more: Any,
    ) -> Subnet:
        """Create a subnet; without a zone in the first one."""
        cidr_block = _kept(cidr_block)
        if cidr_block and "/" in cidr_block and not 16 <= int(cidr_block.partition("/")[2]) <= 28:
            raise InvalidSubnetRangeError(cidr_block)
        mine = zones.of(self.account_id, self.region_name)
        if availability_zone_id:
            named = [zone.name for zone in mine if zone.zone_id == availability_zone_id]
            availability_zone = named[0] if named else availability_zone_id
        availability_zone = availability_zone or mine[0].name
        subnet = super().create_subnet(vpc_id, cidr_block, ipv6_cidr_block, availability_zone, **more)
        subnet._availability_zone = next(zone for zone in mine if zone.name == availability_zone)
        return subnet

    # moto deletes a subnet under its interfaces, and leaves its route table associations behind.
    def delete_subnet(self, subnet_id: str) -> Any:
        """Delete a subnet that is empty."""
        if any(eni.subnet.id == subnet_id for eni in list(self.enis.values())):
            raise in_use("subnet", subnet_id)
        deleted = super().delete_subnet(subnet_id)
        for table in list(self.route_tables.values()):
            for key in [key for key, target in table._associations.items() if target == subnet_id]:
                del table._associations[key]
        return deleted

    # moto deletes a VPC with a gateway, endpoints and groups in it; it leaves its ACL and its peering connections.
    def delete_vpc(self, vpc_id: str) -> Any:
        """Delete a VPC that is empty."""
        self.get_vpc(vpc_id)
        mine = [peering for peering in list(self.vpc_pcxs.values()) if peering.joins(vpc_id)]
        groups = [group for group in list(self.groups[vpc_id].values()) if not group.is_default]
        endpoints = [endpoint for endpoint in list(self.vpc_end_points.values()) if endpoint.vpc_id == vpc_id]
        gateways = [
            gateway for gateway in list(self.internet_gateways.values()) if gateway.vpc and gateway.vpc.id == vpc_id
        ]
        subnets = self.describe_subnets(filters={"vpc-id": vpc_id})
        tables = [table for table in list(self.route_tables.values()) if table.vpc_id == vpc_id]
        others = [table for table in tables if table.main_association_id is None]
        if (
            groups
            or endpoints
            or gateways
            or subnets
            or others
            or any(self._holds(peering, vpc_id) for peering in mine)
        ):
            raise in_use("vpc", vpc_id)
        for table in tables:
            del self.route_tables[table.id]  # moto deletes it by the request that people make, which is refused
        for group in list(self.groups[vpc_id]):
            del self.groups[vpc_id][group]
        vpc = super().delete_vpc(vpc_id)
        for key in [key for key, acl in self.network_acls.items() if acl.vpc_id == vpc_id]:
            del self.network_acls[key]
        for key in [key for key, log in self.flow_logs.items() if log.resource_id == vpc_id]:
            del self.flow_logs[key]
        for connection in mine:
            if connection.state == PENDING:
                connection.turn("deleted", f"Deleted by {self.account_id}", self.account_id)
        return vpc

    def _holds(self, connection: Any, vpc: str) -> bool:
        """Tell whether a connection keeps a VPC: an active one, or the request of another account for it."""
        asked = connection.peer_vpc.id == vpc and not connection.within
        return connection.state == ACTIVE or (connection.state == PENDING and asked)


def _kept(cidr: str) -> str:
    try:
        return canonical(cidr)
    except ValueError:
        return cidr  # moto says what is wrong with it


class VpcRequests(EC2Response):
    """The requests about VPCs and subnets."""

    def create_subnet(self) -> ActionResult:
        """CreateSubnet; where AWS, and moto, would take any zone, it is the first that has everything."""
        if not (self._get_param("AvailabilityZone") or self._get_param("AvailabilityZoneId")):
            names = [zone.name for zone in zones.of(self.current_account, self.region)]
            whole = [name for name in names if not zones.lacks(self.current_account, self.region, name)]
            self.params["AvailabilityZone"] = whole[0]
            self.querystring["AvailabilityZone"] = whole[:1]
        return super().create_subnet()
