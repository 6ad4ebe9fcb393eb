"""What moto's EC2 gets wrong and stacks would notice: endpoints that take effect, and deletions that AWS refuses."""

from __future__ import annotations

import contextlib
from typing import Any

import moto.ec2.urls
from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    DependencyViolationError,
    EC2ClientError,
    InvalidSecurityGroupNotFoundError,
    InvalidServiceName,
    InvalidVPCPeeringConnectionIdError,
    InvalidVPCPeeringConnectionStateTransitionError,
)
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.availability_zones_and_regions import Zone
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import AWS_ENDPOINT_SERVICES, VPCEndPoint
from moto.ec2.responses import EC2Response

from embedded_aws.network import zones

_OVER = ("deleted", "rejected", "failed", "expired")


class NotInThisZone(EC2ClientError):
    """An endpoint is wanted where its service is not."""

    def __init__(self, service: str, subnet: str) -> None:
        told = f"The VPC endpoint service {service} does not support the availability zone of the subnet: {subnet}."
        super().__init__("InvalidParameter", told)


class Network(EC2Backend):
    """moto's EC2 of one account and region, mended."""

    @property
    def _url_module(self) -> Any:
        return moto.ec2.urls

    def interface(self, subnet_id: str, groups: list[str], description: str, kind: str) -> NetworkInterface:
        """Make a network interface as a service does for itself: a free address of the subnet, known groups."""
        subnet = self.get_subnet(subnet_id)
        address = subnet.get_available_subnet_ip(None)
        eni = self.create_network_interface(subnet, address, group_ids=list(groups), description=description)
        eni.status, eni.interface_type, eni.requester_managed = "in-use", kind, True
        return eni

    # moto's zones have the same names in every account, and every service in each of them.
    @property
    def zones(self) -> dict[str, list[Zone]]:
        """The region's zones, as this account calls them."""
        return {self.region_name: list(zones.of(self.account_id, self.region_name))}

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
        mine = zones.of(self.account_id, self.region_name)
        if availability_zone_id:
            named = [zone.name for zone in mine if zone.zone_id == availability_zone_id]
            availability_zone = named[0] if named else availability_zone_id
        availability_zone = availability_zone or mine[0].name
        subnet = super().create_subnet(vpc_id, cidr_block, ipv6_cidr_block, availability_zone, **more)
        subnet._availability_zone = next(zone for zone in mine if zone.name == availability_zone)
        return subnet

    # moto would import every service that it has, which takes seconds, and tells the same zones of each.
    def _collect_default_endpoint_services(self, account_id: str, region: str) -> list[dict[str, Any]]:
        """Return the services that have endpoints, and the zones in which they have them."""
        everywhere = [zone.name for zone in zones.of(account_id, region)]
        most = [name for name in everywhere if not self._lacks(name)]
        describe = EC2Backend.default_vpc_endpoint_service_factory
        gateways = [one for name in ("s3", "dynamodb") for one in describe(region, everywhere, name, "Gateway")]
        return gateways + [one for name in AWS_ENDPOINT_SERVICES for one in describe(region, most, name)]

    def _lacks(self, zone: str) -> bool:
        return zones.lacks(self.account_id, self.region_name, zone)

    # moto makes up a group of an unknown id, or puts None in its place, which breaks every later look at the groups.
    def _check_groups(self, groups: list[str]) -> None:
        for group in groups:
            if self.get_security_group_from_id(group) is None:
                raise InvalidSecurityGroupNotFoundError(group)

    def create_network_interface(
        self, subnet: Any, address: Any, addresses: Any = None, group_ids: Any = None, *args: Any, **kwargs: Any
    ) -> NetworkInterface:
        """Create a network interface in known groups."""
        self._check_groups(group_ids or [])
        return super().create_network_interface(subnet, address, addresses, group_ids, *args, **kwargs)

    def modify_network_interface_attribute(self, eni_id: str, group_ids: list[str], *args: Any, **kwargs: Any) -> None:
        """Modify a network interface; its groups are known ones."""
        self._check_groups(group_ids)
        super().modify_network_interface_attribute(eni_id, group_ids, *args, **kwargs)

    def drop_interface(self, eni_id: str) -> None:
        """Delete a network interface and free its address, which moto keeps."""
        if eni := self.enis.pop(eni_id, None):
            eni.subnet.del_subnet_ip(eni.private_ip_address)

    # moto leads routes over peering connections that are gone.
    def create_route(self, *args: Any, vpc_peering_connection_id: str | None = None, **kwargs: Any) -> Any:
        """Create a route."""
        self._check_peering(vpc_peering_connection_id)
        return super().create_route(*args, vpc_peering_connection_id=vpc_peering_connection_id, **kwargs)

    def replace_route(self, *args: Any, vpc_peering_connection_id: str | None = None, **kwargs: Any) -> Any:
        """Lead a route elsewhere."""
        self._check_peering(vpc_peering_connection_id)
        return super().replace_route(*args, vpc_peering_connection_id=vpc_peering_connection_id, **kwargs)

    def _check_peering(self, peering: str | None) -> None:
        if peering and (peering not in self.vpc_pcxs or self.vpc_pcxs[peering]._status.code in _OVER):
            raise InvalidVPCPeeringConnectionIdError(peering)

    # moto gives the interfaces of an endpoint random addresses and no groups, and believes any id and name.
    def create_vpc_endpoint(
        self, vpc_id: str, service_name: str, endpoint_type: str | None, *args: Any, **kwargs: Any
    ) -> VPCEndPoint:
        """Create an endpoint."""
        known = {f"com.amazonaws.{self.region_name}.{name}" for name in AWS_ENDPOINT_SERVICES}
        known |= {f"aws.sagemaker.{self.region_name}.{name}" for name in ("notebook", "studio")}
        if service_name not in known:
            raise InvalidServiceName(service_name)
        for table in kwargs.get("route_table_ids") or []:
            self.get_route_table(table)
        endpoint_type = endpoint_type or "Gateway"
        subnets, groups = kwargs.get("subnet_ids") or [], kwargs.get("security_group_ids") or []
        self._check_groups(groups)
        if endpoint_type != "Gateway":
            kwargs["subnet_ids"] = []
        endpoint = super().create_vpc_endpoint(vpc_id, service_name, endpoint_type, *args, **kwargs)
        endpoint.subnet_ids = []
        if endpoint_type != "Gateway":
            if not groups:
                endpoint.security_group_ids = [self.get_default_security_group(vpc_id).id]
            try:
                self._enter(endpoint, subnets)
            except EC2ClientError:
                self.delete_vpc_endpoints([endpoint.id])
                raise
        return endpoint

    def _enter(self, endpoint: VPCEndPoint, subnets: list[str]) -> None:
        for subnet in subnets:
            if self._lacks(self.get_subnet(subnet).availability_zone):
                raise NotInThisZone(endpoint.service_name, subnet)
            told = f"VPC Endpoint Interface {endpoint.id}"
            eni = self.interface(subnet, endpoint.security_group_ids, told, "vpc_endpoint")
            endpoint.network_interface_ids.append(eni.id)
            endpoint.subnet_ids.append(subnet)

    # moto changes the lists of an endpoint, and neither its routes nor its interfaces.
    def modify_vpc_endpoint(  # noqa: PLR0917  (moto's signature)
        self,
        vpc_id: str,
        policy_doc: str,
        add_subnets: list[str] | None,
        remove_subnets: list[str] | None,
        remove_route_tables: list[str] | None,
        add_route_tables: list[str] | None,
        add_security_groups: list[str] | None,
        remove_security_groups: list[str] | None,
    ) -> None:
        """Modify an endpoint."""
        (endpoint,) = self.describe_vpc_endpoints([vpc_id])
        prefix = endpoint.destination_prefix_list_id
        for table in add_route_tables or []:
            self.get_route_table(table)
        for subnet in add_subnets or []:
            self.get_subnet(subnet)
        self._check_groups(add_security_groups or [])
        endpoint.modify(
            policy_doc, None, None, add_route_tables, remove_route_tables, add_security_groups, remove_security_groups
        )
        for table in add_route_tables or []:
            self.create_route(table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefix)
        for table in remove_route_tables or []:
            with contextlib.suppress(EC2ClientError):
                self.delete_route(table, None, destination_prefix_list_id=prefix)
        for eni_id in list(endpoint.network_interface_ids):
            eni = self.enis[eni_id]
            if eni.subnet.id in (remove_subnets or []):
                self.drop_interface(eni_id)
                endpoint.network_interface_ids.remove(eni_id)
                endpoint.subnet_ids.remove(eni.subnet.id)
            elif add_security_groups or remove_security_groups:
                self.modify_network_interface_attribute(eni_id, endpoint.security_group_ids)
        self._enter(endpoint, [subnet for subnet in add_subnets or [] if subnet not in endpoint.subnet_ids])

    # moto fails on an endpoint whose type or route table is unknown, and lists deleted endpoints forever.
    def delete_vpc_endpoints(self, vpce_ids: list[str] | None = None) -> None:
        """Delete endpoints."""
        for endpoint_id in vpce_ids or []:
            endpoint = self.vpc_end_points.pop(endpoint_id, None)
            if endpoint is None:
                continue
            endpoint.state = "deleted"
            for eni_id in endpoint.network_interface_ids:
                self.drop_interface(eni_id)
            for table in endpoint.route_table_ids:
                with contextlib.suppress(EC2ClientError):
                    self.delete_route(table, None, destination_prefix_list_id=endpoint.destination_prefix_list_id)

    # moto deletes a group that interfaces or rules of other groups use.
    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Delete a group that nobody uses."""
        group = self.get_security_group_by_name_or_id(group_id or name)
        if group is not None:
            others = [one for groups in self.groups.values() for one in groups.values() if one is not group]
            rules = [rule for one in others for rule in [*one.ingress_rules, *one.egress_rules]]
            if any(rule.source_group.get("GroupId") == group.id for rule in rules) or any(
                used.id == group.id for eni in self.enis.values() for used in eni._group_set
            ):
                raise DependencyViolationError(f"resource {group.id} has a dependent object")
        super().delete_security_group(name, group_id)

    # moto deletes a subnet under its interfaces, and leaves its route table associations behind.
    def delete_subnet(self, subnet_id: str) -> Any:
        """Delete a subnet that is empty."""
        if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
            raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        deleted = super().delete_subnet(subnet_id)
        for table in self.route_tables.values():
            for key in [key for key, target in table._associations.items() if target == subnet_id]:
                del table._associations[key]
        return deleted

    # moto deletes a VPC with a gateway, endpoints and groups in it; it leaves its ACL and its peering connections.
    def delete_vpc(self, vpc_id: str) -> Any:
        """Delete a VPC that is empty."""
        self.get_vpc(vpc_id)
        groups = [group for group in self.groups[vpc_id].values() if not group.is_default]
        endpoints = [one for one in self.vpc_end_points.values() if one.vpc_id == vpc_id]
        gateways = [one for one in self.internet_gateways.values() if one.vpc and one.vpc.id == vpc_id]
        if groups or endpoints or gateways:
            raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        vpc = super().delete_vpc(vpc_id)
        for key in [key for key, acl in self.network_acls.items() if acl.vpc_id == vpc_id]:
            del self.network_acls[key]
        for key in [key for key, log in self.flow_logs.items() if log.resource_id == vpc_id]:
            del self.flow_logs[key]
        for connection in self.vpc_pcxs.values():
            if vpc in (connection.vpc, connection.peer_vpc) and connection._status.code == "active":
                connection._status.deleted(deleter_id=self.account_id)
        return vpc

    # moto deletes a connection any number of times, and also one that was rejected.
    def delete_vpc_peering_connection(self, vpc_pcx_id: str) -> Any:
        """Delete a connection."""
        if self.get_vpc_peering_connection(vpc_pcx_id)._status.code not in ("active", "pending-acceptance"):
            raise InvalidVPCPeeringConnectionStateTransitionError(vpc_pcx_id)
        return super().delete_vpc_peering_connection(vpc_pcx_id)

    # moto looks a CloudWatch destination up by its name only, and then says that the delivery fails.
    def create_flow_logs(self, **kwargs: Any) -> Any:
        """Create flow logs; the ARN of a log group is as good as its name."""
        destination = kwargs.get("log_destination") or ""
        if not kwargs.get("log_group_name") and ":log-group:" in destination:
            kwargs["log_group_name"] = destination.split(":log-group:")[1].removesuffix(":*")
        return super().create_flow_logs(**kwargs)


class NetworkRequests(EC2Response):
    """moto's EC2 requests, with what they pass over."""

    def create_subnet(self) -> ActionResult:
        """CreateSubnet; where AWS, and moto, would take any zone, it is the first that has everything."""
        if not (self._get_param("AvailabilityZone") or self._get_param("AvailabilityZoneId")):
            names = [zone.name for zone in zones.of(self.current_account, self.region)]
            whole = [name for name in names if not zones.lacks(self.current_account, self.region, name)]
            self.params["AvailabilityZone"] = whole[0]
            self.querystring["AvailabilityZone"] = whole[:1]
        return super().create_subnet()

    def modify_vpc_endpoint(self) -> ActionResult:
        """ModifyVpcEndpoint; moto ignores PrivateDnsEnabled and ResetPolicy."""
        told = super().modify_vpc_endpoint()
        (endpoint,) = self.ec2_backend.describe_vpc_endpoints([self._get_param("VpcEndpointId")])
        if self._get_param("PrivateDnsEnabled") is not None:
            endpoint.private_dns_enabled = self._get_bool_param("PrivateDnsEnabled")
        if self._get_bool_param("ResetPolicy"):
            endpoint.policy_document = None
        return told

    def delete_vpc_endpoints(self) -> ActionResult:
        """DeleteVpcEndpoints; moto keeps quiet about those that are not there."""
        wanted = self._get_param("VpcEndpointIds", [])
        missing = [one for one in wanted if one not in self.ec2_backend.vpc_end_points]
        super().delete_vpc_endpoints()
        code = "InvalidVpcEndpointId.NotFound"
        told = [{"ResourceId": one, "Error": {"Code": code, "Message": f"The Vpc Endpoint Id '{one}' does not exist"}} for one in missing]  # noqa: E501  # fmt: skip
        return ActionResult({"Unsuccessful": told})


def install() -> None:
    """Put these in the place of moto's; before the first request to EC2."""
    ec2_backends.backend = Network
    moto.ec2.urls.url_paths = {"{0}/": NetworkRequests.dispatch}
