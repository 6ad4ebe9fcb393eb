"""Tags as condition keys: those that a request gives or takes away, and those of what it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from moto.core.exceptions import ServiceException

from embedded_aws import service
from embedded_aws.gate.calls import Call

Values = dict[str, tuple[str, ...]]


def requested(call: Call) -> dict[str, str]:
    """Return the tags that a request gives."""
    values: dict[str, str] = {}
    for tags in _given(call.parameters):
        values |= tags if isinstance(tags, Mapping) else {}
        for tag in tags if isinstance(tags, list) else []:
            key = tag.get("Key") or tag.get("TagKey") or tag.get("key")
            values[str(key)] = str(tag.get("Value") or tag.get("TagValue") or tag.get("value") or "")
    return values


def _given(parameters: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in parameters.items():
        if name.lower() == "tags":
            yield value
        elif name == "TagSpecifications":
            yield from (specification.get("Tags", []) for specification in value)


def in_request(call: Call) -> Values:
    """Return ``aws:RequestTag/...`` and ``aws:TagKeys``."""
    pairs = requested(call)
    taken = next((value for name, value in call.parameters.items() if name.lower() == "tagkeys"), [])
    names = (*pairs, *taken)
    context: Values = {"aws:tagkeys": names} if names else {}
    return context | {f"aws:requesttag/{key.lower()}": (value,) for key, value in pairs.items()}


def of_resource(arn: str) -> Values:
    """Return ``aws:ResourceTag/...``, and the service's own name for it, of something that is there."""
    parts = arn.split(":", 5)
    owner = service.served().get(parts[2]) if len(parts) == 6 else None
    if owner is None or owner.tags is None or not parts[4].isdigit():
        return {}
    tags: Mapping[str, str] = {}
    with suppress(ServiceException, KeyError, AttributeError):
        tags = owner.tags(parts[3], parts[4], arn, parts[5])
    return {
        f"{prefix}:resourcetag/{key.lower()}": (value,) for key, value in tags.items() for prefix in ("aws", owner.name)
    }


def pairs(tags: Any) -> dict[str, str]:
    """Return tags as moto keeps them, a list or a mapping of ``{"Key": ..., "Value": ...}``, by key."""
    items = tags.values() if isinstance(tags, Mapping) else tags or []
    return {tag["Key"]: tag["Value"] for tag in items}
