"""Waiting for what EKS makes, for stacks; and properties in the spelling of the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.functions import as_text
from embedded_aws.stacks.resource_type import Scene, is_gone

POLL_SECONDS, WAIT_SECONDS = 0.05, 45.0


def until(describe: Callable[[], dict[str, Any]], wanted: str | None, *, bad: Sequence[str] = ()) -> None:
    """Wait until something has a status; None: until it is gone.

    Raises
    ------
    ResourceError
        If it gets a status of ``bad``, or takes too long; says what EKS says of its health.
    """
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            told = describe()
        except ClientError as error:
            if wanted is None and is_gone(error):
                return
            raise
        if told["status"] == wanted:
            return
        if told["status"] in bad or time.monotonic() > give_up:
            issues = told.get("health", {}).get("issues", [])
            words = ", ".join(
                f"Issue(Code={issue['code']}, Message={issue['message']}, ResourceIds={issue.get('resourceIds', [])})"
                for issue in issues
            )
            raise ResourceError(f"[{words}] ({told['status']})" if words else f"it is still {told['status']}")
        time.sleep(POLL_SECONDS)


def lowered(value: Any) -> Any:
    """Return a property in the spelling of the API, whose names begin with small letters.

    >>> lowered({"AccessScope": {"Type": "cluster"}})
    {'accessScope': {'type': 'cluster'}}
    """
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: lowered(item) for name, item in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


def tags(scene: Scene, p: dict[str, Any], *, system: bool = True) -> dict[str, str]:
    """Return the tags that something shall have, by key."""
    return {tag["Key"]: tag["Value"] for tag in scene.tags(_listed(p), system=system) or []}


def _listed(p: dict[str, Any]) -> dict[str, Any]:
    given = p.get("Tags") or []
    if isinstance(given, dict):  # those of a node group are a map
        given = [{"Key": key, "Value": as_text(value)} for key, value in given.items()]
    return {"Tags": given}


def retag(scene: Scene, arn: str, p: dict[str, Any], old: dict[str, Any]) -> None:
    """Change tags to those of the properties."""
    new, before = tags(scene, p, system=False), tags(scene, old, system=False)
    for key in sorted(before.keys() - new.keys()):
        scene.call("eks", "untag_resource", resourceArn=arn, tagKeys=[key])
    if new and new != before:
        scene.call("eks", "tag_resource", resourceArn=arn, tags=new)
