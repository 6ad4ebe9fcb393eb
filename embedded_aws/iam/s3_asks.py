"""What S3 calls ask permission for.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon S3".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree

from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, FakeKey, s3_backends

from embedded_aws.iam.calls import Call, CallError
from embedded_aws.iam.policy import Ask

# Only operations whose action has another name.
_S3_ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectAttributes": "GetObject",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "SelectObjectContent": "GetObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
_VERSIONED = {
    "GetObject",
    "DeleteObject",
    "GetObjectAcl",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObjectTagging",
}
_S3_KEYS = {"Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "MaxKeys": "s3:max-keys", "VersionId": "s3:versionid"}
_S3_HEADERS = (
    "x-amz-acl",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-copy-source",
    "x-amz-content-sha256",
)

_SOURCE = re.compile(
    r"/?(?P<bucket>[a-z0-9][a-z0-9.-]*)/(?P<key>[^?#;\s]+)(\?versionId=(?P<version>[\w.~-]+))?", re.ASCII
)


def s3_asks(call: Call, account: str) -> Iterator[Ask]:
    parameters = call.parameters
    name, key = parameters.get("Bucket"), parameters.get("Key")
    action = _S3_ACTIONS.get(call.operation, call.operation)
    if action in _VERSIONED and "VersionId" in parameters:
        action += "Version" if not action.endswith(("Acl", "Tagging")) else ""
        action = re.sub("Object(Acl|Tagging)$", r"ObjectVersion\1", action)
    bucket = find_bucket(name) if name else None
    context = {_S3_KEYS[given]: (str(value),) for given, value in parameters.items() if given in _S3_KEYS}
    context |= {f"s3:{header}": (call.headers[header],) for header in _S3_HEADERS if header in call.headers}
    if action == "ListBucket":
        context.setdefault("s3:prefix", ("",))  # a listing without a prefix is one with the empty prefix
    if bucket:
        context["s3:resourceaccount"] = context["aws:resourceaccount"] = (bucket.account_id,)
    if call.operation == "DeleteObjects":
        for key, version in _keys_to_delete(call.body):
            kind = "DeleteObjectVersion" if version else "DeleteObject"
            yield Ask(f"s3:{kind}", f"arn:aws:s3:::{name}/{key}", context)
        return
    target = "*" if not name else f"arn:aws:s3:::{name}" if key is None else f"arn:aws:s3:::{name}/{key}"
    yield Ask(f"s3:{action}", target, context)
    if "x-amz-copy-source" in call.headers:
        source = _SOURCE.fullmatch(call.headers["x-amz-copy-source"])
        if source is None:  # moto would find a bucket in a whole address, too
            raise CallError("x-amz-copy-source must be BUCKET/KEY or BUCKET/KEY?versionId=ID, the key encoded")
        bucket_name, source_key, version = source["bucket"], unquote(source["key"]), source["version"]
        yield Ask(f"s3:GetObject{'Version' * bool(version)}", f"arn:aws:s3:::{bucket_name}/{source_key}", context)
        yield from _decryption(bucket_name, source_key, version, call)
    if action in ("GetObject", "GetObjectVersion") and call.operation != "HeadObject" and key:
        yield from _decryption(name, key, parameters.get("VersionId"), call)
    if action == "PutObject" and bucket:
        yield from _encryption(bucket, call)


def find_bucket(name: str) -> FakeBucket | None:
    """Return moto's bucket of this name, in whatever account; None if there is none."""
    account = s3_backends.bucket_accounts.get(name)
    return s3_backends[account[1]][account[0]].buckets.get(name) if account else None


def _keys_to_delete(body: bytes) -> Iterator[tuple[str, str | None]]:
    try:
        document = ElementTree.fromstring(body)  # noqa: S314 - expat has no external entities, and bounds others
    except ElementTree.ParseError as error:
        raise CallError(f"the body is not XML: {error}") from None
    for item in document.iter():
        if item.tag.rpartition("}")[2] == "Object":
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in item}
            if len(fields) != len(item):
                raise CallError("an object to delete has one Key")
            yield fields.get("Key", ""), fields.get("VersionId")


def _decryption(bucket: str, key: str, version: str | None, call: Call) -> Iterator[Ask]:
    found: FakeKey | None = None
    if owner := find_bucket(bucket):
        found = s3_backends[owner.account_id]["aws"].get_object(bucket, key, version_id=version)
    if found and getattr(found, "encryption", None) == "aws:kms":
        yield _kms_ask("kms:Decrypt", found.kms_key_id, owner.account_id, call)


def _encryption(bucket: FakeBucket, call: Call) -> Iterator[Ask]:
    kind = call.headers.get("x-amz-server-side-encryption")
    key = call.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if kind is None and bucket.encryption:
        rule = bucket.encryption["Rule"]
        default = (rule[0] if isinstance(rule, list) else rule)["ApplyServerSideEncryptionByDefault"]
        kind, key = default["SSEAlgorithm"], default.get("KMSMasterKeyID")
    if kind == "aws:kms":
        yield _kms_ask("kms:GenerateDataKey", key, bucket.account_id, call)


def _kms_ask(action: str, key: str | None, account: str, call: Call) -> Ask:
    via = {"kms:viaservice": (f"s3.{call.region}.amazonaws.com",), "aws:viaawsservice": ("true",)}
    return Ask(action, key_arn(key or "alias/aws/s3", account, call.region), via)


def key_arn(key: str, account: str, region: str) -> str:
    """Return the ARN of a KMS key that is named by id, ARN or alias."""
    if key.startswith("arn:") and ":key/" in key:
        return key
    alias = key.rpartition(":")[2]
    backend = kms_backends[account][region]
    if alias.startswith("alias/"):
        key = backend.get_key_id_from_alias(alias) or alias
        if key == alias:  # AWS's own keys
            return f"arn:aws:kms:{region}:{account}:{alias}"
    return f"arn:aws:kms:{region}:{account}:key/{key}"
