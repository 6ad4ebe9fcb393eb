"""Elastic network interfaces: one way in which endpoints, notebook instances and jobs get and lose theirs.

Source: AWS, EC2 API reference, CreateNetworkInterface and DeleteNetworkInterface; VPC user guide, "Subnet CIDR blocks".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface

from embedded_aws.network.model import JOB_NOTE
from embedded_aws.network.way import NoSuchNetwork
from embedded_aws.services.ec2 import snapshot, zones
from embedded_aws.services.ec2.errors import INVALID_VALUE, refuse

# SageMaker takes its interfaces back minutes after the end of a job or a notebook instance, seen up to half an hour
# (terraform-provider-aws 46892 and 26090).
LINGER, LINGER_SECONDS = "EMBEDDED_AWS_INTERFACES_LINGER", 0.5
RESERVED = 4  # addresses at a subnet's beginning
_lock = threading.Lock()  # or two that ask at once are given one address


def check(config: Mapping[str, Sequence[str]], *, account: str, region: str) -> None:
    """Look at the subnets and security groups of a VpcConfig.

    Raises
    ------
    NoSuchNetwork
        If one of them does not exist in this account, or they belong to different VPCs.
    """
    network = ec2_backends[account][region]
    homes = {}
    for name in config["Subnets"]:
        homes[name] = _vpc_of_subnet(network, name)
    for name in config["SecurityGroupIds"]:
        group = network.get_security_group_from_id(name)
        if group is None:
            raise NoSuchNetwork(f"The security group '{name}' does not exist in account {account}")
        homes[name] = group.vpc_id
    first = config["Subnets"][0]
    for name, vpc in homes.items():
        if vpc != homes[first]:
            kind = "Subnet" if name.startswith("subnet-") else "Security group"
            raise NoSuchNetwork(f"{kind} {name} and subnet {first} belong to different networks.")


def attach(config: Mapping[str, Sequence[str]], *, account: str, region: str, job_arn: str) -> str:
    """Make a job's network interface in the first of its subnets with a free address; return its id.

    Raises
    ------
    NoSuchNetwork
        If subnets or groups have gone since the job was created, or no subnet has a free address.
    """
    check(config, account=account, region=region)
    network = ec2_backends[account][region]
    reason = f"none of the subnets {', '.join(config['Subnets'])} has a free address"
    for subnet in config["Subnets"]:
        zone = network.get_subnet(subnet).availability_zone
        if zones.lacks(account, region, zone):
            reason = f"CapacityError: SageMaker has no instances in the zone {zone} of subnet {subnet}"
            continue
        try:
            return make(network, subnet, config["SecurityGroupIds"], note=f"{JOB_NOTE}{job_arn}").id
        except EC2ClientError as error:
            reason = error.message
    raise NoSuchNetwork(reason)


def make(network: EC2Backend, subnet: str, groups: Sequence[str], *, note: str, kind: str = "interface") -> Any:
    """Make a network interface as a service does for itself, at a free address of a subnet.

    Parameters
    ----------
    network : EC2Backend
        Of the account and region.
    subnet, groups : str, sequence of str
        Where it stands; no groups: the default one of its VPC.
    note : str
        Its description, which says whose it is.
    kind : str
        ``interface``, or ``vpc_endpoint``.

    Raises
    ------
    EC2ClientError
        If subnet or groups are not there, or no address is free.
    """
    eni = network.create_network_interface(network.get_subnet(subnet), None, group_ids=list(groups), description=note)
    eni.status, eni.interface_type, eni.requester_managed = "in-use", kind, True
    snapshot.changed()
    return eni


def drop(network: EC2Backend, name: str) -> None:
    """Remove a network interface if it is there; its address is free then."""
    with _lock:
        network.enis.pop(name, None)
    snapshot.changed()


class Interfaces(EC2Backend):
    """moto's network interfaces, mended: it gives and takes any address, also one that others have."""

    def create_network_interface(
        self,
        subnet: Any,
        private_ip_address: Any,
        private_ip_addresses: Sequence[Any] | None = None,
        group_ids: Sequence[str] | None = None,
        *args: Any,
        **more: Any,
    ) -> NetworkInterface:
        """Create a network interface at addresses of its subnet that are free, in groups of its VPC."""
        subnet = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        self.check_groups(group_ids or [], subnet.vpc_id, subnet.id)
        if int(more.get("secondary_ips_count") or 0):
            raise NotImplementedError("SecondaryPrivateIpAddressCount of CreateNetworkInterface")
        addresses = list(private_ip_addresses or [])
        listed = [address if isinstance(address, str) else address["PrivateIpAddress"] for address in addresses]
        with _lock:
            for address in filter(None, [private_ip_address, *listed]):
                _check_address(subnet, address, self)
            if not (private_ip_address or listed):
                private_ip_address = _free_address(self, subnet)
            made = super().create_network_interface(subnet, private_ip_address, addresses, group_ids, *args, **more)
        snapshot.changed()
        return made

    def modify_network_interface_attribute(self, eni_id: str, group_ids: list[str], *args: Any, **more: Any) -> None:
        """Modify a network interface; its groups are of its VPC."""
        self.check_groups(group_ids or [], self.get_network_interface(eni_id).vpc_id)
        super().modify_network_interface_attribute(eni_id, group_ids, *args, **more)
        snapshot.changed()

    def delete_network_interface(self, eni_id: str) -> None:
        """Delete a network interface that nobody uses."""
        if self.get_network_interface(eni_id).status == "in-use":
            raise refuse(INVALID_VALUE, f"Network interface '{eni_id}' is currently in use.")
        super().delete_network_interface(eni_id)
        snapshot.changed()


