"""Routes and route tables: targets of the same network, conflicts, and routes that lead nowhere any more.

Source: AWS, EC2 API reference, CreateRoute and AssociateRouteTable; VPC peering guide, "Update your route tables": a
route over a connection that waits for acceptance may be made, and is a blackhole until then, as after its end.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import moto.ec2.models.route_tables
from moto.ec2.exceptions import (
    InvalidDestinationCIDRBlockParameterError,
    RouteAlreadyExistsError,
)
from moto.ec2.models import EC2Backend

from embedded_aws.services.ec2.errors import INVALID_VALUE, elsewhere, in_use, refuse
from embedded_aws.services.ec2.peerings import ACTIVE, OVER, not_found, ranges

_TARGETS = {
    "gateway_id": "gatewayId",
    "instance_id": "instanceId",
    "nat_gateway_id": "natGatewayId",
    "egress_only_igw_id": "egressOnlyInternetGatewayId",
    "transit_gateway_id": "transitGatewayId",
    "interface_id": "networkInterfaceId",
    "vpc_peering_connection_id": "vpcPeeringConnectionId",
    "carrier_gateway_id": "carrierGatewayId",
    "vpc_endpoint_id": "vpcEndpointId",
}
_WITHIN = ("instance_id", "interface_id", "nat_gateway_id", "vpc_endpoint_id")  # may stand before a part of the VPC


def canonical(cidr: str) -> str:
    """Return a range as EC2 keeps it, without bits beyond its mask.

    >>> canonical("100.68.0.18/18")
    '100.68.0.0/18'
    """
    return str(IPv4Network(cidr, strict=False))


def is_blackhole(route: Any) -> bool:
    """Tell whether one of moto's routes has a target that carries nothing (any more)."""
    network, connection = route.route_table.ec2_backend, route.vpc_pcx
    if connection is not None:
        return connection.state != ACTIVE
    if route.nat_gateway is not None:
        return route.nat_gateway.id not in network.nat_gateways
    if route.interface is not None:
        return route.interface.id not in network.enis
    if (name := route.gateway_id) and name.startswith("igw-"):
        return route.gateway.vpc is None or route.gateway.vpc.id != route.route_table.vpc_id
    return False


