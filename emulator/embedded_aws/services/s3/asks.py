"""Permissions that S3 calls need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon S3".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import unquote
from xml.etree import ElementTree

from moto.s3.models import FakeBucket, FakeKey, FakeMultipart, s3_backends

from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask
from embedded_aws.services.kms.asks import via

# Only operations whose action has another name.
_S3_ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}
_VERSIONED = {"GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging"}
_S3_KEYS = {"Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "MaxKeys": "s3:max-keys", "VersionId": "s3:versionid"}
_S3_HEADERS = (
    "x-amz-acl",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-copy-source",
    "x-amz-content-sha256",
)

_WITH_HEADER = {
    "Bucket": {"x-amz-object-ownership": "PutBucketOwnershipControls"},
    "Object": {"x-amz-tagging": "PutObjectTagging"},
}
_BY_KMS = ("aws:kms", "aws:kms:dsse")
SOURCE = re.compile(
    r"/?(?P<bucket>[a-z0-9][a-z0-9.-]*)/(?P<key>[^?#;\s]+)(\?versionId=(?P<version>[\w.~-]+))?", re.ASCII
)


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of S3 asks for, and what S3 asks of KMS for it."""
    parameters = call.parameters
    name, key = parameters.get("Bucket"), parameters.get("Key")
    action = _S3_ACTIONS.get(call.operation, call.operation)
    if action in _VERSIONED and "VersionId" in parameters:
        action = action.replace("Object", "ObjectVersion")
    bucket = find_bucket(name) if name else None
    _check_owner(bucket, call.headers.get("x-amz-expected-bucket-owner"))
    upload = _upload(bucket, call)
    context = _context(call, action, upload)
    if call.operation == "DeleteObjects":
        for key, version in keys_to_delete(call.body):
            kind = "DeleteObjectVersion" if version else "DeleteObject"
            yield Ask(f"s3:{kind}", f"arn:aws:s3:::{name}/{key}", context)
        return
    target = "*" if not name else f"arn:aws:s3:::{name}" if key is None else f"arn:aws:s3:::{name}/{key}"
    yield Ask(f"s3:{action}", target, context)
    for dependent in _dependent(call):
        yield Ask(f"s3:{dependent}", target, context)
    if "x-amz-copy-source" in call.headers:
        source = SOURCE.fullmatch(call.headers["x-amz-copy-source"])
        if source is None:  # moto would find a bucket in a whole address, too
            raise CallError("x-amz-copy-source must be BUCKET/KEY or BUCKET/KEY?versionId=ID, the key encoded")
        bucket_name, source_key, version = source["bucket"], unquote(source["key"]), source["version"]
        _check_owner(find_bucket(bucket_name), call.headers.get("x-amz-source-expected-bucket-owner"))
        yield Ask(f"s3:GetObject{'Version' * bool(version)}", f"arn:aws:s3:::{bucket_name}/{source_key}", context)
        yield from _decryption(bucket_name, source_key, version, call)
    if action in ("GetObject", "GetObjectVersion") and call.operation != "HeadObject" and key:
        yield from _decryption(name, key, parameters.get("VersionId"), call)
    if action == "PutObject" and bucket:
        yield from _encryption(bucket, upload, call)


def _check_owner(bucket: FakeBucket | None, expected: str | None) -> None:
    if bucket and expected and bucket.account_id != expected:
        raise CallError(f"the bucket {bucket.name} is not one of account {expected}", reason="denied")


