"""Allow-list of operations (the door list): which are served, and which members of their requests are understood.

What is not in ``door.toml`` is refused by name before anybody is asked for permission: an operation that is half
done, or a member that is passed over, would answer more than is known here.

``Name`` stands for a member with everything in it, ``Name{...}`` for one of which only what stands in the braces is
understood, ``Filters(...)`` for filters by these names, ``tag:*`` among them for all that begin so. Members of S3 that
travel as headers or XML are listed by the model's names, or by those of the XML.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from botocore.model import Shape

from embedded_aws.gate.calls import Call, CallError, model_of

FILE = Path(__file__).with_name("door.toml")
_TOKEN = re.compile(r"[^\s(){}]+|[(){}]")
_EVERY = ".every"  # members that all operations of a service understand


@dataclass(frozen=True)
class Members:
    """What is understood at one place of a request: names of filters, or members and what is understood in them."""

    inside: Mapping[str, Members | None] = field(default_factory=dict)
    filters: tuple[str, ...] = ()


def check(call: Call) -> None:
    """Return if an operation is served, and every member of its request understood.

    Raises
    ------
    CallError
        If not; names the operation or the member.
    """
    service = call.service
    operations = served().get(service, {})
    name = f"{service}:{call.operation}"
    if call.operation not in operations:
        raise CallError(f"the embedded AWS does not serve {name}", reason="not served")
    request = _rest_members(call) if call.protocol == "rest-xml" else call.parameters
    if odd := next(not_understood(operations[call.operation], request), ""):
        raise CallError(f"the embedded AWS does not understand {odd} of {name}", reason="not served")


@lru_cache(maxsize=1)
def served() -> Mapping[str, Mapping[str, Members]]:
    """Return the door list: service -> operation -> members."""
    return {
        service: {name: read(f"{rows.get(_EVERY, '')} {text}") for name, text in rows.items() if name != _EVERY}
        for service, rows in table().items()
    }


def table() -> Mapping[str, Mapping[str, str]]:
    """Return the door list as it is written."""
    return tomllib.loads(FILE.read_text())


def read(text: str) -> Members:
    """Read the members of an operation.

    >>> read("VpcId Filters(vpc-id tag:*) Route{Cidr}").inside["Route"].inside
    {'Cidr': None}
    """
    tokens = iter(_TOKEN.findall(text))
    return _members(tokens)


def _members(tokens: Iterator[str]) -> Members:
    inside: dict[str, Members | None] = {}
    last = ""
    for word in tokens:
        if word == "{":
            inside[last] = _members(tokens)
        elif word == "(":
            inside[last] = Members(filters=tuple(iter(tokens.__next__, ")")))
        elif word == "}":
            break
        else:
            inside[word], last = None, word
    return Members(inside)


def not_understood(members: Members, part: Any, where: str = "") -> Iterator[str]:
    """Yield what stands in a request and is not understood, in words."""
    if isinstance(part, list):
        for item in part:
            yield from not_understood(members, item, where)
    elif members.filters:
        name = str(part.get("Name", ""))
        if not any(fnmatchcase(name, pattern) for pattern in members.filters):
            yield f"the filter {name}"
    elif isinstance(part, Mapping):
        for name, value in part.items():
            path = f"{where}.{name}" if where else name
            if name not in members.inside:
                yield f"the member {path}"
            elif members.inside[name]:
                yield from not_understood(members.inside[name], value, path)


def _rest_members(call: Call) -> dict[str, Any]:
    """Return the members of a REST request, wherever they travel."""
    shape: Shape | None = model_of(call.service).operation_model(call.operation).input_shape
    members = dict(call.parameters)
    for name, member in (shape.members if shape else {}).items():
        how = member.serialization
        if how.get("location") == "header" and how.get("name", name).lower() in call.headers:
            members[name] = call.headers[how.get("name", name).lower()]
        elif how.get("location") == "headers" and any(header.startswith(how["name"]) for header in call.headers):
            members[name] = ""
    payload = shape.serialization.get("payload") if shape else None
    if payload and call.body and shape.members[payload].type_name == "structure":
        members[payload] = _of_xml(call.body)
    return members


def _of_xml(body: bytes) -> Any:
    try:
        return _of_element(ElementTree.fromstring(body))  # noqa: S314 - expat has no external entities, and bounds others
    except ElementTree.ParseError as error:
        raise CallError(f"the body is not XML: {error}") from None


def _of_element(element: ElementTree.Element) -> Any:
    children: dict[str, list[Any]] = {}
    for child in element:
        children.setdefault(child.tag.rpartition("}")[2], []).append(_of_element(child))
    return children or (element.text or "")
