"""Tags of clusters, and of what is made in them."""

from __future__ import annotations

from embedded_aws.services.eks import state
from embedded_aws.services.eks.errors import invalid_parameter, not_found
from embedded_aws.services.eks.requests import Answer, Asked
from embedded_aws.services.eks.state import Told

MOST = 50


def _find(asked: Asked) -> Told:
    told = state.tagged(asked.account, asked.region, asked.p["resourceArn"])
    if told is None:
        raise not_found(f"The requested resource is not found: {asked.p['resourceArn']}")
    return told


def add(asked: Asked) -> Answer:
    """TagResource."""
    tags = {**_find(asked)["tags"], **asked.p["tags"]}
    if len(tags) > MOST:
        raise invalid_parameter(f"A resource has at most {MOST} tags")
    _find(asked)["tags"] = tags
    return {}


def take(asked: Asked) -> Answer:
    """UntagResource."""
    for key in asked.p["tagKeys"]:
        _find(asked)["tags"].pop(key, None)
    return {}


def enlist(asked: Asked) -> Answer:
    """ListTagsForResource."""
    return {"tags": _find(asked)["tags"]}
