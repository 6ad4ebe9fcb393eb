"""Where a cluster and its nodes stand: subnets, security groups, network interfaces, and the way to what they need.

Sources: AWS, EKS user guide, "View Amazon EKS networking requirements for VPC and subnets", "View Amazon EKS security
group requirements for clusters", "Deploy private clusters with limited internet access".
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from embedded_aws.network import reachability
from embedded_aws.network.model import Interface, Snapshot
from embedded_aws.service import Setting
from embedded_aws.services.eks.errors import invalid_parameter
from embedded_aws.services.eks.state import Cluster

# What a node asks for before it has joined: its own name, the images of the add-ons, and the layers of these.
ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "s3")
API_PORT = 443
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_INTERNET = IPv4Network("0.0.0.0/0")
_ABOUT = (
    "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any "
    "managed workloads."
)
setting: list[Setting] = []  # one, since the service was installed


def vpc_of(account: str, region: str, subnets: Sequence[str], groups: Sequence[str]) -> str:
    """Return the VPC of a cluster's subnets and groups.

    Raises
    ------
    EksError
        If they are not there, in different VPCs, or the subnets in fewer than two zones.
    """
    network = ec2_backends[account][region]
    found = [_subnet(network, name) for name in subnets]
    if len({subnet.availability_zone for subnet in found}) < 2:
        raise invalid_parameter("Subnets specified must be in at least two different AZs")
    vpcs = {subnet.vpc_id for subnet in found}
    if len(vpcs) > 1:
        raise invalid_parameter("Subnets specified must belong to the same VPC")
    (vpc,) = vpcs
    for name in groups:
        group = network.get_security_group_from_id(name)
        if group is None:
            raise invalid_parameter(f"The security group ID '{name}' does not exist")
        if group.vpc_id != vpc:
            raise invalid_parameter(f"Security group {name} does not belong to the VPC {vpc} of the subnets")
    return vpc


def _subnet(network: Any, name: str) -> Any:
    try:
        return network.get_subnet(name)
    except EC2ClientError:
        raise invalid_parameter(f"The subnet ID '{name}' does not exist") from None


def check_node_subnets(cluster: Cluster, subnets: Sequence[str]) -> None:
    """Raise unless subnets for nodes are there, in the cluster's VPC."""
    network, vpc = ec2_backends[cluster.account][cluster.region], cluster.told["resourcesVpcConfig"]["vpcId"]
    for name in subnets:
        if _subnet(network, name).vpc_id != vpc:
            raise invalid_parameter(f"Subnet {name} is not in the VPC {vpc} of the cluster {cluster.name}")


def service_range(account: str, region: str, vpc: str, wanted: str | None) -> str:
    """Return the addresses of a cluster's services, which may be none of its VPC's.

    Raises
    ------
    EksError
        If ``wanted`` overlaps the VPC, is no private range, or not between /24 and /12.
    """
    mine = [IPv4Network(block) for block in _blocks(account, region, vpc)]
    if wanted is None:
        # AWS takes one of these two, whichever does not meet the VPC.
        return "172.20.0.0/16" if any(block.subnet_of(IPv4Network("10.0.0.0/8")) for block in mine) else "10.100.0.0/16"
    try:
        network = IPv4Network(wanted)
    except ValueError:
        raise invalid_parameter(f"The serviceIpv4Cidr {wanted} is not a valid CIDR block") from None
    if not 12 <= network.prefixlen <= 24 or not any(network.subnet_of(private) for private in PRIVATE):
        raise invalid_parameter(
            f"The serviceIpv4Cidr {wanted} must be between /24 and /12, within 10.0.0.0/8, 172.16.0.0/12 or "
            "192.168.0.0/16"
        )
    if any(network.overlaps(block) for block in mine):
        raise invalid_parameter(f"The serviceIpv4Cidr {wanted} overlaps with the CIDR block of the VPC {vpc}")
    return wanted


def _blocks(account: str, region: str, vpc: str) -> list[str]:
    found = ec2_backends[account][region].get_vpc(vpc)
    blocks = [one["cidr_block"] for one in found.get_cidr_block_association_set()] if found else []
    return blocks or [found.cidr_block if found else "10.0.0.0/16"]


def make_group(cluster: Cluster, vpc: str) -> str:
    """Make the security group in which control plane and nodes reach each other; return its id."""
    network: Any = ec2_backends[cluster.account][cluster.region]
    name = f"eks-cluster-sg-{cluster.name}-{secrets.randbelow(9 * 10**8) + 10**8}"
    tags = {"Name": name, f"kubernetes.io/cluster/{cluster.name}": "owned", "aws:eks:cluster-name": cluster.name}
    group = network.create_security_group(name, _ABOUT, vpc, tags=tags)
    itself = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group.id}]}]
    network.authorize(group.id, itself, "ingress")
    return group.id


