"""Buckets and their policies."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, only, pick

_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def _encryption(value: Any) -> dict[str, Any]:
    rules = []
    for rule in only(value, "ServerSideEncryptionConfiguration").get("ServerSideEncryptionConfiguration") or []:
        only(rule, "ServerSideEncryptionByDefault", "BucketKeyEnabled")
        default = only(rule.get("ServerSideEncryptionByDefault") or {}, "SSEAlgorithm", "KMSMasterKeyID")
        rules.append({"ApplyServerSideEncryptionByDefault": default, **_some(rule, "BucketKeyEnabled")})
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _lifecycle(value: Any) -> dict[str, Any]:
    return {"LifecycleConfiguration": {"Rules": [_lifecycle_rule(r) for r in only(value, "Rules").get("Rules") or []]}}


def _lifecycle_rule(rule: Any) -> dict[str, Any]:
    days = ("ExpirationInDays", "NoncurrentVersionExpirationInDays")
    only(
        rule,
        "Id",
        "Status",
        "Prefix",
        "ExpiredObjectDeleteMarker",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
        "Transitions",
        *days,
    )
    api_rule: dict[str, Any] = {"Status": rule.get("Status"), "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        api_rule["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        api_rule["Expiration"] = {"Days": rule["ExpirationInDays"]}
    elif "ExpiredObjectDeleteMarker" in rule:
        api_rule["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    if "NoncurrentVersionExpirationInDays" in rule:
        api_rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if "Transitions" in rule:
        api_rule["Transitions"] = [
            {**_some(transition, "StorageClass"), "Days": transition.get("TransitionInDays")}
            for transition in rule["Transitions"]
            if only(transition, "StorageClass", "TransitionInDays")
        ]
    return {**api_rule, **_some(rule, "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")}


def _logging(value: Any) -> dict[str, Any]:
    only(value, "DestinationBucketName", "LogFilePrefix")
    enabled = {"TargetBucket": value.get("DestinationBucketName"), "TargetPrefix": value.get("LogFilePrefix", "")}
    return {"BucketLoggingStatus": {"LoggingEnabled": enabled}}


def _some(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}


# property: (call that sets it, its parameters, call that takes it away, that call's parameters)
_SETTINGS: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    "OwnershipControls": (
        "put_bucket_ownership_controls",
        lambda value: {"OwnershipControls": value},
        "delete_bucket_ownership_controls",
        {},
    ),
    "PublicAccessBlockConfiguration": (
        "put_public_access_block",
        lambda value: {"PublicAccessBlockConfiguration": {n: only(value, *_BLOCKS).get(n, False) for n in _BLOCKS}},
        "delete_public_access_block",
        {},
    ),
    "BucketEncryption": ("put_bucket_encryption", _encryption, "delete_bucket_encryption", {}),
    "VersioningConfiguration": (
        "put_bucket_versioning",
        lambda value: {"VersioningConfiguration": value},
        "put_bucket_versioning",
        {"VersioningConfiguration": {"Status": "Suspended"}},
    ),
    "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", _lifecycle, "delete_bucket_lifecycle", {}),
    "LoggingConfiguration": ("put_bucket_logging", _logging, "put_bucket_logging", {"BucketLoggingStatus": {}}),
}


class Bucket(ResourceType):
    """``AWS::S3::Bucket``."""

    name = "AWS::S3::Bucket"
    fixed = ("BucketName",)
    mutable = tuple(_SETTINGS)
    named_by = "BucketName"
    attributes = ("Arn", "DomainName", "RegionalDomainName")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the bucket, then every setting."""
        name = p.get("BucketName") or scene.generated(longest=63, lower=True)
        if self._taken(scene, name):
            raise ResourceError(f"{name} already exists")
        region = scene.stack.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        scene.call("s3", "create_bucket", Bucket=name, **place)
        scene.made(name)
        self._settings(scene, p, {})

    def _taken(self, scene: Scene, name: str) -> bool:
        # In us-east-1 CreateBucket of a bucket that the account has is no error.
        try:
            scene.call("s3", "head_bucket", Bucket=name)
        except ClientError:
            return False
        return True

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set what differs; what the template says no more goes back to S3's default."""
        self._settings(scene, p, old)

    def _settings(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        bucket = {"Bucket": scene.resource.physical_id}
        for name, (put, request, remove, default) in _SETTINGS.items():
            if name in p and p[name] != old.get(name):
                scene.call("s3", put, **bucket, **request(p[name]))
            elif name in old and name not in p:
                scene.call("s3", remove, **bucket, **default)
        if p.get("Tags") != old.get("Tags"):
            # S3 takes no tag that begins with aws: from anybody.
            if tags := scene.tags(p, system=False):
                scene.call("s3", "put_bucket_tagging", **bucket, Tagging={"TagSet": tags})
            else:
                scene.call("s3", "delete_bucket_tagging", **bucket)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the bucket, if it is empty."""
        scene.call("s3", "delete_bucket", Bucket=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and addresses."""
        name, region = scene.resource.physical_id, scene.stack.region
        return {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
        }


class BucketPolicy(ResourceType):
    """``AWS::S3::BucketPolicy``."""

    name = "AWS::S3::BucketPolicy"
    fixed = ("Bucket",)
    mutable = ("PolicyDocument",)
    required = ("Bucket", "PolicyDocument")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Put the policy on the bucket, unless it has one."""
        try:
            scene.call("s3", "get_bucket_policy", **pick(p, "Bucket"))
        except ClientError:
            scene.call("s3", "put_bucket_policy", Bucket=p["Bucket"], Policy=p["PolicyDocument"])
            scene.made(p["Bucket"])
        else:
            raise ResourceError(f"The bucket policy already exists on bucket {p['Bucket']}.")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Put the new policy in the place of the old."""
        scene.call("s3", "put_bucket_policy", Bucket=p["Bucket"], Policy=p["PolicyDocument"])

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Take the policy away."""
        scene.call("s3", "delete_bucket_policy", Bucket=p["Bucket"])
