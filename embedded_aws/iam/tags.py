"""Tags as condition keys: those that a request gives or takes away, and those of what it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends
from moto.sagemaker.models import sagemaker_backends

from embedded_aws.iam.calls import Call
from embedded_aws.iam.keys import TAGGED

Values = dict[str, tuple[str, ...]]


def requested(call: Call) -> dict[str, str]:
    """Return the tags that a request gives."""
    found: dict[str, str] = {}
    for tags in _given(call.parameters):
        found |= tags if isinstance(tags, Mapping) else {}
        for tag in tags if isinstance(tags, list) else []:
            key = tag.get("Key") or tag.get("TagKey") or tag.get("key")
            found[str(key)] = str(tag.get("Value") or tag.get("TagValue") or tag.get("value") or "")
    return found


def _given(parameters: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in parameters.items():
        if name.lower() == "tags":
            yield value
        elif name == "TagSpecifications":
            yield from (one.get("Tags", []) for one in value)


def in_request(call: Call) -> Values:
    """Return ``aws:RequestTag/...`` and ``aws:TagKeys``."""
    pairs = requested(call)
    taken = next((value for name, value in call.parameters.items() if name.lower() == "tagkeys"), [])
    names = (*pairs, *taken)
    found: Values = {"aws:tagkeys": names} if names else {}
    return found | {f"aws:requesttag/{key.lower()}": (value,) for key, value in pairs.items()}


def of_resource(arn: str) -> Values:
    """Return ``aws:ResourceTag/...``, and the service's own name for it, of something that is there."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] not in TAGGED or not parts[4].isdigit():
        return {}
    pairs: Mapping[str, str] = {}
    with suppress(ServiceException, KeyError, AttributeError):
        pairs = _OF[parts[2]](parts[3], parts[4], arn, parts[5]) if parts[2] in _OF else {}
    named = {
        f"{service}:resourcetag/{key.lower()}": (value,)
        for key, value in pairs.items()
        for service in ("aws", parts[2])
    }
    return named


def _pairs(tags: Any) -> dict[str, str]:
    items = tags.values() if isinstance(tags, Mapping) else tags or []
    return {tag["Key"]: tag["Value"] for tag in items}


def _of_iam(_: str, account: str, arn: str, name: str) -> Mapping[str, str]:
    iam = iam_backends[account]["aws"]
    kind, name = name.partition("/")[0], name.rpartition("/")[2]
    if kind == "user":
        return _pairs(iam.list_user_tags(name))
    if kind == "role":
        return _pairs(iam.get_role(name).tags)
    return _pairs(iam.managed_policies[arn].tags) if kind == "policy" else {}


def _of_logs(region: str, account: str, _: str, name: str) -> Mapping[str, str]:
    group = name.split(":")[1]
    found = logs_backends[account][region]
    return found.tagger.get_tag_dict_for_resource(found.groups[group].arn)


def _of_kms(region: str, account: str, _: str, name: str) -> Mapping[str, str]:
    return kms_backends[account][region].tagger.get_tag_dict_for_resource(name.removeprefix("key/"))


def _of_sagemaker(region: str, account: str, arn: str, name: str) -> Mapping[str, str]:
    kind = name.partition("/")[0].replace("-", "_")
    owner = sagemaker_backends[account][region]
    things = getattr(owner, f"{kind}s", {})
    return next((_pairs(one.tags) for one in things.values() if one.arn.lower() == arn.lower()), {})


_OF = {
    "ec2": lambda region, account, _, name: ec2_backends[account][region].tags[name.rpartition("/")[2]],
    "iam": _of_iam,
    "kms": _of_kms,
    "logs": _of_logs,
    "sagemaker": _of_sagemaker,
}
