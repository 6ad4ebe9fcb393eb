"""Requests to an API server and its answers, apart from how they travel, and which resource a path means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from embedded_aws.kubernetes import protobuf
from embedded_aws.kubernetes.kinds import BY_PLURAL, Kind
from embedded_aws.kubernetes.rbac import User
from embedded_aws.kubernetes.refusals import Refusal, not_served

Object = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request.

    Parameters
    ----------
    method, path : str
        The path without its query.
    query : mapping
        Each parameter once.
    headers : mapping
        Names in lower case.
    body : bytes
    user : User, optional
        Who asks, if he has said so and is known.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User | None = None

    def flag(self, name: str) -> bool:
        """Tell whether a parameter is set."""
        return self.query.get(name, "").lower() in ("true", "1", "t")

    def number(self, name: str) -> int | None:
        """Return a parameter that is a number; None if there is none."""
        text = self.query.get(name)
        try:
            return int(text) if text else None
        except ValueError:
            raise Refusal(400, f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    @property
    def content_type(self) -> str:
        """The media type of the body, without options."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def manager(self) -> str:
        """Who manages the fields that this request sets."""
        agent = self.headers.get("user-agent", "").partition("/")[0]
        return self.query.get("fieldManager") or agent or "unknown"

    def form(self) -> str:
        """Return how a client wants objects: ``Table``, ``PartialObjectMetadata`` or "" for as they are."""
        for part in self.headers.get("accept", "").split(","):
            options = _options(part)
            if not options.get("as"):
                if part.strip().startswith(("application/json", "*/*")):
                    return ""
            elif options.get("as") in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
                return options["as"].removesuffix("List")
        return ""

    def object(self) -> Object:
        """Read the body.

        Raises
        ------
        Refusal
            400 or 415, if it is no object or in no language that is read here.
        """
        if "protobuf" in self.content_type:
            return protobuf.decode(self.body)
        value = read(self.body, yaml="yaml" in self.content_type)
        if not isinstance(value, dict):
            raise Refusal(400, f"couldn't get version/kind; json parse error: {self.body[:100]!r} is no object")
        return value


@dataclass(frozen=True)
class Response:
    """One answer; the body is bytes, or pieces that come as there is something to tell, empty when there is not."""

    status: int
    body: bytes | Iterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What a path means: a kind's objects in a namespace, one of them, or what belongs to it."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def _options(part: str) -> dict[str, str]:
    pairs = [option.strip().partition("=") for option in part.split(";")[1:]]
    return {name: value for name, _, value in pairs}


def answer(value: Object, status: int = 200, warnings: tuple[str, ...] = ()) -> Response:
    """Return an object as an answer."""
    headers = {"Content-Type": "application/json"}
    if warnings:
        quoted = (text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for text in warnings)
        headers["Warning"] = ", ".join(f'299 - "{text}"' for text in quoted)
    return Response(status, json.dumps(value, separators=(",", ":")).encode() + b"\n", headers)


def read(body: bytes, *, yaml: bool = False) -> Any:
    """Read JSON, or YAML, which it is a part of.

    Raises
    ------
    Refusal
        400, if it is neither.
    """
    try:
        return json.loads(body)
    except ValueError as error:
        if not yaml:
            raise Refusal(400, f"couldn't get version/kind; json parse error: {error}") from None
    import yaml as language

    try:
        return language.safe_load(body)
    except language.YAMLError as error:
        raise Refusal(400, f"error decoding YAML: {error}") from None


@lru_cache(maxsize=512)
def target(path: str) -> Target:
    """Return what a path below ``/api`` or ``/apis`` means.

    Raises
    ------
    Refusal
        404, if there is no such resource.

    >>> target("/apis/apps/v1/namespaces/a/deployments/b/scale").subresource
    'scale'
    """
    parts = path.strip("/").split("/")
    start = 2 if parts[0] == "api" else 3
    group_version, rest = "/".join(parts[1:start]), parts[start:]
    if parts[0] not in ("api", "apis") or (parts[0] == "apis") != ("/" in group_version):
        raise not_served()
    space = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        space, rest = rest[1], rest[2:]
    kind = BY_PLURAL.get((group_version, rest[0] if rest else ""))
    if kind is None or len(rest) > 4 or (space and not kind.namespaced):
        raise not_served()
    if kind.namespaced and not space and len(rest) > 1:
        raise not_served()
    name, subresource = (*rest[1:3], "", "")[:2]
    return Target(kind, space, name, subresource)