def _taken(network: EC2Backend, subnet: Any) -> set[str]:
    near = [eni for eni in list(network.enis.values()) if eni.subnet.id == subnet.id]
    return {address["PrivateIpAddress"] for eni in near for address in eni.private_ip_addresses}


def _free_address(network: EC2Backend, subnet: Any) -> str:
    taken, addresses = _taken(network, subnet), IPv4Network(subnet.cidr_block)
    for number in range(RESERVED, addresses.num_addresses - 1):  # AWS keeps the first four and the last for itself
        if (address := str(addresses[number])) not in taken:
            return address
    raise refuse("InsufficientFreeAddressesInSubnet", f"Subnet {subnet.id} has no free address.")


def _check_address(subnet: Any, address: str, network: EC2Backend) -> None:
    addresses = IPv4Network(subnet.cidr_block)
    try:
        number = int(IPv4Address(address)) - int(addresses.network_address)
    except AddressValueError:
        raise refuse(INVALID_VALUE, f"invalid value for parameter address: {address}") from None
    if not 0 <= number < addresses.num_addresses:
        raise refuse(INVALID_VALUE, "Address does not fall within the subnet's address range")
    if number < RESERVED or number == addresses.num_addresses - 1:
        raise refuse(INVALID_VALUE, "Address is in subnet's reserved address range")
    if address in _taken(network, subnet):
        raise refuse("InvalidIPAddress.InUse", f"Address {address} is in use.")


def release(name: str, *, account: str, region: str, role_may: Callable[[], bool] = lambda: True) -> None:
    """Remove a job's or a notebook's network interface and free its address: some time after it is needed no more.

    Parameters
    ----------
    role_may : callable
        Tells, when the time has come, whether the role that SageMaker has for this may still do it: else the interface
        stays, and with it subnet, group and VPC.
    """
    seconds = float(os.environ.get(LINGER) or LINGER_SECONDS)
    timer = threading.Timer(seconds, _remove, (name, account, region, role_may))
    timer.daemon = True
    timer.start()


def _remove(name: str, account: str, region: str, role_may: Callable[[], bool]) -> None:
    network = ec2_backends[account][region]
    if name not in network.enis:
        return
    if role_may():
        drop(network, name)
    else:
        network.enis[name].status = "available"  # the machine is gone: its owner may delete it by hand


def _vpc_of_subnet(network: EC2Backend, name: str) -> str:
    try:
        return network.get_subnet(name).vpc_id
    except EC2ClientError:
        raise NoSuchNetwork(f"The subnet ID '{name}' does not exist in account {network.account_id}") from None
