"""The network interfaces of training jobs: made in the account's own subnets as SageMaker makes them, and removed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends

from embedded_aws.network import zones
from embedded_aws.network.model import JOB_NOTE

# SageMaker takes its interfaces back minutes after the end of a job or a notebook instance, seen up to half an hour
# (terraform-provider-aws 46892 and 26090).
LINGER, LINGER_SECONDS = "EMBEDDED_AWS_INTERFACES_LINGER", 0.5
_lock = threading.Lock()  # moto may give an address twice when two jobs ask at once


class NoSuchNetwork(Exception):
    """A VpcConfig that leads nowhere, in AWS's words."""


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
    told = f"none of the subnets {', '.join(config['Subnets'])} has a free address"
    with _lock:
        for subnet in config["Subnets"]:
            zone = network.get_subnet(subnet).availability_zone
            if zones.lacks(account, region, zone):
                told = f"CapacityError: SageMaker has no instances in the zone {zone} of subnet {subnet}"
                continue
            try:
                address = _free_address(network, subnet)
                eni = network.create_network_interface(
                    subnet, address, group_ids=list(config["SecurityGroupIds"]), description=f"{JOB_NOTE}{job_arn}"
                )
            except (EC2ClientError, StopIteration) as error:
                told = getattr(error, "message", told)
                continue
            eni.status, eni.requester_managed = "in-use", True
            return eni.id
    raise NoSuchNetwork(told)


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
    with _lock:
        network = ec2_backends[account][region]
        if name in network.enis and role_may():
            eni = network.enis.pop(name)
            eni.subnet.del_subnet_ip(eni.private_ip_address)


def _free_address(network: EC2Backend, subnet: str) -> str:
    taken = {one["PrivateIpAddress"] for eni in list(network.enis.values()) for one in eni.private_ip_addresses}
    address = network.get_subnet(subnet).get_available_subnet_ip(None)
    while address in taken:  # moto does not count addresses that CreateNetworkInterface was given
        address = network.get_subnet(subnet).get_available_subnet_ip(None)
    return address


def _vpc_of_subnet(network: EC2Backend, name: str) -> str:
    try:
        return network.get_subnet(name).vpc_id
    except EC2ClientError:
        raise NoSuchNetwork(f"The subnet ID '{name}' does not exist in account {network.account_id}") from None
