"""KMS keys and their aliases."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, pick, truth

_FOREVER = ("KeySpec", "KeyUsage", "MultiRegion")
_WINDOW = 30  # days between the wish to delete a key and its end


def _tags(tags: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
    return [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tags] if tags else None


class Key(ResourceType):
    """``AWS::KMS::Key``."""

    name = "AWS::KMS::Key"
    mutable = (*_FOREVER, "Description", "KeyPolicy", "EnableKeyRotation", "Enabled", "PendingWindowInDays")
    attributes = ("Arn", "KeyId")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the key."""
        request = pick(p, "Description", "KeySpec", "KeyUsage", "MultiRegion", Policy="KeyPolicy")
        response = scene.call("kms", "create_key", **request, Tags=_tags(scene.tags(p)))
        scene.made(response["KeyMetadata"]["KeyId"])
        self._switch(scene, p, {})

    def check_change(self, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Refuse what would need another key, as AWS does, so that nobody loses a key by replacing it."""
        for name in _FOREVER:
            if p.get(name) != old.get(name):
                raise ResourceError(f"You cannot change {name} of a KMS key: make a new key under another logical id.")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set description, policy, rotation and tags."""
        key = {"KeyId": scene.resource.physical_id}
        if p.get("Description") != old.get("Description"):
            scene.call("kms", "update_key_description", **key, Description=p.get("Description", ""))
        if p.get("KeyPolicy") != old.get("KeyPolicy") and p.get("KeyPolicy"):
            scene.call("kms", "put_key_policy", **key, PolicyName="default", Policy=p["KeyPolicy"])
        self._switch(scene, p, old)
        kept = {tag["Key"] for tag in p.get("Tags") or []}
        if gone := [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
            scene.call("kms", "untag_resource", **key, TagKeys=gone)
        if p.get("Tags") != old.get("Tags"):
            scene.call("kms", "tag_resource", **key, Tags=_tags(scene.tags(p)))

    def _switch(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        key = {"KeyId": scene.resource.physical_id}
        for name, yes, no, default in (
            ("Enabled", "enable_key", "disable_key", True),
            ("EnableKeyRotation", "enable_key_rotation", "disable_key_rotation", False),
        ):
            if truth(p.get(name, default)) != truth(old.get(name, default)):
                scene.call("kms", yes if truth(p.get(name, default)) else no, **key)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Have the key deleted after the window."""
        days = p.get("PendingWindowInDays", _WINDOW)
        try:
            scene.call("kms", "schedule_key_deletion", KeyId=scene.resource.physical_id, PendingWindowInDays=days)
        except ClientError as error:
            if "pending deletion" not in str(error):  # somebody was faster
                raise

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return id and ARN."""
        metadata = scene.call("kms", "describe_key", KeyId=scene.resource.physical_id)["KeyMetadata"]
        return {"Arn": metadata["Arn"], "KeyId": metadata["KeyId"]}


class Alias(ResourceType):
    """``AWS::KMS::Alias``."""

    name = "AWS::KMS::Alias"
    fixed = ("AliasName",)
    mutable = ("TargetKeyId",)
    required = ("AliasName", "TargetKeyId")
    named_by = "AliasName"

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the alias."""
        scene.call("kms", "create_alias", **p)
        scene.made(p["AliasName"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Lead the alias to another key."""
        scene.call("kms", "update_alias", **p)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the alias."""
        scene.call("kms", "delete_alias", AliasName=scene.resource.physical_id)