def _context(call: Call, action: str, upload: FakeMultipart | None) -> dict[str, tuple[str, ...]]:
    context = {_S3_KEYS[name]: (str(value),) for name, value in call.parameters.items() if name in _S3_KEYS}
    context |= {f"s3:{header}": (call.headers[header],) for header in _S3_HEADERS if header in call.headers}
    if upload and upload.sse_encryption:  # the parts are encrypted as the upload was begun
        context["s3:x-amz-server-side-encryption"] = (upload.sse_encryption,)
        if upload.kms_key_id:
            context["s3:x-amz-server-side-encryption-aws-kms-key-id"] = (upload.kms_key_id,)
    if action == "ListBucket":
        context.setdefault("s3:prefix", ("",))  # a listing without a prefix is one with the empty prefix
    if call.operation == "CreateBucket":
        places = texts(call.body, "LocationConstraint")
        context |= {"s3:locationconstraint": tuple(places[:1])} if places else {}
    moment = call.fields.get("X-Amz-Date") if call.presigned else call.headers.get("x-amz-date")
    age = datetime.now(UTC) - datetime.strptime(moment or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return context | {
        "s3:authtype": ("REST-QUERY-STRING" if call.presigned else "REST-HEADER",),
        "s3:signatureversion": ("AWS4-HMAC-SHA256",),
        "s3:signatureage": (str(max(0, int(age.total_seconds() * 1000))),),
    }


def _dependent(call: Call) -> Iterator[str]:
    """Yield what a call needs beside its own action, for headers that do what other calls do."""
    kind = "Bucket" if call.operation == "CreateBucket" else "Object"
    if call.operation not in ("CreateBucket", "PutObject", "CopyObject", "CreateMultipartUpload"):
        return
    if "x-amz-acl" in call.headers or any(name.startswith("x-amz-grant-") for name in call.headers):
        yield f"Put{kind}Acl"
    yield from (action for header, action in _WITH_HEADER[kind].items() if header in call.headers)


def _upload(bucket: FakeBucket | None, call: Call) -> FakeMultipart | None:
    """Return the multipart upload that a call belongs to."""
    return bucket.multiparts.get(call.parameters.get("UploadId")) if bucket else None


def find_bucket(name: str) -> FakeBucket | None:
    """Return moto's bucket of this name, in whatever account; None if there is none."""
    account = s3_backends.bucket_accounts.get(name)
    return s3_backends[account[1]][account[0]].buckets.get(name) if account else None


def keys_to_delete(body: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield key and version of every object that a body names.

    Raises
    ------
    CallError
        If it is no XML, or names an object twice over.
    """
    for item in _xml(body).iter():
        if item.tag.rpartition("}")[2] == "Object":
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in item}
            if len(fields) != len(item):
                raise CallError("an object to delete has one Key")
            yield fields.get("Key", ""), fields.get("VersionId")


def _xml(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - expat has no external entities, and bounds others
    except ElementTree.ParseError as error:
        raise CallError(f"the body is not XML: {error}") from None


def texts(body: bytes, name: str) -> list[str]:
    """Return the texts of all elements of a name in a body of XML."""
    return [item.text or "" for item in _xml(body).iter() if item.tag.rpartition("}")[2] == name] if body else []


def _decryption(bucket: str, key: str, version: str | None, call: Call) -> Iterator[Ask]:
    s3_object: FakeKey | None = None
    if owner := find_bucket(bucket):
        s3_object = s3_backends[owner.account_id]["aws"].get_object(bucket, key, version_id=version)
    if s3_object and getattr(s3_object, "encryption", None) in _BY_KMS:
        yield via("s3", "kms:Decrypt", s3_object.kms_key_id, owner.account_id, call)


def _encryption(bucket: FakeBucket, upload: FakeMultipart | None, call: Call) -> Iterator[Ask]:
    kind = call.headers.get("x-amz-server-side-encryption")
    key = call.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if kind is None and upload:
        kind, key = upload.sse_encryption, upload.kms_key_id
    if kind is None and bucket.encryption:
        rule = bucket.encryption["Rule"]
        default = (rule[0] if isinstance(rule, list) else rule)["ApplyServerSideEncryptionByDefault"]
        kind, key = default["SSEAlgorithm"], default.get("KMSMasterKeyID")
    if kind in _BY_KMS:
        action = "kms:Decrypt" if call.operation == "CompleteMultipartUpload" else "kms:GenerateDataKey"
        yield via("s3", action, key, bucket.account_id, call)
