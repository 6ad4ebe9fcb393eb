"""The three patches that clients send: JSON merge patch, strategic merge patch and JSON patch.

Source: RFC 7396, RFC 6902; Kubernetes community, "Strategic Merge Patch" (sig-api-machinery, contributors' documents).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from embedded_aws.kubernetes.schemas import Node, Schemas

_PATCH, _RETAIN, _ORDER, _FEWER = "$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/"


class PatchError(Exception):
    """A patch cannot be applied; says why."""


def merge(value: Any, patch: Any) -> Any:
    """Return what a JSON merge patch makes of a value.

    >>> merge({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4}})
    {'b': {'c': 4, 'd': 3}}
    """
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(value) if isinstance(value, Mapping) else {}
    for name, inner in patch.items():
        if inner is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), inner)
    return merged


def strategic(value: Any, patch: Any, node: Node | None, schemas: Schemas) -> Any:
    """Return what a strategic merge patch makes of a value: lists are merged by the key that the schema names.

    Raises
    ------
    PatchError
        If an item has no such key, or a directive is unknown.
    """
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    directive = patch.get(_PATCH)
    if directive == "delete":
        return {}
    if directive not in (None, "replace", "merge"):
        raise PatchError(f"Unknown patch type found: {directive}")
    merged: dict[str, Any] = dict(value) if isinstance(value, Mapping) and directive != "replace" else {}
    if _RETAIN in patch:
        merged = {name: inner for name, inner in merged.items() if name in patch[_RETAIN]}
    for name, inner in patch.items():
        if name.startswith(_FEWER):
            field = name.removeprefix(_FEWER)
            merged[field] = [item for item in merged.get(field) or [] if item not in inner]
        elif name.startswith("$"):
            pass  # said what to do with the rest
        elif inner is None or (isinstance(inner, Mapping) and inner.get(_PATCH) == "delete"):
            merged.pop(name, None)
        elif isinstance(inner, list):
            merged[name] = _lists(merged.get(name) or [], inner, schemas.child(node, name), schemas)
        else:
            merged[name] = strategic(merged.get(name), inner, schemas.child(node, name), schemas)
    return _in_order(merged, patch, node, schemas)


def _in_order(merged: dict[str, Any], patch: Mapping[str, Any], node: Node | None, schemas: Schemas) -> dict[str, Any]:
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if field != name and field in merged:
            merged[field] = _ordered(merged[field], order, schemas.child(node, field))
    return merged


def _lists(value: list[Any], patch: list[Any], node: Node | None, schemas: Schemas) -> list[Any]:
    rule = node or {}
    if "merge" not in rule.get("x-kubernetes-patch-strategy", "").split(","):
        return copy.deepcopy(patch)
    if any(isinstance(item, Mapping) != (rule.get("x-kubernetes-patch-merge-key") is not None) for item in patch):
        raise PatchError("the items of the patch are not of the list's type")
    inner, key = schemas.items(node), rule.get("x-kubernetes-patch-merge-key")
    if key is None:
        return [*value, *(item for item in patch if item not in value)]
    merged = [] if any(item.get(_PATCH) == "replace" for item in patch) else list(value)
    for item in patch:
        if item.get(_PATCH) == "replace":
            continue
        if key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {key}")
        where = next((at for at, one in enumerate(merged) if one.get(key) == item[key]), None)
        if item.get(_PATCH) == "delete":
            merged = [one for one in merged if one.get(key) != item[key]]
        elif where is None:
            merged.append(strategic({}, item, inner, schemas))
        else:
            merged[where] = strategic(merged[where], item, inner, schemas)
    return merged


def _ordered(value: list[Any], order: list[Any], node: Node | None) -> list[Any]:
    key = (node or {}).get("x-kubernetes-patch-merge-key")
    names = [item.get(key) if isinstance(item, Mapping) else item for item in order]

    def place(item: Any) -> int:
        name = item.get(key) if isinstance(item, Mapping) else item
        return names.index(name) if name in names else len(names)

    return sorted(value, key=place)


def json_patch(value: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Return what a JSON patch makes of a value.

    Raises
    ------
    PatchError
        If a path is not there, a test fails or an operation is none.

    >>> json_patch({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}, {"op": "test", "path": "/a/0", "value": 1}])
    {'a': [1, 2]}
    """
    document = copy.deepcopy(value)
    for operation in operations:
        if not isinstance(operation, Mapping) or not isinstance(operation.get("path"), str):
            raise PatchError("an operation without its path")
        name, path = operation.get("op"), _steps(operation.get("path", ""))
        if name == "add":
            document = _put(document, path, copy.deepcopy(operation.get("value")))
        elif name == "remove":
            _take(document, path)
        elif name == "replace":
            _take(document, path)
            document = _put(document, path, copy.deepcopy(operation.get("value")))
        elif name == "test":
            if _look(document, path) != operation.get("value"):
                raise PatchError(f"testing value {operation.get('path')} failed: test failed")
        elif name in ("copy", "move"):
            start = _steps(operation.get("from", ""))
            moved = copy.deepcopy(_look(document, start))
            if name == "move":
                _take(document, start)
            document = _put(document, path, moved)
        else:
            raise PatchError(f"Unexpected kind: {name}")
    return document


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise PatchError(f"invalid path: {path}")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _look(document: Any, path: list[str]) -> Any:
    for step in path:
        try:
            document = document[int(step)] if isinstance(document, list) else document[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise PatchError(f"the path /{'/'.join(path)} does not exist: missing value") from None
    return document


def _put(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    holder = _look(document, path[:-1])
    if isinstance(holder, list):
        if path[-1] != "-" and not (path[-1].isdigit() and int(path[-1]) <= len(holder)):
            raise PatchError(f"Unable to access invalid index: {path[-1]}")
        holder.insert(len(holder) if path[-1] == "-" else int(path[-1]), value)
    elif isinstance(holder, dict):
        holder[path[-1]] = value
    else:
        raise PatchError(f"add operation does not apply: doc is missing path: /{'/'.join(path)}: missing value")
    return document


def _take(document: Any, path: list[str]) -> None:
    _look(document, path)
    if path:
        holder = _look(document, path[:-1])
        del holder[int(path[-1]) if isinstance(holder, list) else path[-1]]