class Routes(EC2Backend):
    """moto's routes, mended: it takes any target, and calls every route active."""

    def create_route(
        self, route_table_id: str, destination_cidr_block: str | None, *args: Any, local: bool = False, **targets: Any
    ) -> Any:
        """Create a route."""
        if local:
            return super().create_route(route_table_id, destination_cidr_block, *args, local=True, **targets)
        table = self.get_route_table(route_table_id)
        to = self._check_route(table, destination_cidr_block, targets)
        for route in table.routes:
            if to and route.destination_cidr_block and canonical(route.destination_cidr_block) == to:
                raise RouteAlreadyExistsError(to)
        return super().create_route(route_table_id, to, *args, **targets)

    def replace_route(
        self,
        route_table_id: str,
        destination_cidr_block: str,
        destination_ipv6_cidr_block: str | None = None,
        destination_prefix_list_id: str | None = None,
        nat_gateway_id: str | None = None,
        *args: Any,
        **targets: Any,
    ) -> Any:
        """Lead a route elsewhere."""
        table = self.get_route_table(route_table_id)
        to = self._check_route(table, destination_cidr_block, {**targets, "nat_gateway_id": nat_gateway_id})
        lists = (destination_ipv6_cidr_block, destination_prefix_list_id, nat_gateway_id)
        return super().replace_route(route_table_id, to, *lists, *args, **targets)

    def delete_route(self, route_table_id: str, destination_cidr_block: str | None, *args: Any, **more: Any) -> Any:
        """Delete a route; the local one stays."""
        table, to = self.get_route_table(route_table_id), _destination(destination_cidr_block)
        if any(route.local and route.destination_cidr_block == to for route in table.routes if to):
            message = f"cannot remove local route {to} in route table {route_table_id}"
            raise refuse(INVALID_VALUE, message)
        return super().delete_route(route_table_id, to, *args, **more)

    def _check_route(self, table: Any, cidr: str | None, targets: dict[str, Any]) -> str | None:
        """Look at where a route leads, and return its destination as EC2 keeps it."""
        given = [name for name in _TARGETS if targets.get(name)]
        if len(given) != 1:
            code = "InvalidParameterCombination" if given else "MissingParameter"
            raise refuse(code, f"The request must contain exactly one of {', '.join(_TARGETS.values())}")
        vpc, to = self.get_vpc(table.vpc_id), _destination(cidr)
        if to and given[0] not in _WITHIN and any(IPv4Network(to).subnet_of(block) for block in ranges(vpc)):
            message = (
                f"The destination CIDR block {to} is equal to or more specific than one of this VPC's CIDR blocks. "
                "This route can target only an interface or an instance."
            )
            raise refuse(INVALID_VALUE, message)
        target = targets[given[0]]
        if (home := self._home(given[0], target)) and table.vpc_id not in home:
            raise elsewhere(INVALID_VALUE, f"route table {table.id}", f"network gateway {target}")
        return to

    def _home(self, kind: str, target: str) -> tuple[str, ...]:
        """Return the VPCs whose route tables may name a target; none where that is not known here."""
        if kind == "vpc_peering_connection_id":
            connection = self.get_vpc_peering_connection(target)
            if connection.state in OVER:
                raise not_found(target)
            return connection.vpc.id, connection.peer_vpc.id
        if kind == "nat_gateway_id":
            if target not in self.nat_gateways:
                raise refuse("InvalidNatGatewayID.NotFound", f"The natGateway ID '{target}' does not exist")
            return (self.nat_gateways[target].vpc_id,)
        if kind == "interface_id":
            return (self.get_network_interface(target).vpc_id,)
        if kind == "gateway_id" and target.startswith("igw-"):
            attached = self.get_internet_gateway(target).vpc
            return (attached.id if attached else "",)
        return ()

    # moto does not look where a subnet is, and lets the table stay that a subnet has.
    def associate_route_table(
        self, route_table_id: str, gateway_id: str | None = None, subnet_id: str | None = None
    ) -> str:
        """Make a subnet use a table."""
        table = self.get_route_table(route_table_id)
        if subnet_id:
            if self.get_subnet(subnet_id).vpc_id != table.vpc_id:
                raise elsewhere(INVALID_VALUE, f"route table {table.id}", f"subnet {subnet_id}")
            used = [
                route_table
                for route_table in list(self.route_tables.values())
                if subnet_id in route_table._associations.values()
            ]
            if used and used[0] is not table:
                message = f"the specified association for route table {table.id} conflicts with an existing association"
                raise refuse("Resource.AlreadyAssociated", message)
        return super().associate_route_table(route_table_id, gateway_id, subnet_id)

    def replace_route_table_association(self, association_id: str, route_table_id: str) -> str:
        """Make a subnet use another table of its VPC."""
        table = self.get_route_table(route_table_id)
        for other in list(self.route_tables.values()):
            if association_id in other.all_associations_ids and other.vpc_id != table.vpc_id:
                raise elsewhere(INVALID_VALUE, f"route table {table.id}", f"route table {other.id}")
        return super().replace_route_table_association(association_id, route_table_id)

    def delete_route_table(self, route_table_id: str) -> None:
        """Delete a table that no subnet uses and that is not the main one."""
        if self.get_route_table(route_table_id).main_association_id is not None:
            raise in_use("routeTable", route_table_id)
        super().delete_route_table(route_table_id)


def _destination(cidr: str | None) -> str | None:
    if not cidr:
        return None
    try:
        return canonical(cidr)
    except ValueError:
        raise InvalidDestinationCIDRBlockParameterError(cidr) from None


def install() -> None:
    """Have routes tell their state."""
    state = property(lambda route: "blackhole" if is_blackhole(route) else "active")
    moto.ec2.models.route_tables.Route.state = state
