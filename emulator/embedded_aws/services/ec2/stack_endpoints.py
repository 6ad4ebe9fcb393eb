"""VPC endpoints, flow logs and peering connections."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.services.ec2.stack_network import retag, specified
from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, ask, pick, truth

_LISTS = ("RouteTableIds", "SubnetIds", "SecurityGroupIds")


class VPCEndpoint(ResourceType):
    """``AWS::EC2::VPCEndpoint``, gateway or interface."""

    name = "AWS::EC2::VPCEndpoint"
    fixed = ("VpcId", "ServiceName", "VpcEndpointType")
    mutable = (*_LISTS, "PrivateDnsEnabled", "PolicyDocument")
    lists = _LISTS
    required = ("VpcId", "ServiceName")
    attributes = ("Id", "CreationTimestamp", "DnsEntries", "NetworkInterfaceIds")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the endpoint."""
        request = pick(p, "VpcId", "ServiceName", "PolicyDocument", *_LISTS)
        request["VpcEndpointType"] = p.get("VpcEndpointType", "Gateway")
        if request["VpcEndpointType"] == "Interface":
            request["PrivateDnsEnabled"] = truth(p.get("PrivateDnsEnabled", False))
        response = scene.call(
            "ec2", "create_vpc_endpoint", **request, TagSpecifications=specified(scene, p, "vpc-endpoint")
        )
        scene.made(response["VpcEndpoint"]["VpcEndpointId"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Add and remove what differs and is not added and removed already."""
        request: dict[str, Any] = {}
        endpoint = self._endpoint(scene)
        has = {**endpoint, "SecurityGroupIds": [group["GroupId"] for group in endpoint.get("Groups", [])]}
        for name in _LISTS:
            before, after, current = (set(properties.get(name) or []) for properties in (old, p, has))
            request[f"Add{name}"] = sorted(after - before - current) or None
            request[f"Remove{name}"] = sorted((before - after) & current) or None
        if p.get("PolicyDocument") != old.get("PolicyDocument"):
            request["PolicyDocument"] = p.get("PolicyDocument")
            request["ResetPolicy"] = None if p.get("PolicyDocument") else True
        if truth(p.get("PrivateDnsEnabled", False)) != truth(old.get("PrivateDnsEnabled", False)):
            request["PrivateDnsEnabled"] = truth(p.get("PrivateDnsEnabled", False))
        if any(value is not None for value in request.values()):
            scene.call("ec2", "modify_vpc_endpoint", VpcEndpointId=scene.resource.physical_id, **request)
        retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the endpoint."""
        response = scene.call("ec2", "delete_vpc_endpoints", VpcEndpointIds=[scene.resource.physical_id])
        for failure in response.get("Unsuccessful", []):
            if "NotFound" not in failure["Error"]["Code"]:
                raise ResourceError(failure["Error"]["Message"])

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return what only EC2 knows."""
        endpoint = self._endpoint(scene)
        return {
            "Id": scene.resource.physical_id,
            "CreationTimestamp": str(endpoint.get("CreationTimestamp", "")),
            "DnsEntries": [f"{e.get('HostedZoneId')}:{e.get('DnsName')}" for e in endpoint.get("DnsEntries", [])],
            "NetworkInterfaceIds": endpoint.get("NetworkInterfaceIds", []),
        }

    def _endpoint(self, scene: Scene) -> dict[str, Any]:
        mine = {"VpcEndpointIds": [scene.resource.physical_id]}
        (endpoint,) = scene.call("ec2", "describe_vpc_endpoints", **mine)["VpcEndpoints"]
        return endpoint


class FlowLog(ResourceType):
    """``AWS::EC2::FlowLog``."""

    name = "AWS::EC2::FlowLog"
    fixed = (
        "ResourceId",
        "ResourceType",
        "TrafficType",
        "LogDestinationType",
        "LogDestination",
        "LogGroupName",
        "DeliverLogsPermissionArn",
        "MaxAggregationInterval",
        "LogFormat",
    )
    required = ("ResourceId", "ResourceType")
    attributes = ("Id",)
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the flow log."""
        request = {name: value for name, value in p.items() if name not in ("Tags", "ResourceId")}
        specs = specified(scene, p, "vpc-flow-log")
        response = scene.call(
            "ec2", "create_flow_logs", ResourceIds=[p["ResourceId"]], TagSpecifications=specs, **request
        )
        for failure in response.get("Unsuccessful", []):
            raise ResourceError(failure["Error"]["Message"])
        scene.made(response["FlowLogIds"][0])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set the tags."""
        retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the flow log."""
        response = scene.call("ec2", "delete_flow_logs", FlowLogIds=[scene.resource.physical_id])
        for failure in response.get("Unsuccessful", []):
            if "NotFound" not in failure["Error"]["Code"]:
                raise ResourceError(failure["Error"]["Message"])

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"Id": scene.resource.physical_id}


class VPCPeeringConnection(ResourceType):
    """``AWS::EC2::VPCPeeringConnection``, also with a VPC of another account, which a role of that account accepts."""

    name = "AWS::EC2::VPCPeeringConnection"
    fixed = ("VpcId", "PeerVpcId", "PeerOwnerId", "PeerRegion")
    mutable = ("PeerRoleArn",)  # has done its part once the connection is accepted
    required = ("VpcId", "PeerVpcId")
    attributes = ("Id",)
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Ask for the connection as the caller, and accept it as the peer's role."""
        owner = str(p.get("PeerOwnerId") or scene.stack.account)
        elsewhere = owner != scene.stack.account
        if elsewhere and not p.get("PeerRoleArn"):
            raise ResourceError(
                f"PeerRoleArn is required when you are peering a VPC in a different AWS account ({owner}): give a role "
                "there that may accept the connection"
            )
        specs = specified(scene, p, "vpc-peering-connection")
        request = pick(p, "VpcId", "PeerVpcId", "PeerOwnerId", "PeerRegion")
        response = scene.call("ec2", "create_vpc_peering_connection", **request, TagSpecifications=specs)
        connection = scene.made(response["VpcPeeringConnection"]["VpcPeeringConnectionId"])
        listed = scene.call("ec2", "describe_vpc_peering_connections", VpcPeeringConnectionIds=[connection])
        status = listed["VpcPeeringConnections"][0]["Status"]
        if status["Code"] == "failed":
            raise ResourceError(
                f"VpcPeeringConnection {connection} {status['Message'][0].lower()}{status['Message'][1:]}"
            )
        region = p.get("PeerRegion")
        if p.get("PeerRoleArn"):
            peer = scene.clients.of_role(p["PeerRoleArn"], "AWSCloudFormation", region=region)
        else:
            peer = scene.clients.in_region(region)
        ask(peer("ec2"), "accept_vpc_peering_connection", VpcPeeringConnectionId=connection)

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set the tags."""
        retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the connection from the requester's side; that ends it on both."""
        connection = scene.resource.physical_id
        try:
            scene.call("ec2", "delete_vpc_peering_connection", VpcPeeringConnectionId=connection)
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidStateTransition":  # deleted by the other side
                raise

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"Id": scene.resource.physical_id}
