"""VPC endpoints that take effect: routes and interfaces of their own, zones where the service is, and private names.

Source: AWS, PrivateLink guide, "Access an AWS service using an interface VPC endpoint" and "Gateway endpoints for
Amazon S3"; EC2 API reference, CreateVpcEndpoint (private DNS is the default of an interface endpoint).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidServiceName
from moto.ec2.models import EC2Backend
from moto.ec2.models.vpcs import AWS_ENDPOINT_SERVICES, VPCEndPoint
from moto.ec2.responses import EC2Response

from embedded_aws.services.ec2 import interfaces, zones
from embedded_aws.services.ec2.errors import INVALID, elsewhere, refuse

_NO_DEFAULT_NAMES = ("s3", "dynamodb")  # their gateway endpoints come first


class Endpoints(EC2Backend):
    """moto's endpoints, mended: it believes any id and name, and gives interfaces random addresses and no groups."""

    # moto would import every service that it has, which takes seconds, and tells the same zones of each.
    def _collect_default_endpoint_services(self, account_id: str, region: str) -> list[dict[str, Any]]:
        """Return the services that have endpoints, and the zones in which they have them."""
        everywhere = [zone.name for zone in zones.of(account_id, region)]
        most = [name for name in everywhere if not self._lacks(name)]
        describe = EC2Backend.default_vpc_endpoint_service_factory
        gateways = [service for name in ("s3", "dynamodb") for service in describe(region, everywhere, name, "Gateway")]
        return gateways + [service for name in AWS_ENDPOINT_SERVICES for service in describe(region, most, name)]

    def _lacks(self, zone: str) -> bool:
        return zones.lacks(self.account_id, self.region_name, zone)

    def create_vpc_endpoint(
        self, vpc_id: str, service_name: str, endpoint_type: str | None, *args: Any, **kwargs: Any
    ) -> VPCEndPoint:
        """Create an endpoint."""
        known = {f"com.amazonaws.{self.region_name}.{name}" for name in AWS_ENDPOINT_SERVICES}
        known |= {f"aws.sagemaker.{self.region_name}.{name}" for name in ("notebook", "studio")}
        if service_name not in known:
            raise InvalidServiceName(service_name)
        self.get_vpc(vpc_id)
        endpoint_type = endpoint_type or "Gateway"
        subnets, groups = kwargs.get("subnet_ids") or [], kwargs.get("security_group_ids") or []
        self._check_tables(kwargs.get("route_table_ids") or [], vpc_id, service_name)
        self.check_groups(groups, vpc_id)
        if endpoint_type == "Gateway":
            kwargs["private_dns_enabled"] = False
        else:
            self._check_subnets(subnets, vpc_id)
            if kwargs.get("private_dns_enabled"):
                self.check_private_names(vpc_id, service_name)
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

    def check_private_names(self, vpc_id: str, service: str, *, but: str = "") -> None:
        """Look whether a VPC can have private names for a service: its DNS is on, and no other endpoint has them.

        Raises
        ------
        EC2ClientError
            If not.
        """
        vpc = self.get_vpc(vpc_id)
        if not all(str(value).lower() == "true" for value in (vpc.enable_dns_support, vpc.enable_dns_hostnames)):
            message = (
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true"
            )
            raise refuse(INVALID, f"{message} for {vpc_id}")
        for other in list(self.vpc_end_points.values()):
            same = (other.vpc_id, other.service_name) == (vpc_id, service) and other.id != but
            if same and other.private_dns_enabled and other.state == "available":
                domain = ".".join([*reversed(service.split(".")[3:]), self.region_name, "amazonaws.com"])
                message = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for"
                raise refuse(INVALID, f"{message} {domain} in the VPC {vpc_id}")

    def _check_tables(self, tables: Iterable[str], vpc: str, service: str) -> None:
        lists = [
            prefix_list.id
            for prefix_list in self.managed_prefix_lists.values()
            if prefix_list.prefix_list_name == service
        ]
        for name in tables:
            table = self.get_route_table(name)
            if table.vpc_id != vpc:
                raise elsewhere(INVALID, f"Route table {name}", f"vpc {vpc}")
            for route in table.routes:
                if route.destination_prefix_list_id in lists:
                    message = f"route table {name} already has a route with destination-prefix-list-id {lists[0]}"
                    raise refuse("RouteAlreadyExists", message)

    def _check_subnets(self, subnets: Iterable[str], vpc: str, current: Iterable[str] = ()) -> None:
        taken = {self.get_subnet(name).availability_zone for name in current}
        for name in subnets:
            subnet = self.get_subnet(name)
            if subnet.vpc_id != vpc:
                raise elsewhere(INVALID, f"Subnet {name}", f"vpc {vpc}")
            if subnet.availability_zone in taken:
                message = f"Found another VPC endpoint subnet in the availability zone of {name}"
                raise refuse("DuplicateSubnetsInSameZone", message)
            taken.add(subnet.availability_zone)

    def _enter(self, endpoint: VPCEndPoint, subnets: Iterable[str]) -> None:
        for subnet in subnets:
            if self._lacks(self.get_subnet(subnet).availability_zone):
                message = "does not support the availability zone of the subnet"
                raise refuse(INVALID, f"The VPC endpoint service {endpoint.service_name} {message}: {subnet}.")
            note = f"VPC Endpoint Interface {endpoint.id}"
            eni = interfaces.make(self, subnet, endpoint.security_group_ids, note=note, kind="vpc_endpoint")
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
        new = [subnet for subnet in add_subnets or [] if subnet not in endpoint.subnet_ids]
        stay = [subnet for subnet in endpoint.subnet_ids if subnet not in (remove_subnets or [])]
        self._check_tables(add_route_tables or [], endpoint.vpc_id, endpoint.service_name)
        self._check_subnets(new, endpoint.vpc_id, stay)
        self.check_groups(add_security_groups or [], endpoint.vpc_id)
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
                interfaces.drop(self, eni_id)
                endpoint.network_interface_ids.remove(eni_id)
                endpoint.subnet_ids.remove(eni.subnet.id)
            elif add_security_groups or remove_security_groups:
                self.modify_network_interface_attribute(eni_id, endpoint.security_group_ids)
        self._enter(endpoint, new)

    # moto fails on an endpoint whose type or route table is unknown, and lists deleted endpoints forever.
    def delete_vpc_endpoints(self, vpce_ids: Sequence[str] | None = None) -> None:
        """Delete endpoints."""
        for endpoint_id in vpce_ids or []:
            endpoint = self.vpc_end_points.pop(endpoint_id, None)
            if endpoint is None:
                continue
            endpoint.state = "deleted"
            for eni_id in endpoint.network_interface_ids:
                interfaces.drop(self, eni_id)
            for table in endpoint.route_table_ids:
                with contextlib.suppress(EC2ClientError):
                    self.delete_route(table, None, destination_prefix_list_id=endpoint.destination_prefix_list_id)


