"""Which objects a label selector or a field selector means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from embedded_aws.kubernetes.kinds import Kind
from embedded_aws.kubernetes.refusals import Refusal

Object = dict[str, Any]
Test = Callable[[Object], bool]
_SET = re.compile(r"([^\s!=,()]+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(r"([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)")
_THERE = re.compile(r"(!?)\s*([^\s!=,()<>]+)")
_ORDER = re.compile(r"([^\s!=,()]+)\s*([<>])\s*(-?\d+)")
_FIELDS = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    ),
    "Secret": ("type",),
    "Service": ("spec.clusterIP", "spec.type"),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Job": ("status.successful",),
    "ReplicaSet": ("status.replicas",),
}  # fmt: skip


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a ``LabelSelector`` object selects these labels; none selects nothing, an empty one all.

    >>> matches({"matchLabels": {"app": "a"}}, {"app": "a", "tier": "b"}), matches(None, {})
    (True, False)
    """
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(rule["key"], rule["operator"], rule.get("values") or [], labels)
        for rule in selector.get("matchExpressions") or ()
    )


def by_labels(text: str) -> Test:
    """Return the test that a ``labelSelector`` of a query is.

    Raises
    ------
    Refusal
        400, if it is none.

    >>> by_labels("app in (a, b),!old,tier!=x")({"metadata": {"labels": {"app": "b"}}})
    True
    """
    rules = [_rule(part) for part in _parts(text)]
    return lambda value: all(
        _holds(key, operator, values, value["metadata"].get("labels") or {}) for key, operator, values in rules
    )


def by_fields(kind: Kind, text: str) -> Test:
    """Return the test that a ``fieldSelector`` of a query is.

    Raises
    ------
    Refusal
        400, if there is a field by which this kind is not selected.
    """
    rules = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part.strip())
        if match is None:
            raise Refusal(400, f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        if field not in ("metadata.name", "metadata.namespace", *_FIELDS.get(kind.name, ())):
            said = f'that match label selector "", field selector "{text}": field label not supported: {field}'
            raise Refusal(400, f'Unable to find "{kind.group_version}, Resource={kind.plural}" {said}')
        rules.append((field.split("."), operator == "!=", value))
    return lambda value: all((_at(value, path) != wanted) == negated for path, negated, wanted in rules)


def _at(value: Object, path: list[str]) -> str:
    found: Any = value
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    if path == ["source"]:
        found = value.get("source", {}).get("component")
    if isinstance(found, bool):
        return str(found).lower()
    default = {"unschedulable": "false", "hostNetwork": "false", "successful": "0", "replicas": "0"}.get(path[-1], "")
    return str(found) if found is not None else default


def _parts(text: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _rule(text: str) -> tuple[str, str, list[str]]:
    if match := _SET.fullmatch(text):
        operator = "In" if match[2] == "in" else "NotIn"
        return match[1], operator, [value.strip() for value in match[3].split(",")]
    if match := _EQUAL.fullmatch(text):
        return match[1], "NotIn" if match[2] == "!=" else "In", [match[3]]
    if match := _ORDER.fullmatch(text):
        return match[1], match[2], [match[3]]
    if match := _THERE.fullmatch(text):
        return match[2], "DoesNotExist" if match[1] else "Exists", []
    raise Refusal(400, f'unable to parse requirement: found "{text}", expected: a key, an operator and values')


def _holds(key: str, operator: str, values: list[str], labels: Mapping[str, str]) -> bool:
    there = labels.get(key)
    if operator in ("<", ">"):
        if there is None or not there.lstrip("-").isdigit():
            return False
        return int(there) < int(values[0]) if operator == "<" else int(there) > int(values[0])
    return {
        "In": there in values,
        "NotIn": there not in values,
        "Exists": there is not None,
        "DoesNotExist": there is None,
    }.get(operator, False)
