"""Permissions that EC2 calls need: on every resource that they name, and on those that they make.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon EC2".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.ec2.models import ec2_backends

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

# What an id begins with -> kind of resource, as EC2's ARNs spell it.
_KINDS = {
    "acl": "network-acl",
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "pcx": "vpc-peering-connection",
    "pl": "prefix-list",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
_ID = re.compile(rf"({'|'.join(_KINDS)})-[0-9a-f]{{8,17}}")
# What these make, where the operation's name does not tell.
_MADE = {"CreateFlowLogs": ("vpc-flow-log",)}
# Of these, AWS asks for less than they name.
_ONLY = {
    "CreateRoute": {"route-table"},
    "DeleteRoute": {"route-table"},
    "ReplaceRoute": {"route-table"},
    "AuthorizeSecurityGroupEgress": {"security-group"},
    "AuthorizeSecurityGroupIngress": {"security-group"},
    "RevokeSecurityGroupEgress": {"security-group"},
    "RevokeSecurityGroupIngress": {"security-group"},
}
# And these look at one thing, where all others that look name none.
_LOOKS_AT = ("DescribeVpcAttribute", "GetManagedPrefixListEntries")
# Parameters that name what the call is not about, or hold any text.
_PASSED_OVER = {"Tags", "TagSpecifications", "Filters", "PeerVpcId", "IpPermissions", "Description"}


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call asks for, one ask per resource."""
    context = tags.in_request(call) | {"ec2:region": (call.region,)}
    if call.operation.startswith(("Describe", "Get")) and call.operation not in _LOOKS_AT:
        yield Ask(call.action, "*", context)
        return
    here = f"arn:aws:ec2:{call.region}:{caller.account}"
    ids = [*_ids(call.parameters), *_of_association(call, caller.account)]
    named = [name for name in dict.fromkeys(ids) if _asked(call, _kind(name))]
    made = _made(call.operation)
    context |= _context(call, caller.account, named, here)
    arns = [f"{here}:{kind}/*" for kind in made] + [_arn(name, call.region, caller.account) for name in named]
    if call.operation == "AcceptVpcPeeringConnection":
        arns += context.get("ec2:acceptervpc", ())
    for arn in arns or ["*"]:  # an id of no form that there is names nothing
        yield Ask(call.action, arn, context)
    if made and tags.requested(call):
        kinds = {
            specification.get("ResourceType", "*") for specification in call.parameters.get("TagSpecifications", [])
        }
        for kind in sorted(kinds):
            yield Ask("ec2:CreateTags", f"{here}:{kind}/*", context | {"ec2:createaction": (call.operation,)})


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _ids(item) if name not in _PASSED_OVER else ()
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, str) and _ID.fullmatch(value):
        yield value


def _kind(name: str) -> str:
    return _KINDS[name.partition("-")[0]]


def _asked(call: Call, kind: str) -> bool:
    return call.operation not in _ONLY or kind in _ONLY[call.operation]


def _of_association(call: Call, account: str) -> Iterator[str]:
    """Yield the route table and the subnet that an association binds together."""
    wanted = call.parameters.get("AssociationId")
    for table in ec2_backends[account][call.region].route_tables.values() if wanted else ():
        if wanted in table._associations:
            yield from filter(None, (table.id, table._associations[wanted]))  # the main one has no subnet


def _arn(name: str, region: str, account: str) -> str:
    if _kind(name) == "prefix-list":
        account = "aws"  # here there are none but AWS's own
    return f"arn:aws:ec2:{region}:{account}:{_kind(name)}/{name}"


def _made(operation: str) -> tuple[str, ...]:
    thing = operation.removeprefix("Create")
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", thing).lower()
    return _MADE.get(operation) or ((kind,) if operation != thing and kind in _KINDS.values() else ())


def _context(call: Call, account: str, named: list[str], here: str) -> dict[str, tuple[str, ...]]:
    parameters = call.parameters
    context: dict[str, tuple[str, ...]] = {}
    vpcs = {vpc for vpc in (_vpc_of(name, account, call.region) for name in named) if vpc}
    if len(vpcs) == 1:
        context["ec2:vpc"] = (f"{here}:vpc/{vpcs.pop()}",)
    subnets = [name for name in named if name.startswith("subnet-")]
    if len(subnets) == 1:
        context["ec2:subnet"] = (f"{here}:subnet/{subnets[0]}",)
    if "ServiceName" in parameters:
        context["ec2:vpceservicename"] = (parameters["ServiceName"],)
    if "VpcPeeringConnectionId" in parameters:
        context["ec2:vpcpeeringconnectionid"] = (parameters["VpcPeeringConnectionId"],)
    if "PeeringConnection" in call.operation:
        context |= _peering(call, account)
    return context


def _vpc_of(name: str, account: str, region: str) -> str | None:
    if name.startswith("vpc-"):
        return name
    ec2 = ec2_backends[account][region]
    if name.startswith("sg-"):
        return getattr(ec2.get_security_group_from_id(name), "vpc_id", None)
    if name.startswith("subnet-"):
        return next((zone[name].vpc_id for zone in ec2.subnets.values() if name in zone), None)
    things = {"eni": ec2.enis, "rtb": ec2.route_tables, "vpce": ec2.vpc_end_points, "acl": ec2.network_acls}
    thing = things.get(name.partition("-")[0], {}).get(name)
    return getattr(thing, "vpc_id", None) or getattr(getattr(thing, "subnet", None), "vpc_id", None)


def _peering(call: Call, account: str) -> dict[str, tuple[str, ...]]:
    parameters = call.parameters
    if call.operation == "CreateVpcPeeringConnection":
        peer, region = parameters.get("PeerOwnerId", account), parameters.get("PeerRegion", call.region)
        return {
            "ec2:requestervpc": (f"arn:aws:ec2:{call.region}:{account}:vpc/{parameters.get('VpcId')}",),
            "ec2:acceptervpc": (f"arn:aws:ec2:{region}:{peer}:vpc/{parameters.get('PeerVpcId')}",),
        }
    peering = ec2_backends[account][call.region].vpc_pcxs.get(parameters.get("VpcPeeringConnectionId", ""))
    if peering is None:
        return {}

    def arn(vpc: Any) -> str:
        return f"arn:aws:ec2:{vpc.region}:{vpc.owner_id}:vpc/{vpc.id}"

    return {"ec2:requestervpc": (arn(peering.vpc),), "ec2:acceptervpc": (arn(peering.peer_vpc),)}
