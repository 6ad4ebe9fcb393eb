"""Region facts: its partition, Amazon's list of S3 addresses, zones in which every service is."""

from __future__ import annotations

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.errors import StackError

# What a notebook or a job is near: SageMaker itself, and the interface endpoints that may be wanted.
_NEAR = ("sagemaker.api", "sts", "states", "logs", "kms", "ecr.api", "ecr.dkr")


def partition(session: boto3.Session) -> str:
    """Return the partition of a session's region: ``aws``, ``aws-us-gov``, ``aws-cn``."""
    return session.get_partition_for_region(session.region_name)


def s3_prefix_list(session: boto3.Session, account: str) -> str:
    """Return the id of the region's list of S3 addresses.

    Raises
    ------
    StackError
        If the account does not tell, or there is none.
    """
    name = f"com.amazonaws.{session.region_name}.s3"
    wanted = [{"Name": "prefix-list-name", "Values": [name]}]
    try:
        prefix_lists = session.client("ec2").describe_managed_prefix_lists(Filters=wanted)["PrefixLists"]
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"account {account} does not tell its S3 prefix list: {error}") from error
    if not prefix_lists:
        raise StackError(f"account {account}: region {session.region_name} has no prefix list {name}")
    return prefix_lists[0]["PrefixListId"]


def zones(session: boto3.Session, account: str) -> list[str]:
    """Return the availability zones in which every service that may be needed has an endpoint, by this account's names.

    The names mean other zones in every account, and the oldest zones lack much.

    Raises
    ------
    StackError
        If there are fewer than two; says where each service is.
    """
    region, ec2 = session.region_name, session.client("ec2")
    names = [f"com.amazonaws.{region}.{service}" for service in _NEAR]
    # Local zones and wavelength zones are of other types.
    plain = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
    try:
        there = {zone["ZoneName"] for zone in ec2.describe_availability_zones(Filters=plain)["AvailabilityZones"]}
        services = ec2.describe_vpc_endpoint_services(ServiceNames=names)["ServiceDetails"]
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"account {account} does not tell which zones have AWS's endpoints: {error}") from error
    by_service = {service["ServiceName"]: set(service["AvailabilityZones"]) for service in services}
    common = sorted(there.intersection(*by_service.values()))
    if len(common) < 2:
        each = "; ".join(f"{name.rpartition('.')[2]}: {', '.join(sorted(has))}" for name, has in by_service.items())
        raise StackError(f"account {account}: fewer than two zones of {region} have all services ({each})")
    return common
