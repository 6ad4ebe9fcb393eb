"""ECR repositories in stacks.

Source: AWS, CloudFormation template reference, AWS::ECR::Repository.
"""

from __future__ import annotations

import json
from typing import Any

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, only, truth, unless_gone


class Repository(ResourceType):
    """``AWS::ECR::Repository``."""

    name = "AWS::ECR::Repository"
    fixed = ("EncryptionConfiguration", "RepositoryName")
    mutable = (
        "EmptyOnDelete", "ImageScanningConfiguration", "ImageTagMutability", "LifecyclePolicy", "RepositoryPolicyText",
    )  # fmt: skip
    named_by = "RepositoryName"
    attributes = ("Arn", "RepositoryUri")
    tagged = True

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse members that would not take effect."""
        super().check(properties)
        only(properties.get("EncryptionConfiguration", {}), "EncryptionType", "KmsKey")
        only(properties.get("ImageScanningConfiguration", {}), "ScanOnPush")
        only(properties.get("LifecyclePolicy", {}), "LifecyclePolicyText")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the repository, and give it its policies."""
        request: dict[str, Any] = {"imageTagMutability": p.get("ImageTagMutability"), "tags": scene.tags(p)}
        if encryption := p.get("EncryptionConfiguration"):
            request["encryptionConfiguration"] = {
                "encryptionType": encryption.get("EncryptionType"), "kmsKey": encryption.get("KmsKey"),
            }  # fmt: skip
        name = p.get("RepositoryName") or scene.generated(longest=256, lower=True)
        scene.call("ecr", "create_repository", repositoryName=name, imageScanningConfiguration=_scanning(p), **request)
        scene.made(name)
        self._policies(scene, p, {})

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change what can be changed."""
        named = {"repositoryName": scene.resource.physical_id}
        if p.get("ImageTagMutability") != old.get("ImageTagMutability"):
            wanted = p.get("ImageTagMutability", "MUTABLE")
            scene.call("ecr", "put_image_tag_mutability", **named, imageTagMutability=wanted)
        if _scanning(p) != _scanning(old):
            scene.call("ecr", "put_image_scanning_configuration", **named, imageScanningConfiguration=_scanning(p))
        self._policies(scene, p, old)
        arn = self.describe(scene, p)["Arn"]
        kept = {tag["Key"] for tag in p.get("Tags") or []}
        if gone := [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
            scene.call("ecr", "untag_resource", resourceArn=arn, tagKeys=gone)
        if p.get("Tags") != old.get("Tags") and p.get("Tags"):
            scene.call("ecr", "tag_resource", resourceArn=arn, tags=scene.tags(p, system=False))

    def _policies(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        named = {"repositoryName": scene.resource.physical_id}
        if p.get("RepositoryPolicyText") != old.get("RepositoryPolicyText"):
            if text := p.get("RepositoryPolicyText"):
                scene.call("ecr", "set_repository_policy", **named, policyText=_text(text))
            else:
                with unless_gone():
                    scene.call("ecr", "delete_repository_policy", **named)
        if p.get("LifecyclePolicy") != old.get("LifecyclePolicy"):
            if text := p.get("LifecyclePolicy", {}).get("LifecyclePolicyText"):
                scene.call("ecr", "put_lifecycle_policy", **named, lifecyclePolicyText=_text(text))
            else:
                with unless_gone():
                    scene.call("ecr", "delete_lifecycle_policy", **named)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the repository; with its images only if the template says so."""
        force = truth(p.get("EmptyOnDelete", False))
        scene.call("ecr", "delete_repository", repositoryName=scene.resource.physical_id, force=force)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and address."""
        response = scene.call("ecr", "describe_repositories", repositoryNames=[scene.resource.physical_id])
        (told,) = response["repositories"]
        return {"Arn": told["repositoryArn"], "RepositoryUri": told["repositoryUri"]}


def _scanning(p: dict[str, Any]) -> dict[str, bool]:
    return {"scanOnPush": truth(p.get("ImageScanningConfiguration", {}).get("ScanOnPush", False))}


def _text(value: Any) -> str:
    if not isinstance(value, (str, dict)):
        raise ResourceError("a policy must be an object, or text")
    return value if isinstance(value, str) else json.dumps(value)
