"""Requests made up for every operation on the door list, and what they ask permission for."""

from collections.abc import Iterator

from embedded_aws.gate import door
from embedded_aws.gate.asks import asks
from embedded_aws.gate.calls import Call, model_of
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

ACCOUNT = "111122223333"
ME = Principal(
    arn=f"arn:aws:iam::{ACCOUNT}:user/ann", account=ACCOUNT, unique_id="AIDAEXAMPLE", role="", secret="", token="",
    expires=None, policies=(), boundary=None, session_policies=(), context={},
)  # fmt: skip
# These need something that is there: a ciphertext, a list of keys, an association.
NEED_MORE = {"kms:Decrypt", "s3:DeleteObjects", "ec2:DisassociateRouteTable"}
_KEY = "11111111-2222-3333-4444-555555555555"
_IDS = {
    "VpcId": "vpc", "PeerVpcId": "vpc", "SubnetId": "subnet", "SubnetIds": "subnet", "GroupId": "sg", "Groups": "sg",
    "SecurityGroupIds": "sg", "RouteTableId": "rtb", "RouteTableIds": "rtb", "InternetGatewayId": "igw",
    "GatewayId": "igw", "NetworkInterfaceId": "eni", "FlowLogIds": "fl", "ResourceIds": "vpc", "Resources": "vpc",
    "VpcEndpointId": "vpce", "VpcEndpointIds": "vpce", "VpcPeeringConnectionId": "pcx", "AssociationId": "rtbassoc",
    "PrefixListId": "pl", "SecurityGroupRuleId": "sgr", "SecurityGroupRuleIds": "sgr",
}  # fmt: skip
_VALUES = {
    **{name: f"{prefix}-0123456789abcdef0" for name, prefix in _IDS.items()},
    **dict.fromkeys(("KeyId", "TargetKeyId"), _KEY),
    **dict.fromkeys(
        ("RoleArn", "roleArn", "DeliverLogsPermissionArn", "ExecutionRoleArn"), f"arn:aws:iam::{ACCOUNT}:role/fl"
    ),
    "AliasName": "alias/fl",
    "executionArn": f"arn:aws:states:us-east-1:{ACCOUNT}:execution:fl:one",
    "nodeRole": f"arn:aws:iam::{ACCOUNT}:role/fl",
    "Path": "/",
    "principalArn": f"arn:aws:iam::{ACCOUNT}:role/fl",
    "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/fl",
    "ResourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/fl",
    "ServiceName": "com.amazonaws.us-east-1.s3",
    "stateMachineArn": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:fl",
}
_TAGGED = {
    "ecr": f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/fl",
    "eks": f"arn:aws:eks:us-east-1:{ACCOUNT}:cluster/fl",
    "logs": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:fl",
    "states": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:fl",
}
_LEFT_OUT = {"DryRun", "Filter", "Filters", "Tags", "tags", "TagSpecifications", "CiphertextBlob", "VersionId"}


def asked() -> Iterator[tuple[str, list[Ask]]]:
    """Yield each operation, such as ``ec2:CreateVpc``, with what a request with all its members asks for."""
    for service, operations in door.served().items():
        model = model_of(service)
        for operation, members in operations.items():
            if f"{service}:{operation}" in NEED_MORE:
                continue
            shape = model.operation_model(operation).input_shape
            given = {name: shape.members[name] for name in members.inside if shape and name in shape.members}
            if service == "s3":
                given = {name: one for name, one in given.items() if one.serialization.get("location") == "uri"}
            request = {name: _sample(name, one) for name, one in given.items() if name not in _LEFT_OUT}
            if "resourceArn" in request:
                request["resourceArn"] = _TAGGED[service]
            headers = {"x-amz-date": "20260101T000000Z"}
            protocol = model.metadata["protocol"]
            call = Call(service, "us-east-1", operation, request, headers, b"", protocol)
            yield f"{service}:{operation}", asks(call, ME)


def _sample(name, shape):
    if shape.type_name == "list":
        return [_sample(name, shape.member)]
    if shape.type_name == "structure":
        return {one: _sample(one, shape.members[one]) for one in shape.required_members}
    return {"map": {"a": "b"}, "integer": 1, "long": 1, "boolean": True}.get(shape.type_name, _VALUES.get(name, "x"))
