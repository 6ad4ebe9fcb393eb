"""What IAM, STS, SageMaker, EC2, logs, KMS and CloudFormation calls ask permission for.

Source: AWS, Service authorization reference, one page per service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from embedded_aws.iam.calls import Call
from embedded_aws.iam.policy import Ask
from embedded_aws.iam.s3_asks import key_arn

# Parameter -> kind of resource, as SageMaker's ARNs spell it.
_SAGEMAKER = {
    "TrainingJobName": "training-job",
    "NotebookInstanceName": "notebook-instance",
    "NotebookInstanceLifecycleConfigName": "notebook-instance-lifecycle-config",
    "ProcessingJobName": "processing-job",
    "ModelName": "model",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ExperimentName": "experiment",
    "TrialName": "experiment-trial",
    "TrialComponentName": "experiment-trial-component",
}


def _sagemaker(call: Call, account: str) -> str:
    if call.operation.startswith("List"):
        return "*"
    if arn := call.parameters.get("ResourceArn"):
        return arn
    for name, kind in _SAGEMAKER.items():
        if value := call.parameters.get(name):
            return f"arn:aws:sagemaker:{call.region}:{account}:{kind}/{value}"
    return "*"


def _sagemaker_context(call: Call) -> dict[str, tuple[str, ...]]:
    request = call.parameters
    network = request.get("VpcConfig") or {}
    resources = request.get("ResourceConfig") or {}
    metadata = request.get("InstanceMetadataServiceConfiguration") or {}
    kind = resources.get("InstanceType") or request.get("InstanceType")
    groups = network.get("SecurityGroupIds") or request.get("SecurityGroupIds") or ()
    subnets = network.get("Subnets") or ([request["SubnetId"]] if request.get("SubnetId") else ())
    isolated, between = request.get("EnableNetworkIsolation"), request.get("EnableInterContainerTrafficEncryption")
    found = {
        "sagemaker:vpcsubnets": tuple(subnets),
        "sagemaker:vpcsecuritygroupids": tuple(groups),
        "sagemaker:instancetypes": (kind,) if kind else (),
        "sagemaker:networkisolation": () if isolated is None else (str(isolated).lower(),),
        "sagemaker:intercontainertrafficencryption": () if between is None else (str(between).lower(),),
        "sagemaker:outputkmskey": _one((request.get("OutputDataConfig") or {}).get("KmsKeyId")),
        "sagemaker:volumekmskey": _one(resources.get("VolumeKmsKeyId") or request.get("KmsKeyId")),
        "sagemaker:maxruntimeinseconds": _one((request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds")),
        "sagemaker:directinternetaccess": _one(request.get("DirectInternetAccess")),
        "sagemaker:rootaccess": _one(request.get("RootAccess")),
        "sagemaker:minimuminstancemetadataserviceversion": _one(metadata.get("MinimumInstanceMetadataServiceVersion")),
        **_tag_context(request.get("Tags")),
    }
    return {key: values for key, values in found.items() if values}


def _one(value: Any) -> tuple[str, ...]:
    return () if value is None else (str(value),)


def _tag_context(tags: Any) -> dict[str, tuple[str, ...]]:
    pairs = {tag["Key"]: tag["Value"] for tag in tags or [] if isinstance(tag, Mapping)}
    keys = {"aws:tagkeys": tuple(pairs)} if pairs else {}
    return keys | {f"aws:requesttag/{key.lower()}": (value,) for key, value in pairs.items()}


def _logs(call: Call, account: str) -> str:
    group = call.parameters.get("logGroupName") or call.parameters.get("logGroupIdentifier") or ""
    group = group.partition("log-group:")[2].removesuffix(":*") if group.startswith("arn:") else group
    on_stream = ("GetLogEvents", "PutLogEvents", "DeleteLogStream")
    stream = call.parameters.get("logStreamName", "") if call.operation in on_stream else ""
    return f"arn:aws:logs:{call.region}:{account}:log-group:{group}:log-stream:{stream}"


def _iam(call: Call, account: str) -> str:
    parameters = call.parameters
    if arn := parameters.get("PolicyArn") if "Policy" in call.operation and "RoleName" not in parameters else None:
        return arn if not parameters.get("UserName") else _iam_entity("user", parameters["UserName"], account)
    if arn := parameters.get("PolicySourceArn"):
        return arn
    path = parameters.get("Path", "/")
    for name, kind in {
        "RoleName": "role",
        "UserName": "user",
        "GroupName": "group",
        "PolicyName": "policy",
        "InstanceProfileName": "instance-profile",
    }.items():
        if value := parameters.get(name):
            return _iam_entity(kind, value, account, path=path)
    return "*"


def _iam_entity(kind: str, name: str, account: str, *, path: str = "/") -> str:
    if kind == "role":  # one that is there has a path of its own
        there = [role.arn for role in iam_backends[account]["aws"].get_roles() if role.name == name]
        if there:
            return there[0]
    return f"arn:aws:iam::{account}:{kind}{path}{name}"


def _iam_context(call: Call) -> dict[str, tuple[str, ...]]:
    found = {"iam:policyarn": call.parameters.get("PolicyArn")}
    found["iam:permissionsboundary"] = call.parameters.get("PermissionsBoundary")
    return {key: (value,) for key, value in found.items() if value}


def _sts(call: Call, account: str) -> str:
    return call.parameters.get("RoleArn", "*")


def _sts_context(call: Call) -> dict[str, tuple[str, ...]]:
    found = {name: call.parameters.get(name) for name in ("ExternalId", "RoleSessionName", "SourceIdentity")}
    return {f"sts:{name.lower()}": (value,) for name, value in found.items() if value is not None}


def _kms(call: Call, account: str) -> str:
    key = call.parameters.get("KeyId") or call.parameters.get("TargetKeyId")
    return key_arn(key, account, call.region) if key else "*"


def _cloudformation(call: Call, account: str) -> str:
    name = call.parameters.get("StackName")
    if not name:
        return "*"
    return name if name.startswith("arn:") else f"arn:aws:cloudformation:{call.region}:{account}:stack/{name}/*"


_EC2_KINDS = {
    "VpcPeeringConnectionId": "vpc-peering-connection",
    "VpcId": "vpc",
    "SubnetId": "subnet",
    "GroupId": "security-group",
    "RouteTableId": "route-table",
    "VpcEndpointId": "vpc-endpoint",
    "NetworkInterfaceId": "network-interface",
}


def ec2_asks(call: Call, account: str) -> Iterator[Ask]:
    """Ask for every resource that a changing call names by id; descriptions know no resource."""
    if call.operation.startswith("Describe"):
        yield Ask(call.action)
        return
    named = [
        f"arn:aws:ec2:{call.region}:{account}:{kind}/{call.parameters[name]}"
        for name, kind in _EC2_KINDS.items()
        if name in call.parameters
    ]
    context = _peering_context(call, account) if "PeeringConnection" in call.operation else {}
    if accepter := context.get("ec2:acceptervpc"):
        named = [*named[:1], *accepter] if call.operation == "AcceptVpcPeeringConnection" else named
    for arn in named or ["*"]:
        yield Ask(call.action, arn, context)


def _peering_context(call: Call, account: str) -> dict[str, tuple[str, ...]]:
    peering = ec2_backends[account][call.region].vpc_pcxs.get(call.parameters.get("VpcPeeringConnectionId", ""))
    if peering is None:
        return {}

    def arn(vpc: Any) -> str:
        return f"arn:aws:ec2:{vpc.region}:{vpc.owner_id}:vpc/{vpc.id}"

    return {"ec2:requestervpc": (arn(peering.vpc),), "ec2:acceptervpc": (arn(peering.peer_vpc),)}


RESOURCES: dict[str, Callable[[Call, str], str]] = {
    "cloudformation": _cloudformation,
    "iam": _iam,
    "kms": _kms,
    "logs": _logs,
    "sagemaker": _sagemaker,
    "sts": _sts,
}
CONTEXT: dict[str, Callable[[Call], dict[str, tuple[str, ...]]]] = {
    "iam": _iam_context,
    "sagemaker": _sagemaker_context,
    "sts": _sts_context,
}