def drop_group(cluster: Cluster) -> None:
    """Take the cluster's security group away; one that somebody still uses or names stays, as on AWS."""
    with contextlib.suppress(EC2ClientError):
        ec2_backends[cluster.account][cluster.region].delete_security_group(group_id=cluster.group)


def stand(cluster: Cluster, subnet: str, groups: Sequence[str], note: str) -> str:
    """Make a network interface in a subnet; return its id.

    Raises
    ------
    EksError
        If the subnet has no free address.
    """
    network: Any = ec2_backends[cluster.account][cluster.region]
    try:
        home = network.get_subnet(subnet)
        eni = network.create_network_interface(home, None, group_ids=list(groups), description=note)
    except EC2ClientError as error:
        raise invalid_parameter(f"No network interface could be made in {subnet}: {error.message}") from None
    eni.status, eni.interface_type, eni.requester_managed = "in-use", "interface", True
    return eni.id


def leave(cluster: Cluster, *names: str) -> None:
    """Take network interfaces back."""
    for name in names:
        ec2_backends[cluster.account][cluster.region].enis.pop(name, None)


def address_of(cluster: Cluster, name: str) -> str:
    """Return a network interface's private address."""
    return str(ec2_backends[cluster.account][cluster.region].enis[name].private_ip_address)


def not_reached(cluster: Cluster, name: str) -> str:
    """Return what a node at a network interface needs and does not reach, in words; empty if it can join."""
    now: Snapshot = setting[0].network.snapshot()
    node = now.interfaces[name]
    if internet(cluster, now, node):
        return ""
    for service in ENDPOINTS:
        if why := service_not_reached(cluster, name, service):
            return f"a node in {node.subnet} does not reach {service}: {why}"
    config = cluster.told["resourcesVpcConfig"]
    if not config["endpointPrivateAccess"]:
        way = reachability.service(now, node, "eks")
        if way.allowed and way.endpoint is None:
            return ""  # through a NAT gateway to the public endpoint
        return f"a node in {node.subnet} does not reach the cluster's endpoint: it has no private access"
    why = _not_connected(cluster, now, node)
    return f"a node in {node.subnet} does not reach the cluster's endpoint: {why}" if why else ""


def reaches(cluster: Cluster, name: str) -> bool:
    """Tell whether who stands at a network interface reaches the cluster's endpoint from there."""
    now: Snapshot = setting[0].network.snapshot()
    config, source = cluster.told["resourcesVpcConfig"], now.interfaces.get(name)
    if source is None:
        return False
    if config["endpointPrivateAccess"] and not _not_connected(cluster, now, source):
        return True
    way = reachability.service(now, source, "eks")  # an endpoint for ``eks`` does not lead to clusters
    return bool(config["endpointPublicAccess"]) and way.allowed and way.endpoint is None


def _not_connected(cluster: Cluster, now: Snapshot, source: Interface) -> str:
    why = f"{cluster.name} has no network interface"
    for eni in cluster.interfaces:
        if eni in now.interfaces:
            verdict = reachability.connection(now, source, now.interfaces[eni].address, API_PORT)
            if verdict.allowed:
                return ""
            why = verdict.reason
    return why


def internet(cluster: Cluster, now: Snapshot, node: Interface) -> bool:
    """Tell whether a node has a public address and its subnet a route to an internet gateway."""
    subnet = ec2_backends[cluster.account][cluster.region].get_subnet(node.subnet)
    table = now.table_of(node.subnet)
    public = str(getattr(subnet, "map_public_ip_on_launch", False)).lower() == "true"
    return public and any(
        route.to == _INTERNET and route.target in now.internet_gateways for route in (table.routes if table else ())
    )


def zone_of_interface(cluster: Cluster, name: str) -> str:
    """Return the zone in which a network interface stands."""
    return ec2_backends[cluster.account][cluster.region].enis[name].subnet.availability_zone


def service_not_reached(cluster: Cluster, name: str, service: str) -> str:
    """Return why who stands at a network interface does not reach a service of AWS; empty if they do."""
    now: Snapshot = setting[0].network.snapshot()
    source = now.interfaces.get(name)
    if source is None:
        return f"{name} does not exist any more"
    verdict = reachability.service(now, source, service)
    return "" if verdict.allowed or internet(cluster, now, source) else verdict.reason


def signs(cluster: Cluster, name: str, access_key: str) -> None:
    """Note that who signs with an access key stands at a network interface: its VPC's endpoints carry their calls."""
    now: Snapshot = setting[0].network.snapshot()
    if name in now.interfaces and not internet(cluster, now, now.interfaces[name]):
        setting[0].network.stand(access_key, name)


def lets_out(eni: str, address: IPv4Address, port: int) -> bool:
    """Tell whether a pod's NetworkPolicies let it connect to an address of its node's own."""
    isolation = setting[0].network.isolations.get(eni)
    return isolation is None or isolation.egress is None or any(p.lets(address, port) for p in isolation.egress)
