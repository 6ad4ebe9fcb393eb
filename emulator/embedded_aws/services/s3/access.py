"""S3's own rules beside policies: access control lists, public access blocks, and keys that are not there.

Every bucket here enforces its owner's ownership, as every new one on AWS does: lists grant nothing, and requests that
bring another one than ``bucket-owner-full-control`` fail.

Source: AWS, S3 user guide, "Controlling ownership of objects and disabling ACLs" and "Blocking public access"; S3 API
reference, GetObject, HeadObject, CopyObject.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import unquote

from moto.s3.models import FakeDeleteMarker, s3_backends

from embedded_aws.gate.calls import Call, CallError
from embedded_aws.policies.policy import Ask, Request
from embedded_aws.services.s3 import bucket_policies
from embedded_aws.services.s3.asks import SOURCE, find_bucket, texts

ENFORCED = "BucketOwnerEnforced"
_READS = ("GetObject", "HeadObject", "GetObjectTagging")


def check(call: Call) -> None:
    """Return if a call of S3 brings no access control list that its bucket does not take.

    Raises
    ------
    CallError
        If it does, or wants another ownership than that of the bucket's owner.
    """
    wanted = [call.headers.get("x-amz-object-ownership", ENFORCED)]
    if call.operation == "PutBucketOwnershipControls":
        wanted += texts(call.body, "ObjectOwnership")
    if others := set(wanted) - {ENFORCED}:
        message = f"the embedded AWS does not understand ObjectOwnership {others.pop()} of s3:{call.operation}: its "
        raise CallError(f"{message}buckets enforce their owner's ownership, and no access control list counts",
                        reason="not served")  # fmt: skip
    grants = [name for name in call.headers if name.startswith("x-amz-grant-")]
    acl = call.headers.get("x-amz-acl")
    if call.operation == "CreateBucket":
        if grants or acl not in (None, "private"):
            message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
            raise CallError(message, reason="bucket acl")
        return
    lists = call.operation in ("PutObjectAcl", "PutBucketAcl") and not acl
    if grants or lists or acl not in (None, "bucket-owner-full-control"):
        raise CallError("The bucket does not allow ACLs", reason="acl")


def missing(call: Call) -> Iterator[Ask]:
    """Yield what must be allowed, too, of who reads a key that is not there: else he is told no more than a stranger.

    The request brings no prefix: a grant of ``s3:ListBucket`` for some prefix does not hold for it.
    """
    named = []
    if call.operation in _READS and not call.parameters.get("VersionId"):
        named.append((call.parameters["Bucket"], call.parameters["Key"]))
    source = SOURCE.fullmatch(call.headers.get("x-amz-copy-source", ""))
    if source and not source["version"]:
        named.append((source["bucket"], unquote(source["key"])))
    for bucket, key in named:
        owner = find_bucket(bucket)
        s3_object = s3_backends[owner.account_id]["aws"].get_object(bucket, key) if owner else None
        if owner and (s3_object is None or isinstance(s3_object, FakeDeleteMarker)):
            yield Ask("s3:ListBucket", f"arn:aws:s3:::{bucket}")


def cut_off(request: Request) -> str | None:
    """Say why ``RestrictPublicBuckets`` keeps somebody of another account from a bucket with a public policy."""
    bucket = find_bucket(request.resource.removeprefix("arn:aws:s3:::").partition("/")[0])
    if bucket is None or bucket.account_id == request.account:
        return None
    block, policy = bucket.public_access_block, bucket.policy
    if block and block.restrict_public_buckets and policy and bucket_policies.is_public(json.loads(policy)):
        return "because the bucket's policy is public and RestrictPublicBuckets is on"
    return None
