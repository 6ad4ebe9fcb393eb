"""Request parsing: an HTTP request as service, operation and parameters, by the service's own model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel

from embedded_aws.gate import shapes
from embedded_aws.models import service_model
from embedded_aws.validation import complaint

# Signing names whose model botocore files under another name.
_MODELS = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
# APIs that are signed for the name of another one, by the beginning of their paths.
_APART = {"sagemaker": ("/endpoints/", "sagemaker-runtime")}
# Services that policies spell otherwise than the model.
_PREFIXES = {"monitoring": "cloudwatch", "sagemaker-runtime": "sagemaker"}
_BUCKET = re.compile(r"/[\w.-]+(/|$)", re.ASCII)
# S3 tells these apart by a header or an argument that is no part of the path.
_BY_HEADER = {("PutObject", "x-amz-copy-source"): "CopyObject", ("UploadPart", "x-amz-copy-source"): "UploadPartCopy"}


class CallError(Exception):
    """No operation of the service is called so; ``reason`` is one of ``Refused``."""

    def __init__(self, message: str, *, reason: str = "operation") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Call:
    """One API call.

    Parameters
    ----------
    service, region, operation : str
        Such as ``s3``, ``us-east-1``, ``GetObject``.
    parameters : mapping
        By the model's names; without those that S3 takes from headers and bodies.
    headers : mapping
        Header values by lower-case name.
    protocol : str
        ``json``, ``query``, ``ec2``, ``rest-xml`` or ``rest-json``.
    fields : mapping
        The form as it was sent, such as ``SubnetId.1``; of REST the query's arguments.
    presigned : bool
        Whether the signature came in the query, as that of a presigned URL.
    """

    service: str
    region: str
    operation: str
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes
    protocol: str
    fields: Mapping[str, str] = field(default_factory=dict)
    presigned: bool = False

    @property
    def action(self) -> str:
        """The operation in the spelling of policies, where both agree."""
        return f"{self.prefix}:{self.operation}"

    @property
    def prefix(self) -> str:
        """The service in the spelling of policies."""
        return _PREFIXES.get(self.service, self.service)


def decode(
    service: str, region: str, *, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Call:
    """Find out which operation a request calls.

    Raises
    ------
    CallError
        If the service has no such operation, the operation no such parameter, or botocore knows no such service.
    """
    signed, (beginning, other) = service, _APART.get(service, ("", service))
    service = other if path.startswith(beginning) else service
    model = model_of(service)
    if signed != model.metadata.get("signingName", model.metadata["endpointPrefix"]):
        raise CallError(f"requests to {model.service_name} are not signed for {signed}")
    protocol = model.metadata["protocol"]
    if protocol in ("json", "query", "ec2") and path != "/":
        raise CallError(f"{service} takes requests at /")
    fields: dict[str, str] = {}
    try:
        if protocol != "rest-xml":
            body = shapes.unpacked(body, headers.get("content-encoding", ""))
        if protocol == "json":
            operation, parameters = _of_json(model, query, headers, body)
        elif protocol in ("query", "ec2"):
            operation, parameters, fields = _of_form(model, query, headers, body)
        else:
            fields = _once(parse_qsl(query, keep_blank_values=True))
            operation, parameters = _rest(model, method, path, fields, headers)
            operation_model = model.operation_model(operation)
            shapes.check_rest(operation_model, query=fields, headers=headers)
            if protocol == "rest-json":
                parameters |= shapes.of_headers(operation_model.input_shape, headers)
                if payload := shapes.blob(operation_model.input_shape):
                    parameters[payload] = body
                else:
                    parameters |= shapes.of_body(operation_model.input_shape, _json(body))
    except shapes.ShapeError as error:
        raise CallError(f"{service} does not understand the request: {error}") from None
    presigned = "X-Amz-Signature" in fields
    return Call(service, region, operation, parameters, headers, body, protocol, fields, presigned)


def _of_json(model: ServiceModel, query: str, headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any]]:
    if query:  # moto would take an Action in it for the operation
        raise CallError(f"{model.service_name} takes requests without a query")
    target, _, operation = headers.get("x-amz-target", "").rpartition(".")
    if target != model.metadata["targetPrefix"] or operation not in model.operation_names:
        raise CallError(f"{model.service_name} has no operation {headers.get('x-amz-target', '')!r}")
    return operation, shapes.of_json(model.operation_model(operation).input_shape, _json(body))


def _of_form(
    model: ServiceModel, query: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, dict[str, Any], dict[str, str]]:
    if "x-amz-target" in headers or "urlencoded" not in headers.get("content-type", "urlencoded"):
        raise CallError(f"{model.service_name} takes forms, not {headers.get('content-type')}")
    fields = _once(parse_qsl(f"{query}&{body.decode(errors='replace')}".strip("&"), keep_blank_values=True))
    operation = fields.get("Action", "")
    if operation not in model.operation_names:
        raise CallError(f"{model.service_name} has no operation {operation!r}")
    operation_model = model.operation_model(operation)
    parameters = shapes.of_fields(operation_model, model.metadata["protocol"], fields)
    return operation, parameters, fields


def check(call: Call) -> None:
    """Return if a call's parameters are as the service's model wants them; moto believes most of what they say.

    Raises
    ------
    CallError
        If they are not. What REST puts in headers and XML is not among them.
    """
    if not call.protocol.startswith("rest"):
        message = complaint(model_of(call.service).operation_model(call.operation).input_shape, call.parameters)
        if message:
            raise CallError(message, reason="validation")


def protocol_of(service: str) -> str:
    """Return how a service speaks; ``rest-json`` where nobody knows the service."""
    try:
        return model_of(service).metadata["protocol"]
    except CallError:
        return "rest-json"


@lru_cache
def model_of(service: str) -> ServiceModel:
    """Return botocore's model of the service that requests are signed for.

    Raises
    ------
    CallError
        If there is no such service.
    """
    name = _MODELS.get(service, service)
    try:
        return service_model(name)
    except UnknownServiceError:
        raise CallError(f"there is no service {service}") from None


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return pairs as a map; of a name that comes twice the gate and moto might each take another value."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise CallError("a parameter is given twice")
    return fields


def _json(body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        raise CallError("the body is not JSON") from None
    if not isinstance(parameters, dict):
        raise CallError("the body is not a JSON object")
    return parameters


@dataclass(frozen=True)
class _Route:
    operation: str
    method: str
    path: re.Pattern[str]
    required: frozenset[str]  # query arguments that must be there
    fixed: Mapping[str, str]  # and those with a value
    names: Mapping[str, str]  # query argument -> parameter
    deprecated: bool  # S3 has two operations of one path, of which the older is never meant


@lru_cache
def _routes(service: str) -> tuple[_Route, ...]:
    model = model_of(service)
    routes = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, arguments = operation.http["requestUri"].partition("?")
        names = {}
        required = {pair.partition("=")[0] for pair in arguments.split("&") if pair}
        fixed = {key: value for key, _, value in (pair.partition("=") for pair in arguments.split("&")) if value}
        shape = operation.input_shape
        for member, inner in (shape.members if shape else {}).items():
            if inner.serialization.get("location") == "querystring":
                names[inner.serialization["name"]] = member
                if member in shape.required_members:
                    required.add(inner.serialization["name"])
        pattern = re.sub(r"\\\{(\w+)(\\\+)?\\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", re.escape(path))
        routes.append(
            _Route(
                name,
                operation.http["method"],
                re.compile(pattern, re.DOTALL),
                frozenset(required),
                fixed,
                names,
                operation.deprecated,
            )
        )
    # The more a route asks for, the earlier it is tried.
    routes.sort(key=lambda route: (-len(route.required), route.deprecated, route.path.pattern.count("(?P<")))
    return tuple(routes)


def _rest(
    model: ServiceModel, method: str, path: str, arguments: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    if model.service_name == "s3":
        if re.fullmatch("/[^/]+/", path):
            path = path.rstrip("/")  # a bucket may be spelt with a slash at its end
        # moto would take encoded slashes for those of the path, and one name for that of S3 Control.
        if path != "/" and (not _BUCKET.match(path) or path.startswith(("/v20180820/", "/favicon.ico"))):
            raise CallError(f"s3 has no bucket at {path}")
    fits = []
    for route in _routes(model.service_name):
        match = route.path.fullmatch(path)
        if not match or method != route.method or not route.required <= arguments.keys():
            continue
        if all(arguments[name] == value for name, value in route.fixed.items()):
            fits.append((route, match))
    # Two operations in one request would leave open which of them is carried out.
    if not fits or any(not other.required <= fits[0][0].required for other, _ in fits):
        raise CallError(f"{model.service_name} has no operation {method} {path}")
    route, match = fits[0]
    parameters = {name: unquote(value) for name, value in match.groupdict().items()}
    parameters |= {route.names[name]: value for name, value in arguments.items() if name in route.names}
    for (plain, header), other in _BY_HEADER.items():
        if route.operation in (plain, other):
            return (other if header in headers else plain), parameters
    return route.operation, parameters
