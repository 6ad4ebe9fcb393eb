"""Log groups."""

from __future__ import annotations

from typing import Any

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, pick

DAYS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}


class LogGroup(ResourceType):
    """``AWS::Logs::LogGroup``."""

    name = "AWS::Logs::LogGroup"
    fixed = ("LogGroupName",)
    mutable = ("RetentionInDays", "KmsKeyId")
    named_by = "LogGroupName"
    attributes = ("Arn",)
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the group."""
        name = p.get("LogGroupName") or scene.generated(longest=512)
        tags = {tag["Key"]: tag["Value"] for tag in scene.tags(p) or []}
        scene.call("logs", "create_log_group", logGroupName=name, tags=tags, **pick(p, kmsKeyId="KmsKeyId"))
        scene.made(name)
        self._retain(scene, p)

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set retention, key and tags."""
        group = {"logGroupName": scene.resource.physical_id}
        if p.get("RetentionInDays") != old.get("RetentionInDays"):
            if p.get("RetentionInDays"):
                self._retain(scene, p)
            else:
                scene.call("logs", "delete_retention_policy", **group)
        if p.get("KmsKeyId") != old.get("KmsKeyId"):
            if p.get("KmsKeyId"):
                scene.call("logs", "associate_kms_key", **group, kmsKeyId=p["KmsKeyId"])
            else:
                scene.call("logs", "disassociate_kms_key", **group)
        kept = {tag["Key"] for tag in p.get("Tags") or []}
        if gone := [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
            scene.call("logs", "untag_log_group", **group, tags=gone)
        if p.get("Tags") != old.get("Tags"):
            tags = {tag["Key"]: tag["Value"] for tag in scene.tags(p) or []}
            scene.call("logs", "tag_log_group", **group, tags=tags)

    def _retain(self, scene: Scene, p: dict[str, Any]) -> None:
        if p.get("RetentionInDays"):
            days = p["RetentionInDays"]
            if str(days) not in map(str, DAYS):  # moto keeps events for any number of days
                raise ResourceError(f"RetentionInDays {days} is not one of {sorted(DAYS)}")
            scene.call("logs", "put_retention_policy", logGroupName=scene.resource.physical_id, retentionInDays=days)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the group."""
        scene.call("logs", "delete_log_group", logGroupName=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the ARN, which ends with ``:*`` as policies want it."""
        account, region = scene.stack.account, scene.stack.region
        return {"Arn": f"arn:aws:logs:{region}:{account}:log-group:{scene.resource.physical_id}:*"}
