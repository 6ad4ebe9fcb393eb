"""VPCs, subnets, route tables and gateways."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, pick, truth, unless_gone


def specified(scene: Scene, p: dict[str, Any], kind: str) -> list[dict[str, Any]] | None:
    """Return the tags of a new EC2 resource."""
    tags = scene.tags(p)
    return [{"ResourceType": kind, "Tags": tags}] if tags else None


def retag(scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
    """Bring the tags of an EC2 resource to what they shall be."""
    if p.get("Tags") == old.get("Tags"):
        return
    kept = {tag["Key"] for tag in p.get("Tags") or []}
    if gone := [{"Key": tag["Key"]} for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
        scene.call("ec2", "delete_tags", Resources=[scene.resource.physical_id], Tags=gone)
    scene.call("ec2", "create_tags", Resources=[scene.resource.physical_id], Tags=scene.tags(p))


class VPC(ResourceType):
    """``AWS::EC2::VPC``."""

    name = "AWS::EC2::VPC"
    fixed = ("CidrBlock", "InstanceTenancy")
    mutable = ("EnableDnsSupport", "EnableDnsHostnames")
    required = ("CidrBlock",)
    attributes = ("CidrBlock", "VpcId", "DefaultSecurityGroup", "DefaultNetworkAcl")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the VPC, then its DNS attributes."""
        request = pick(p, "CidrBlock", "InstanceTenancy")
        vpc = scene.call("ec2", "create_vpc", **request, TagSpecifications=specified(scene, p, "vpc"))
        scene.made(vpc["Vpc"]["VpcId"])
        self._dns(scene, p)

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set the DNS attributes and tags."""
        self._dns(scene, p)
        retag(scene, p, old)

    def _dns(self, scene: Scene, p: dict[str, Any]) -> None:
        for name, default in (("EnableDnsSupport", True), ("EnableDnsHostnames", False)):
            value = {"Value": truth(p.get(name, default))}
            scene.call("ec2", "modify_vpc_attribute", VpcId=scene.resource.physical_id, **{name: value})

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the VPC."""
        scene.call("ec2", "delete_vpc", VpcId=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the ids of what comes with the VPC, too."""
        vpc = scene.resource.physical_id
        mine = [{"Name": "vpc-id", "Values": [vpc]}]
        groups = scene.call("ec2", "describe_security_groups", Filters=mine)["SecurityGroups"]
        acls = scene.call("ec2", "describe_network_acls", Filters=mine)["NetworkAcls"]
        return {
            "VpcId": vpc,
            "CidrBlock": p["CidrBlock"],
            "DefaultSecurityGroup": next(group["GroupId"] for group in groups if group["GroupName"] == "default"),
            "DefaultNetworkAcl": next(acl["NetworkAclId"] for acl in acls if acl["IsDefault"]),
        }


class Subnet(ResourceType):
    """``AWS::EC2::Subnet``."""

    name = "AWS::EC2::Subnet"
    fixed = ("VpcId", "CidrBlock", "AvailabilityZone")
    mutable = ("MapPublicIpOnLaunch",)
    required = ("VpcId", "CidrBlock")
    attributes = ("AvailabilityZone", "CidrBlock", "SubnetId", "VpcId")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the subnet."""
        request = pick(p, "VpcId", "CidrBlock", "AvailabilityZone")
        subnet = scene.call("ec2", "create_subnet", **request, TagSpecifications=specified(scene, p, "subnet"))
        scene.made(subnet["Subnet"]["SubnetId"])
        self._public(scene, p)

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set what can be set."""
        self._public(scene, p)
        retag(scene, p, old)

    def _public(self, scene: Scene, p: dict[str, Any]) -> None:
        # Always: moto takes the first subnet of a zone for the default one, and gives it public addresses.
        value = {"Value": truth(p.get("MapPublicIpOnLaunch", False))}
        subnet = scene.resource.physical_id
        scene.call("ec2", "modify_subnet_attribute", SubnetId=subnet, MapPublicIpOnLaunch=value)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the subnet."""
        scene.call("ec2", "delete_subnet", SubnetId=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the zone, too."""
        (subnet,) = scene.call("ec2", "describe_subnets", SubnetIds=[scene.resource.physical_id])["Subnets"]
        return {name: subnet[name] for name in self.attributes}


class RouteTable(ResourceType):
    """``AWS::EC2::RouteTable``."""

    name = "AWS::EC2::RouteTable"
    fixed = ("VpcId",)
    required = ("VpcId",)
    attributes = ("RouteTableId",)
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the table."""
        specs = specified(scene, p, "route-table")
        table = scene.call("ec2", "create_route_table", VpcId=p["VpcId"], TagSpecifications=specs)
        scene.made(table["RouteTable"]["RouteTableId"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set the tags."""
        retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the table."""
        scene.call("ec2", "delete_route_table", RouteTableId=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"RouteTableId": scene.resource.physical_id}


class SubnetRouteTableAssociation(ResourceType):
    """``AWS::EC2::SubnetRouteTableAssociation``."""

    name = "AWS::EC2::SubnetRouteTableAssociation"
    fixed = ("SubnetId", "RouteTableId")
    required = ("SubnetId", "RouteTableId")
    attributes = ("Id",)

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the subnet use the table; one that it uses already gives way."""
        scene.made(self._associate(scene, p))

    def restore(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the subnet use the table again: the association that came in the place of this one has ended it."""
        scene.resource.physical_id = self._associate(scene, p)
        scene.resource.attributes = self.describe(scene, p)

    def _associate(self, scene: Scene, p: dict[str, Any]) -> str:
        mine = [{"Name": "association.subnet-id", "Values": [p["SubnetId"]]}]
        for table in scene.call("ec2", "describe_route_tables", Filters=mine)["RouteTables"]:
            for association in table["Associations"]:
                if association.get("SubnetId") == p["SubnetId"]:
                    request = {
                        "AssociationId": association["RouteTableAssociationId"],
                        "RouteTableId": p["RouteTableId"],
                    }
                    return scene.call("ec2", "replace_route_table_association", **request)["NewAssociationId"]
        return scene.call("ec2", "associate_route_table", **p)["AssociationId"]

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Give the subnet back to the main table."""
        scene.call("ec2", "disassociate_route_table", AssociationId=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"Id": scene.resource.physical_id}


class Route(ResourceType):
    """``AWS::EC2::Route``."""

    name = "AWS::EC2::Route"
    fixed = ("RouteTableId", "DestinationCidrBlock")
    mutable = ("VpcPeeringConnectionId", "GatewayId", "NatGatewayId")
    required = ("RouteTableId", "DestinationCidrBlock")
    attributes = ("CidrBlock",)

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the route."""
        self._one_target(p)
        scene.call("ec2", "create_route", **p)
        scene.made(f"{p['RouteTableId']}|{p['DestinationCidrBlock']}")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Lead the route elsewhere."""
        self._one_target(p)
        scene.call("ec2", "replace_route", **p)

    def _one_target(self, p: dict[str, Any]) -> None:
        if len(set(self.mutable) & set(p)) != 1:
            raise ResourceError(f"Exactly one of {', '.join(sorted(self.mutable))} must be specified")

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the route."""
        scene.call("ec2", "delete_route", **pick(p, "RouteTableId", "DestinationCidrBlock"))

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the destination."""
        return {"CidrBlock": p["DestinationCidrBlock"]}


class InternetGateway(ResourceType):
    """``AWS::EC2::InternetGateway``."""

    name = "AWS::EC2::InternetGateway"
    attributes = ("InternetGatewayId",)
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the gateway."""
        specs = specified(scene, p, "internet-gateway")
        gateway = scene.call("ec2", "create_internet_gateway", TagSpecifications=specs)
        scene.made(gateway["InternetGateway"]["InternetGatewayId"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set the tags."""
        retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the gateway."""
        scene.call("ec2", "delete_internet_gateway", InternetGatewayId=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"InternetGatewayId": scene.resource.physical_id}


class VPCGatewayAttachment(ResourceType):
    """``AWS::EC2::VPCGatewayAttachment`` of an internet gateway."""

    name = "AWS::EC2::VPCGatewayAttachment"
    fixed = ("VpcId",)
    mutable = ("InternetGatewayId",)
    required = ("VpcId", "InternetGatewayId")
    attributes = ("AttachmentType",)

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Attach the gateway."""
        scene.call("ec2", "attach_internet_gateway", **p)
        scene.made(f"IGW|{p['VpcId']}")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Attach another gateway."""
        self.delete(scene, old)
        scene.call("ec2", "attach_internet_gateway", **p)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Detach the gateway, if it is attached."""
        try:
            with unless_gone():
                scene.call("ec2", "detach_internet_gateway", **p)
        except ClientError as error:
            if error.response["Error"]["Code"] != "Gateway.NotAttached":
                raise

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the kind of gateway."""
        return {"AttachmentType": "IGW"}