class EndpointRequests(EC2Response):
    """The requests about endpoints."""

    def create_vpc_endpoint(self) -> ActionResult:
        """CreateVpcEndpoint; moto takes private names for what every endpoint has, whatever its kind."""
        if self._get_param("PrivateDnsEnabled") is None:
            service = (self._get_param("ServiceName") or "").rpartition(".")[2]
            self.params["PrivateDnsEnabled"] = service not in _NO_DEFAULT_NAMES
        return super().create_vpc_endpoint()

    def modify_vpc_endpoint(self) -> ActionResult:
        """ModifyVpcEndpoint; moto ignores PrivateDnsEnabled and ResetPolicy."""
        (endpoint,) = self.ec2_backend.describe_vpc_endpoints([self._get_param("VpcEndpointId")])
        private = self._get_param("PrivateDnsEnabled") is not None and self._get_bool_param("PrivateDnsEnabled")
        if private and not endpoint.private_dns_enabled:
            self.ec2_backend.check_private_names(endpoint.vpc_id, endpoint.service_name, but=endpoint.id)
        result = super().modify_vpc_endpoint()
        if self._get_param("PrivateDnsEnabled") is not None:
            endpoint.private_dns_enabled = private
        if self._get_bool_param("ResetPolicy"):
            endpoint.policy_document = None
        return result

    def delete_vpc_endpoints(self) -> ActionResult:
        """DeleteVpcEndpoints; moto keeps quiet about those that are not there."""
        wanted = self._get_param("VpcEndpointIds", [])
        missing = [endpoint_id for endpoint_id in wanted if endpoint_id not in self.ec2_backend.vpc_end_points]
        super().delete_vpc_endpoints()
        code = "InvalidVpcEndpointId.NotFound"
        unsuccessful = [{"ResourceId": endpoint_id, "Error": {"Code": code, "Message": f"The Vpc Endpoint Id '{endpoint_id}' does not exist"}} for endpoint_id in missing]  # noqa: E501  # fmt: skip
        return ActionResult({"Unsuccessful": unsuccessful})
