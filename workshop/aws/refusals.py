"""DELETE_FAILED: who holds a resource that AWS does not delete, and what its owner does about it.

CloudFormation repeats what the service said ("must detach all policies first"), which names neither policy nor holder.
Source: AWS, API references of IAM (DeleteConflict), EC2 (DependencyViolation) and S3 (BucketNotEmpty).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

_BY_HAND = "mend that by hand"
# What AWS's words say, where nobody needs to be looked for; the first sign that fits.
_SIGNS = {
    "TerminationProtection": "switch its protection off: aws cloudformation update-termination-protection "
    "--no-enable-termination-protection --stack-name {stack}{profile}",
    "service control policy": "your organisation forbids that: ask who keeps its control policies",
    "AccessDenied": "this profile may not do that: use an administrator of the account",
    "not authorized": "this profile may not do that: use an administrator of the account",
    "Throttling": "AWS was asked too much at once: wait a minute",
    "ServiceInternalError": "AWS had trouble of its own: wait some minutes",
    "in use by": "delete first what AWS's words name as its user",
}
Event = Mapping[str, Any]


def explain(session: boto3.Session, stack: str, events: Sequence[Event], *, again: str) -> str:
    """Return AWS's words for every resource that could not be deleted, each with what to do.

    Parameters
    ----------
    session : boto3.Session
        In the account of the stack: it is asked who holds the resource.
    events : list of dict
        The stack's events with status ``DELETE_FAILED``, one per resource.
    again : str
        What to run when that is done.
    """
    own = _owned(session, stack)
    lines = []
    for event in events:
        reason = event.get("ResourceStatusReason", "")
        what = f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
        lines.append(f"{what} - {remedy(session, stack, event, own)}; then run {again} again")
    return "\n".join(lines)


def remedy(session: boto3.Session, stack: str, event: Event, own: frozenset[str] = frozenset()) -> str:
    """Return what to do about one resource that could not be deleted.

    Parameters
    ----------
    own : frozenset of str
        Physical ids of the stack's resources: these hold nothing for long, as they are deleted with it.
    """
    profile = f" --profile {session.profile_name}"
    holders: list[str] = []
    if look := _HOLDERS.get(event["ResourceType"]):
        with contextlib.suppress(BotoCoreError, ClientError, KeyError):  # who may not look is told what AWS said
            for what in look(session, event["PhysicalResourceId"], own):
                holders.append(what + profile * (": aws " in what))
    return ", ".join(holders) or by_words(event.get("ResourceStatusReason", ""), stack, profile=profile)


def by_words(reason: str, stack: str, *, profile: str = "") -> str:
    """Return what to do as far as AWS's own words say it.

    >>> by_words("something new", "fl-network")
    'mend that by hand'
    """
    advice = next((remedy for sign, remedy in _SIGNS.items() if sign in reason), _BY_HAND)
    return advice.format(stack=stack, profile=profile)


def _owned(session: boto3.Session, stack: str) -> frozenset[str]:
    try:
        resources = session.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    except (BotoCoreError, ClientError):
        return frozenset()
    return frozenset(resource.get("PhysicalResourceId", "") for resource in resources)


def _role(session: boto3.Session, role: str, own: frozenset[str]) -> Iterator[str]:
    iam, others = session.client("iam"), False
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        if (arn := policy["PolicyArn"]) not in own:
            command = f"aws iam detach-role-policy --role-name {role} --policy-arn {arn}"
            yield f"detach policy {policy['PolicyName']} from role {role}: {command}"
            others = True
    profiles = [
        profile
        for page in iam.get_paginator("list_instance_profiles").paginate()
        for profile in page["InstanceProfiles"]
    ]
    for name in (
        profile["InstanceProfileName"]
        for profile in profiles
        if role in [each["RoleName"] for each in profile["Roles"]]
    ):
        command = f"aws iam remove-role-from-instance-profile --instance-profile-name {name} --role-name {role}"
        yield f"take role {role} out of instance profile {name}: {command}"
        others = True
    for policy in () if others else iam.list_role_policies(RoleName=role)["PolicyNames"]:  # the stack has some itself
        command = f"aws iam delete-role-policy --role-name {role} --policy-name {policy}"
        yield f"delete inline policy {policy} of role {role}: {command}"


def _policy(session: boto3.Session, arn: str, own: frozenset[str]) -> Iterator[str]:
    used = session.client("iam").list_entities_for_policy(PolicyArn=arn)
    name = arn.rpartition("/")[2]
    for kind in ("Role", "User", "Group"):
        for holder in (entry[f"{kind}Name"] for entry in used.get(f"Policy{kind}s", ())):
            word = kind.lower()
            command = f"aws iam detach-{word}-policy --{word}-name {holder} --policy-arn {arn}"
            yield f"detach policy {name} from {word} {holder}: {command}"


def _group(session: boto3.Session, group: str, own: frozenset[str]) -> Iterator[str]:
    ec2 = session.client("ec2")
    for way, side in (("", "ingress"), ("egress.", "egress")):
        named = [{"Name": f"{way}ip-permission.group-id", "Values": [group]}]
        for other in ec2.describe_security_groups(Filters=named)["SecurityGroups"]:
            if (name := other["GroupId"]) != group and name not in own:
                yield (
                    f"delete the {side} rules of security group {name} ({other['GroupName']}) that name {group}, or "
                    f"that group: aws ec2 delete-security-group --group-id {name}"
                )
    yield from _interfaces(ec2, "group-id", group)


def _subnet(session: boto3.Session, subnet: str, own: frozenset[str]) -> Iterator[str]:
    yield from _interfaces(session.client("ec2"), "subnet-id", subnet)


def _interfaces(ec2: Any, by: str, value: str) -> Iterator[str]:
    for interface in ec2.describe_network_interfaces(Filters=[{"Name": by, "Values": [value]}])["NetworkInterfaces"]:
        name, note = interface["NetworkInterfaceId"], interface.get("Description") or "no description"
        if interface.get("InterfaceType") == "vpc_endpoint":
            continue  # it goes with its endpoint
        if is_of_sagemaker(interface):
            yield f"wait: SageMaker takes network interface {name} back within the hour"
        elif instance := interface.get("Attachment", {}).get("InstanceId"):
            command = f"aws ec2 terminate-instances --instance-ids {instance}"
            yield f"end instance {instance}, which uses network interface {name} ({note}): {command}"
        else:
            command = f"aws ec2 delete-network-interface --network-interface-id {name}"
            yield f"delete network interface {name} ({note}), or the service that has made it: {command}"


def is_of_sagemaker(interface: Mapping[str, Any]) -> bool:
    """Tell whether a network interface may be a job's or a notebook's, which SageMaker takes back by itself."""
    words = f"{interface.get('Description', '')} {interface.get('RequesterId', '')}".lower()
    return bool(interface.get("RequesterManaged")) or "sagemaker" in words


def _route_table(session: boto3.Session, table: str, own: frozenset[str]) -> Iterator[str]:
    for route_table in session.client("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]:
        for link in route_table.get("Associations", ()):
            name = link.get("RouteTableAssociationId", "")
            if not link.get("Main") and name not in own:
                command = f"aws ec2 disassociate-route-table --association-id {name}"
                yield f"part route table {table} from subnet {link.get('SubnetId', '?')}: {command}"


def _vpc(session: boto3.Session, vpc: str, own: frozenset[str]) -> Iterator[str]:
    ec2, inside = session.client("ec2"), [{"Name": "vpc-id", "Values": [vpc]}]
    for subnet in ec2.describe_subnets(Filters=inside)["Subnets"]:
        if (name := subnet["SubnetId"]) not in own:
            yield f"delete subnet {name}: aws ec2 delete-subnet --subnet-id {name}"
    for group in ec2.describe_security_groups(Filters=inside)["SecurityGroups"]:
        if (name := group["GroupId"]) not in own and group["GroupName"] != "default":
            command = f"aws ec2 delete-security-group --group-id {name}"
            yield f"delete security group {name} ({group['GroupName']}): {command}"
    for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]:
        if (name := table["RouteTableId"]) not in own and not any(a.get("Main") for a in table["Associations"]):
            yield f"delete route table {name}: aws ec2 delete-route-table --route-table-id {name}"
    for endpoint in ec2.describe_vpc_endpoints(Filters=inside)["VpcEndpoints"]:
        if (name := endpoint["VpcEndpointId"]) not in own and endpoint["State"].lower() != "deleted":
            yield f"delete endpoint {name}: aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {name}"
    yield from _interfaces(ec2, "vpc-id", vpc)
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    for gateway in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
        name = gateway["InternetGatewayId"]
        command = f"aws ec2 detach-internet-gateway --internet-gateway-id {name} --vpc-id {vpc}"
        yield f"detach internet gateway {name}: {command}"


def _bucket(session: boto3.Session, bucket: str, own: frozenset[str]) -> Iterator[str]:
    listing = session.client("s3").list_object_versions(Bucket=bucket, MaxKeys=1)
    for version in [*listing.get("Versions", ()), *listing.get("DeleteMarkers", ())]:
        yield (
            f"something writes to bucket {bucket} (there is {version['Key']!r}): end what does; the bucket is emptied "
            "anew every time"
        )


_HOLDERS: dict[str, Callable[[boto3.Session, str, frozenset[str]], Iterator[str]]] = {
    "AWS::IAM::Role": _role,
    "AWS::IAM::ManagedPolicy": _policy,
    "AWS::EC2::SecurityGroup": _group,
    "AWS::EC2::Subnet": _subnet,
    "AWS::EC2::RouteTable": _route_table,
    "AWS::EC2::VPC": _vpc,
    "AWS::S3::Bucket": _bucket,
}
