"""Deserialization by the service's own model; whatever that does not know is refused, never passed on.

What the gate does not read, moto could, and act on something else than what was judged.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel, Shape
from botocore.serialize import create_serializer
from moto.core.parse import PROTOCOL_PARSERS

_KINDS: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float, str),
    "double": (int, float, str),
    "timestamp": (int, float, str),
}
_MOST_UNPACKED = 64 * 1024 * 1024
# What every S3 request may bring besides the members of its operation.
_S3_HEADERS = ("date", "content-sha256", "security-token", "decoded-content-length", "trailer", "te", "user-agent")
_S3_QUERY = ("x-id", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
_S3_QUERY += ("X-Amz-Signature", "X-Amz-Security-Token")
_PRESIGNED = frozenset(_S3_QUERY[1:])


class ShapeError(Exception):
    """A parameter that the operation does not have, or of another kind."""


def of_json(shape: Shape | None, value: Any, *, where: str = "") -> Any:
    """Return a JSON value without what is null in it.

    Raises
    ------
    ShapeError
        If it is not of this shape; names the first place where it is not.
    """
    if shape is None:
        if value:
            raise ShapeError(f"it takes no parameters, such as {next(iter(value))}")
        return {}
    if getattr(shape, "is_document_type", False):
        return value
    kind = shape.type_name
    if not isinstance(value, _KINDS.get(kind, (object,))) or (isinstance(value, bool) and kind in ("integer", "long")):
        raise ShapeError(f"{where or 'the body'} is no {kind}")
    if kind == "structure":
        named = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        return _of_members(named, value, where)
    if kind == "list":
        return [of_json(shape.member, item, where=f"{where}[]") for item in value]
    if kind == "map":
        return {key: of_json(shape.value, item, where=f"{where}.{key}") for key, item in value.items()}
    return value


def _of_members(members: Mapping[str, Shape], value: Mapping[str, Any], where: str) -> dict[str, Any]:
    if unknown := sorted(set(value) - set(members)):
        raise ShapeError(f"there is no parameter {where}{'.' * bool(where)}{unknown[0]}")
    return {
        name: of_json(members[name], item, where=f"{where}.{name}" if where else name)
        for name, item in value.items()
        if item is not None
    }


def of_body(shape: Shape | None, body: Mapping[str, Any]) -> Any:
    """Return the parameters in a REST request's JSON body; those of its path, query and headers are not among them.

    Raises
    ------
    ShapeError
        As :func:`of_json`.
    """
    if shape is None:
        return of_json(None, body)
    if payload := shape.serialization.get("payload"):
        return {payload: of_json(shape.members[payload], dict(body), where=payload)} if body else {}
    members = {
        member.serialization.get("name", name): member
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    return _of_members(members, body, "")


def blob(shape: Shape | None) -> str:
    """Return the member that is a REST request's whole body, whatever it holds; empty where the body is JSON."""
    payload = shape.serialization.get("payload") if shape is not None else None
    return payload if payload and shape.members[payload].type_name == "blob" else ""


def of_headers(shape: Shape | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that a REST request has in its headers, as text."""
    members = shape.members.items() if shape is not None else ()
    where = {name: how for name, member in members if (how := member.serialization).get("location") == "header"}
    return {name: headers[key] for name, how in where.items() if (key := how.get("name", name).lower()) in headers}


def of_fields(operation: OperationModel, protocol: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that a form's fields, such as ``SubnetId.1``, stand for.

    Raises
    ------
    ShapeError
        If a field stands for none, or its value is no number or date where it must be one.
    """
    sent = {name: value for name, value in fields.items() if name not in {"Action", "Version", *_PRESIGNED}}
    try:
        parsed = PROTOCOL_PARSERS[protocol](operation).parse({"values": sent})
        again = create_serializer(protocol, include_validation=False).serialize_to_request(parsed, operation)["body"]
    except (ValueError, TypeError, AttributeError) as error:
        raise ShapeError(f"a parameter is not what it must be: {error}") from None
    if unknown := sorted(set(sent) - set(again)):
        raise ShapeError(f"there is no parameter {unknown[0]}")
    return parsed


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before it was compressed; moto would unpack one that nobody has read.

    Raises
    ------
    ShapeError
        If it is compressed in another way than its encoding says, or too large.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise ShapeError(f"content encoding {encoding}")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpacking.decompress(body, _MOST_UNPACKED)
    except zlib.error as error:
        raise ShapeError(f"the body is not what its encoding says: {error}") from None
    if not unpacking.eof or unpacking.unused_data:
        raise ShapeError("the body is not one compressed whole, or too long")
    return plain


def check_rest(operation: OperationModel, *, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Return if an operation knows every argument and, of S3, every ``x-amz-`` header of a request.

    Raises
    ------
    ShapeError
        If there is one that it does not know.
    """
    shape = operation.input_shape
    located = [(name, member.serialization) for name, member in (shape.members.items() if shape else ())]
    fixed = {pair.partition("=")[0] for pair in operation.http["requestUri"].partition("?")[2].split("&")}
    arguments = {how.get("name", name) for name, how in located if how.get("location") == "querystring"}
    free = any(how.get("location") == "querystring" and shape.members[n].type_name == "map" for n, how in located)
    if (unknown := sorted(set(query) - fixed - arguments - set(_S3_QUERY))) and not free:
        raise ShapeError(f"there is no parameter {unknown[0]}")
    if operation.service_model.service_name != "s3":
        return
    known = {how.get("name", name).lower() for name, how in located if how.get("location") == "header"}
    known |= {f"x-amz-{name}" for name in _S3_HEADERS}
    prefixes = ("x-amz-meta-", "x-amz-checksum-", "x-amz-sdk-")
    for name in sorted(headers):
        if name.startswith("x-amz-") and name not in known and not name.startswith(prefixes):
            raise ShapeError(f"there is no parameter {name}")
