"""The service record of Amazon EC2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2.models import ec2_backends

from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.grammar import ENDPOINT
from embedded_aws.service import ConditionKeys, Service, Writes
from embedded_aws.services.ec2 import (
    asks,
    endpoint_policies,
    network,
    stack_endpoints,
    stack_network,
    stack_security,
)

LONGEST = 20_480  # characters of an endpoint's policy. Source: AWS, VPC user guide, "Amazon VPC quotas"


def _check_policy(_: Call, text: str, document: Mapping[str, Any], __: Principal) -> None:
    if len(text.encode()) > LONGEST:
        raise CallError(f"The policy exceeds the maximum allowed document size of {LONGEST} bytes", reason="policy")
    if message := endpoint_policies.complaint(document):
        raise CallError(message, reason="policy")


EC2 = Service(
    name="ec2",
    asks=asks.asks,
    install=network.install,
    keys=ConditionKeys(
        known="acceptervpc|createaction|requestervpc|vpc|region|vpceservicename|vpcpeeringconnectionid|subnet|resourcetag/.+"
    ),
    tags=lambda region, account, _, name: ec2_backends[account][region].tags[name.rpartition("/")[2]],
    passes={"DeliverLogsPermissionArn": "vpc-flow-logs.amazonaws.com"},
    dry_run="DryRun",
    writes={
        "CreateVpcEndpoint": Writes("PolicyDocument", ENDPOINT),
        "ModifyVpcEndpoint": Writes("PolicyDocument", ENDPOINT),
    },
    check_policy=_check_policy,
    types=(
        stack_endpoints.FlowLog, stack_endpoints.VPCEndpoint, stack_endpoints.VPCPeeringConnection,
        stack_network.InternetGateway, stack_network.Route, stack_network.RouteTable, stack_network.Subnet,
        stack_network.SubnetRouteTableAssociation, stack_network.VPC, stack_network.VPCGatewayAttachment,
        stack_security.SecurityGroup, stack_security.SecurityGroupEgress, stack_security.SecurityGroupIngress,
    ),
)  # fmt: skip
