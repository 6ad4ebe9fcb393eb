"""Tables, as ``kubectl get`` shows objects: the server chooses the columns.

Source: Kubernetes documentation, "API concepts", receiving resources as Tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from embedded_aws.kubernetes import columns
from embedded_aws.kubernetes.kinds import Kind

Object = dict[str, Any]


def table(kind: Kind, values: Sequence[Object], now: datetime, *, version: str, include: str = "Metadata") -> Object:
    """Return objects as a Table.

    Parameters
    ----------
    kind : Kind
    values : sequence of mapping
    now : datetime
        Ages are counted to it.
    version : str
        Of the list.
    include : str
        What each row brings of its object: ``Metadata``, ``Object`` or ``None``.
    """
    names, cells = columns.of(kind.name)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [_column(name) for name in names],
        "rows": [
            {"cells": cells(value, now), **({} if include == "None" else {"object": _row(value, include)})}
            for value in values
        ],
    }


def partial(value: Object) -> Object:
    """Return of an object only its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]}


def _column(name: str) -> Object:
    wide = name.startswith("*")
    name = name.removeprefix("*")
    form = "name" if name == "Name" else ""
    return {"name": name, "type": "string", "format": form, "description": "", "priority": int(wide)}


def _row(value: Object, include: str) -> Object:
    return value if include == "Object" else partial(value)
