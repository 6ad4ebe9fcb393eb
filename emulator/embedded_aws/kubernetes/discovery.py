"""What a client asks before anything else: which resources there are, which version, and what objects look like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from embedded_aws.kubernetes.kinds import KINDS, REVIEW, RULES_REVIEW, Kind
from embedded_aws.kubernetes.schemas import schemas

Object = dict[str, Any]
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_REVIEW = "authorization.k8s.io/v1"
# What comes with an object -> group, version and kind of its bodies, and what may be done.
_SUBRESOURCES: dict[str, tuple[tuple[str, str, str] | None, list[str]]] = {
    "status": (None, ["get", "patch", "update"]),
    "log": (None, ["get"]),
    "scale": (("autoscaling", "v1", "Scale"), ["get", "patch", "update"]),
    "eviction": (("policy", "v1", "Eviction"), ["create"]),
}
# The least documents that old clients take: OpenAPI 2, without a path or a definition.
_OPENAPI_2 = b"\x0a\x032.0\x12\x06\x0a\x01k\x12\x01v"
_OPENAPI_2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def answer(path: str, accept: str, version: str) -> tuple[bytes, str] | None:
    """Return the document at a path of discovery, and its media type; None for any other path.

    Parameters
    ----------
    path : str
    accept : str
        What the client takes: aggregated documents spare it a request for every group.
    version : str
        Of the cluster: ``1.34``.
    """
    if path in ("/healthz", "/livez", "/readyz"):
        return b"ok", "text/plain; charset=utf-8"
    if path == "/openapi/v2" and "protobuf" in accept:
        return _OPENAPI_2, _OPENAPI_2_TYPE
    if path.startswith("/openapi/v3/"):
        document = _openapi(version, path.removeprefix("/openapi/v3/"))
        return (document, "application/json") if document else None
    if path in ("/api", "/apis") and (form := _aggregated(accept)):
        kind = "APIGroupDiscoveryList"
        items = [_described(group) for group in _groups() if (group == "") == (path == "/api")]
        value = {"kind": kind, "apiVersion": f"apidiscovery.k8s.io/{form}", "metadata": {}, "items": items}
        return _json(value)[0], f"application/json;g=apidiscovery.k8s.io;v={form};as={kind}"
    value = _plain(path, version)
    return _json(value) if value is not None else None


def _plain(path: str, version: str) -> Object | None:
    groups = {name: _group(name) for name in _groups() if name}
    documents = {
        "/version": _version(version),
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())},
        "/openapi/v2": {"swagger": "2.0", "info": {"title": "Kubernetes", "version": f"v{version}.0"}, "paths": {}},
        "/openapi/v3": {
            "paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={version}"} for place in _places()}
        },
        **{f"/apis/{name}": {"kind": "APIGroup", "apiVersion": "v1"} | group for name, group in groups.items()},
    }
    if path in documents:
        return documents[path]
    group_version = _places().get(path.strip("/"))
    if group_version is None:
        return None
    resources = [resource for kind in KINDS if kind.group_version == group_version for resource in _resources(kind)]
    if group_version == _REVIEW:
        resources = [_review(kind) for kind in (REVIEW, RULES_REVIEW)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }


def _groups() -> list[str]:
    return [*dict.fromkeys(kind.group for kind in KINDS), _REVIEW.partition("/")[0]]


def _places() -> dict[str, str]:
    versions = dict.fromkeys([*(kind.group_version for kind in KINDS), _REVIEW])
    return {("apis/" if "/" in version else "api/") + version: version for version in versions}


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _version(version: str) -> Object:
    major, minor = version.split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "gitVersion": f"v{version}.0",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def _resources(kind: Kind) -> Iterator[Object]:
    yield {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": VERBS,
        **({"shortNames": list(kind.short)} if kind.short else {}),
        **({"categories": list(kind.categories)} if kind.categories else {}),
    }
    for name in kind.subresources:
        body, verbs = _SUBRESOURCES[name]
        other = {"group": body[0], "version": body[1]} if body else {}
        shown = body[2] if body else kind.name
        yield {
            "name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced, "kind": shown,
            "verbs": verbs, **other,
        }  # fmt: skip


def _review(kind: Kind) -> Object:
    return {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "namespaced": False,
        "kind": kind.name,
        "verbs": ["create"],
    }


def _aggregated(accept: str) -> str:
    for part in accept.split(","):
        options = {name: value for name, _, value in (option.strip().partition("=") for option in part.split(";")[1:])}
        if options.get("as") == "APIGroupDiscoveryList" and options.get("v") in ("v2", "v2beta1"):
            return options["v"]
    return ""


def _described(group: str) -> Object:
    resources = [_aggregate(kind) for kind in KINDS if kind.group == group]
    if group == _REVIEW.partition("/")[0]:
        resources = [
            {
                "resource": kind.plural,
                "responseKind": _kind(kind.group, kind.version, kind.name),
                "scope": "Cluster",
                "singularResource": kind.name.lower(),
                "verbs": ["create"],
            }
            for kind in (REVIEW, RULES_REVIEW)
        ]
    versions = [{"version": "v1", "resources": resources, "freshness": "Current"}]
    return {"metadata": {"name": group, "creationTimestamp": None}, "versions": versions}


def _aggregate(kind: Kind) -> Object:
    own = (kind.group, kind.version, kind.name)
    below = []
    for name in kind.subresources:
        body, verbs = _SUBRESOURCES[name]
        below.append({"subresource": name, "responseKind": _kind(*(body or own)), "verbs": verbs})
    return {
        "resource": kind.plural,
        "responseKind": _kind(*own),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.name.lower(),
        "verbs": VERBS,
        **({"shortNames": list(kind.short)} if kind.short else {}),
        **({"categories": list(kind.categories)} if kind.categories else {}),
        **({"subresources": below} if below else {}),
    }


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


@lru_cache(maxsize=32)
def _openapi(version: str, place: str) -> bytes | None:
    group_version = _places().get(place)
    if group_version is None:
        return None
    known = schemas(version)
    kinds = [kind for kind in KINDS if kind.group_version == group_version]
    needed: dict[str, Any] = {}
    todo = [known.name(kind) for kind in kinds]
    while todo:
        name = todo.pop()
        if name not in needed:
            found: list[str] = []
            needed[name] = _version_3(known.definitions[name], found)
            todo += found
    paths = {}
    for kind in kinds:
        space = "/namespaces/{namespace}" if kind.namespaced else ""
        gvk = _kind(kind.group, kind.version, kind.name)
        parameters = [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in ("fieldValidation", "dryRun")
        ]
        operation = {
            "x-kubernetes-group-version-kind": gvk,
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
        }
        paths[f"/{place}{space}/{kind.plural}"] = {"post": operation}
        paths[f"/{place}{space}/{kind.plural}/{{name}}"] = {"get": operation, "put": operation, "patch": operation}
    document = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": f"v{version}.0"},
        "paths": paths,
        "components": {"schemas": needed},
    }
    return json.dumps(document).encode()


def _version_3(node: Any, found: list[str]) -> Any:
    """Write a schema as OpenAPI 3.0 has it: one type each, references alone."""
    if isinstance(node, list):
        return [_version_3(item, found) for item in node]
    if not isinstance(node, dict):
        return node
    written: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str):
            name = value.rpartition("/")[2]
            found.append(name)
            reference = {"$ref": f"#/components/schemas/{name}"}
            written |= {"allOf": [reference]} if len(node) > 1 else reference
        elif key == "type" and isinstance(value, list):
            written["type"] = next(one for one in value if one != "null")
        elif key == "properties":
            written[key] = {name: _version_3(inner, found) for name, inner in value.items()}
        else:
            written[key] = _version_3(value, found)
    return written


def _json(value: Object) -> tuple[bytes, str]:
    return json.dumps(value).encode(), "application/json"
