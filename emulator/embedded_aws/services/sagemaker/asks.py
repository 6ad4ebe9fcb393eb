"""Permissions that SageMaker calls need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon SageMaker".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

_VERB = re.compile(r"(CreatePresigned|Create|Delete|Describe|Start|Stop|Update)(?P<thing>\w+?)(Url)?")
# Context key -> names under which requests hold its value, at whatever depth, and below which other name.
_COLLECTED = {
    "sagemaker:vpcsubnets": ("Subnets", "SubnetId"),
    "sagemaker:vpcsecuritygroupids": ("SecurityGroupIds",),
    "sagemaker:instancetypes": ("InstanceType",),
    "sagemaker:networkisolation": ("EnableNetworkIsolation",),
    "sagemaker:intercontainertrafficencryption": ("EnableInterContainerTrafficEncryption",),
    "sagemaker:maxruntimeinseconds": ("MaxRuntimeInSeconds",),
    "sagemaker:directinternetaccess": ("DirectInternetAccess",),
    "sagemaker:rootaccess": ("RootAccess",),
    "sagemaker:minimuminstancemetadataserviceversion": ("MinimumInstanceMetadataServiceVersion",),
    "sagemaker:volumekmskey": ("VolumeKmsKeyId",),
    "sagemaker:keepaliveperiod": ("KeepAlivePeriodInSeconds",),
    "sagemaker:enableremotedebug": ("EnableRemoteDebug",),
    "sagemaker:filesystemid": ("FileSystemId",),
    "sagemaker:filesystemdirectorypath": ("DirectoryPath",),
    "sagemaker:filesystemtype": ("FileSystemType",),
    "sagemaker:filesystemaccessmode": ("FileSystemAccessMode",),
}
_OUTPUTS = re.compile(r".*Output.*")


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call asks for."""
    context = _context(call) | _models(call, caller.account)
    resources = list(_resources(call, caller.account))
    for resource in resources or ["*"]:
        yield Ask(call.action, resource, context)
    if call.operation.startswith("Create") and tags.requested(call):
        for resource in resources[:1] or ["*"]:
            yield Ask("sagemaker:AddTags", resource, context)


def _resources(call: Call, account: str) -> Iterator[str]:
    if arn := call.parameters.get("ResourceArn"):
        yield _lowered(arn)
        return
    if call.operation.startswith("List"):
        return
    match = _VERB.fullmatch(call.operation)
    thing = match["thing"] if match else ""
    name = call.parameters.get(f"{thing}Name") if thing else None
    if not name:
        return
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", thing).lower()
    yield _lowered(f"arn:aws:sagemaker:{call.region}:{account}:{kind}/{name}")
    if call.operation == "CreateEndpoint":
        config = call.parameters.get("EndpointConfigName", "")
        yield _lowered(f"arn:aws:sagemaker:{call.region}:{account}:endpoint-config/{config}")


def _models(call: Call, account: str) -> dict[str, tuple[str, ...]]:
    """Return the models that a job or an endpoint is to have."""
    if call.operation not in ("CreateTransformJob", "CreateEndpointConfig"):
        return {}
    named = _collected(call.parameters, ("ModelName",))
    arns = tuple(_lowered(f"arn:aws:sagemaker:{call.region}:{account}:model/{name}") for name in named)
    return {"sagemaker:modelarn": arns} if arns else {}


def _lowered(arn: str) -> str:
    """Return an ARN as SageMaker makes it from a name: in small letters."""
    head, slash, name = arn.partition("/")
    return f"{head}{slash}{name.lower()}"


def _context(call: Call) -> dict[str, tuple[str, ...]]:
    context = {key: tuple(_collected(call.parameters, names)) for key, names in _COLLECTED.items()}
    context["sagemaker:outputkmskey"] = tuple(_output_keys(call.parameters))
    if call.operation.endswith("NotebookInstance") and "KmsKeyId" in call.parameters:
        context["sagemaker:volumekmskey"] = (call.parameters["KmsKeyId"],)
    return {key: values for key, values in context.items() if values} | tags.in_request(call)


def _collected(value: Any, names: tuple[str, ...]) -> Iterator[str]:
    for name, item in _items(value):
        if name in names:
            yield from (_text(element) for element in (item if isinstance(item, list) else [item]))
        else:
            yield from _collected(item, names)


def _output_keys(value: Any, *, inside: bool = False) -> Iterator[str]:
    for name, item in _items(value):
        if inside and name == "KmsKeyId":
            yield str(item)
        else:
            yield from _output_keys(item, inside=inside or bool(_OUTPUTS.fullmatch(name)))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        for item in value:
            yield from _items(item)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
