"""The published schemas of Kubernetes: what fields there are, of which type, and how their lists are merged.

They are read when first asked for, once for all clusters of a version, and only what the served kinds need is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from embedded_aws.kubernetes import quantities
from embedded_aws.kubernetes.kinds import KINDS, OTHERS, Kind
from embedded_aws.kubernetes.refusals import Cause, undecodable

VERSIONS = ("1.32", "1.33", "1.34", "1.35")
Node = dict[str, Any]
_REF = "#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_QUANTITY, _INT_OR_STRING = "io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr"
_TIMES = (_META + "Time", _META + "MicroTime")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class Schemas:
    """The definitions of one version.

    Parameters
    ----------
    version : str
        Of the cluster: ``1.34``.
    """

    def __init__(self, version: str) -> None:
        folder = _package() / "kubernetes-json-schema" / f"v{version}.0-local"
        every: dict[str, Node] = json.loads((folder / "_definitions.json").read_text())["$defs"]
        names = {}
        for name, node in every.items():
            for gvk in node.get("x-kubernetes-group-version-kind", ()):
                names[gvk["group"], gvk["version"], gvk["kind"]] = name
        self._names = {kind: names[kind.group, kind.version, kind.name] for kind in (*KINDS, *OTHERS)}
        self.definitions = _reachable(every, list(self._names.values()))

    def of(self, kind: Kind) -> Node:
        """Return the schema of a kind."""
        return self.definitions[self._names[kind]]

    def name(self, kind: Kind) -> str:
        """Return the name of a kind's definition."""
        return self._names[kind]

    def resolve(self, node: Node) -> Node:
        """Return what a reference is to, or the node itself."""
        return self.definitions[node["$ref"].removeprefix(_REF)] if "$ref" in node else node

    def child(self, node: Node | None, field: str) -> Node | None:
        """Return the schema of a field; None where nothing is said of it."""
        if node is None:
            return None
        resolved = self.resolve(node)
        found = resolved.get("properties", {}).get(field)
        if found is None:
            more = resolved.get("additionalProperties")
            found = more if isinstance(more, dict) else None
        return found

    def items(self, node: Node | None) -> Node | None:
        """Return the schema of a list's items."""
        return node and self.resolve(node).get("items")

    def decode(self, kind: Kind, value: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Read an object as the server does: without nulls and unknown fields, which are returned by name.

        Raises
        ------
        Refusal
            400, if a value has another type than the field.
        """
        unknown: list[str] = []
        name = self._names[kind]
        decoded = self._read(kind, value, {"$ref": _REF + name}, _Place("", "", name.rpartition(".")[2]), unknown)
        return decoded, unknown

    def missing(self, kind: Kind, value: dict[str, Any]) -> Iterator[Cause]:
        """Yield the required fields that an object has not."""
        yield from self._missing(value, self.of(kind), "")

    def _missing(self, value: Any, node: Node, path: str) -> Iterator[Cause]:
        node = self.resolve(node)
        if isinstance(value, list) and "items" in node:
            for position, item in enumerate(value):
                yield from self._missing(item, node["items"], f"{path}[{position}]")
        elif isinstance(value, dict):
            for field in node.get("required", ()):
                # An empty name is as good as none; numbers and flags have no such thing.
                if value.get(field) is None or value[field] == "" or (field == "containers" and not value[field]):
                    yield Cause(_joined(path, field), "Required value", "FieldValueRequired")
            for field, inner in value.items():
                below = self.child(node, field)
                if below is not None and field not in ("status", "managedFields"):
                    yield from self._missing(inner, below, _joined(path, field))

    def _read(self, kind: Kind, given: Any, node: Node, at: _Place, unknown: list[str]) -> Any:
        value: Any = given
        name = node.get("$ref", "").removeprefix(_REF)
        node = self.resolve(node)
        if name == _QUANTITY and quantities.amount(value) is None:
            raise undecodable(kind, quantities.MALFORMED)
        if name in _TIMES and not (isinstance(value, str) and _TIME.fullmatch(value)):
            raise undecodable(kind, f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}"')
        if name == _QUANTITY or name.startswith(_INT_OR_STRING):
            if not any(_fits(value, one) for one in ("string", "number" if name == _QUANTITY else "integer")):
                self._wrong(kind, value, "intstr.IntOrString", at)
            return str(value) if name == _QUANTITY else value
        wanted = _type(node)
        if wanted and not _fits(value, wanted):
            self._wrong(kind, value, _go(node, name), at)
        if wanted == "array":
            inner = node.get("items", {})
            return [self._read(kind, item, inner, at.item(i), unknown) for i, item in enumerate(value)]
        if wanted == "object":
            return self._fields(kind, value, node, at.within(name), unknown)
        return _base64(kind, value) if node.get("format") == "byte" else value

    def _fields(self, kind: Kind, value: Any, node: Node, at: _Place, unknown: list[str]) -> dict[str, Any]:
        fields = {}
        for field, item in value.items():
            below = self.child(node, field)
            if below is None and "properties" in node:
                unknown.append(_joined(at.path, field))
            elif item is not None:  # null is as if it were not there
                fields[field] = self._read(kind, item, below or {}, at.field(field), unknown)
        return fields

    def _wrong(self, kind: Kind, value: Any, wanted: str, at: _Place) -> NoReturn:
        where = f"Go struct field {at.struct}.{at.bare} of type {wanted}" if at.bare else f"Go value of type {wanted}"
        raise undecodable(kind, f"json: cannot unmarshal {_json_type(value)} into {where}")


class _Place:
    """Where in an object we are: with the positions in lists, without, and in which structure."""

    def __init__(self, path: str, bare: str, struct: str) -> None:
        self.path, self.bare, self.struct = path, bare, struct

    def within(self, name: str) -> _Place:
        return _Place(self.path, self.bare, name.rpartition(".")[2] or self.struct)

    def field(self, name: str) -> _Place:
        return _Place(_joined(self.path, name), _joined(self.bare, name), self.struct)

    def item(self, position: int) -> _Place:
        return _Place(f"{self.path}[{position}]", self.bare, self.struct)


_PYTHON: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip


@lru_cache(maxsize=len(VERSIONS))
def schemas(version: str) -> Schemas:
    """Return the definitions of a version, the same for all clusters."""
    return Schemas(version)


def _package() -> Path:
    # Found but not imported: it would import jsonschema, which takes most of a second.
    found = find_spec("kubernetes_validate")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("kubernetes_validate: pip install kubernetes-validate")
    return Path(found.origin).parent


def _reachable(every: dict[str, Node], names: list[str]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = every[name]
            todo += [ref.removeprefix(_REF) for ref in _references(every[name])]
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _joined(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _type(node: Node) -> str:
    said = node.get("type", "")
    return next((name for name in said if name != "null"), "") if isinstance(said, list) else said


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "number", float: "number", list: "array", dict: "object"}.get(type(value), "null")


def _fits(value: Any, wanted: str) -> bool:
    return isinstance(value, _PYTHON[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _go(node: Node, name: str) -> str:
    wanted = _type(node)
    if name:
        return "v1." + name.rpartition(".")[2]
    if wanted == "array":
        items = node.get("items", {})
        return "[]" + _go(items, items.get("$ref", "").removeprefix(_REF))
    if wanted == "object":
        return "map[string]string"
    return {"integer": node.get("format", "int32"), "boolean": "bool", "number": "float64"}.get(wanted, wanted)


def _base64(kind: Kind, value: str) -> str:
    import base64
    import binascii

    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        bad = re.search(r"[^A-Za-z0-9+/]", value.rstrip("="))
        raise undecodable(kind, f"illegal base64 data at input byte {bad.start() if bad else len(value)}") from None
    return value
