"""Sets of an object's fields, as ``managedFields`` writes them: which there are, and what they are in the object.

A path is a tuple of steps: ``f:name`` of a structure or map, ``k:{"name":"a"}`` of a list's item that its keys name,
``v:"a"`` of an item of a set. The path of such an item itself is a member, too. Lists and maps that the schema calls
atomic, or says nothing of, are one field.

Source: Kubernetes documentation, "Server-Side Apply"; API reference, FieldsV1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from typing import Any

from embedded_aws.kubernetes.schemas import Node, Schemas

Path = tuple[str, ...]
# The server's own, and what says which object it is.
_NOBODY = {("f:apiVersion",), ("f:kind",)} | {
    ("f:metadata", f"f:{name}")
    for name in (
        "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink",
        "deletionTimestamp", "deletionGracePeriodSeconds",
    )
}  # fmt: skip


def of(value: Any, node: Node, schemas: Schemas) -> dict[Path, Any]:
    """Return the fields of an object and what they are; an item's own value is True."""
    found = dict(_fields(value, node, schemas, ()))
    return {path: inner for path, inner in found.items() if path[:2] not in _NOBODY and path not in _NOBODY}


def _fields(value: Any, node: Node | None, schemas: Schemas, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value and not _atomic(node, schemas):
        for name, inner in value.items():
            yield from _fields(inner, schemas.child(node, name), schemas, (*path, f"f:{name}"))
    elif isinstance(value, list) and value and list_type(node) == "map":
        for item in value:
            own = (*path, item_step(item, node))
            yield own, True
            yield from _fields(item, schemas.items(node), schemas, own)
    elif isinstance(value, list) and value and list_type(node) == "set":
        for item in value:
            yield (*path, "v:" + _dumps(item)), item
    elif path:
        yield path, value


def list_type(node: Node | None) -> str:
    """Return whether a list is a ``map`` by keys, a ``set`` or ``atomic``."""
    return (node or {}).get("x-kubernetes-list-type", "atomic")


def item_step(item: Any, node: Node | None) -> str:
    """Return the step to an item of a list that is a map by keys."""
    keys = (node or {}).get("x-kubernetes-list-map-keys", ())
    # Ports may leave out the protocol, which is one of their keys.
    named = {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return "k:" + _dumps({key: value for key, value in sorted(named.items()) if value is not None})


def to_json(paths: Set[Path]) -> dict[str, Any]:
    """Write a set as FieldsV1 does.

    >>> to_json({("f:spec", "f:replicas"), ("f:a", 'k:{"name":"x"}')})
    {'f:a': {'k:{"name":"x"}': {'.': {}}}, 'f:spec': {'f:replicas': {}}}
    """
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        at = tree
        for step in path:
            at = at.setdefault(step, {})
        if path[-1].startswith("k:") or any(len(other) > len(path) and other[: len(path)] == path for other in paths):
            at["."] = {}
    return tree


def from_json(tree: dict[str, Any]) -> set[Path]:
    """Read what :func:`to_json` writes."""
    return set(_paths(tree, ()))


def _paths(tree: dict[str, Any], path: Path) -> Iterator[Path]:
    for step, below in tree.items():
        if step == ".":
            yield path
        elif not below:
            yield (*path, step)
        else:
            yield from _paths(below, (*path, step))


def shown(path: Path) -> str:
    """Write a path as conflicts name it.

    >>> shown(("f:spec", "f:containers", 'k:{"name":"a"}', "f:image"))
    '.spec.containers[name="a"].image'
    """
    text = ""
    for step in path:
        kind, _, name = step.partition(":")
        if kind == "f":
            text += f".{name}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={_dumps(value)}" for key, value in json.loads(name).items()) + "]"
        else:
            text += f"[={name}]"
    return text


def remove(value: Any, gone: Set[Path], node: Node | None, schemas: Schemas, path: Path = ()) -> Any:
    """Return a value without some of its fields; what is empty for it, goes as well."""
    if not any(one[: len(path)] == path for one in gone):
        return value
    if isinstance(value, dict) and not _atomic(node, schemas):
        left = {}
        for name, inner in value.items():
            own = (*path, f"f:{name}")
            if own in gone:
                continue
            after = remove(inner, gone, schemas.child(node, name), schemas, own)
            if after or not inner or after is False or after == 0:
                left[name] = after
        return left
    if isinstance(value, list) and list_type(node) == "map":
        steps = [((*path, item_step(item, node)), item) for item in value]
        inner_node = schemas.items(node)
        return [remove(item, gone, inner_node, schemas, own) for own, item in steps if own not in gone]
    if isinstance(value, list) and list_type(node) == "set":
        return [item for item in value if (*path, "v:" + _dumps(item)) not in gone]
    return value


def combine(live: Any, applied: Any, node: Node | None, schemas: Schemas) -> Any:
    """Return an object with what is applied put into it, field by field."""
    if isinstance(live, dict) and isinstance(applied, dict) and not _atomic(node, schemas):
        merged = dict(live)
        for name, inner in applied.items():
            merged[name] = combine(live[name], inner, schemas.child(node, name), schemas) if name in live else inner
        return merged
    if isinstance(live, list) and isinstance(applied, list) and list_type(node) == "map":
        found = {item_step(item, node): item for item in live}
        inner_node = schemas.items(node)
        steps = [item_step(item, node) for item in applied]
        mine = [
            combine(found[step], item, inner_node, schemas) if step in found else item
            for step, item in zip(steps, applied, strict=True)
        ]
        return [*mine, *(item for step, item in found.items() if step not in steps)]
    if isinstance(live, list) and isinstance(applied, list) and list_type(node) == "set":
        return [*applied, *(item for item in live if item not in applied)]
    return applied


def _atomic(node: Node | None, schemas: Schemas) -> bool:
    return node is not None and "atomic" in (
        node.get("x-kubernetes-map-type"),
        schemas.resolve(node).get("x-kubernetes-map-type"),
    )


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
