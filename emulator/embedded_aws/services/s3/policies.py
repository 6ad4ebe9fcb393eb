"""Bucket policies as S3 keeps them: who a request meets, what may be written, and where they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.s3.models import s3_backends

from embedded_aws.gate.calls import Call, CallError
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask, Policy, Request
from embedded_aws.services.s3 import bucket_policies
from embedded_aws.services.s3.asks import find_bucket

LONGEST = 20 * 1024  # bytes. Source: AWS, S3 user guide, "Policies and permissions in Amazon S3"


def of_request(request: Request) -> tuple[Policy | None, bool]:
    """Return the policy of the bucket that a request is about; in the bucket's own account it need not allow."""
    parts = request.resource.split(":", 5)
    bucket = find_bucket(parts[5].partition("/")[0]) if len(parts) == 6 else None
    if bucket is None or not bucket.policy or request.action == "s3:CreateBucket":
        return None, False
    text = bucket.policy.decode() if isinstance(bucket.policy, bytes) else bucket.policy  # as moto was given it
    return Policy.of(f"policy of bucket {bucket.name}", text), False


def owner(ask: Ask) -> str | None:
    """Return the account of a bucket; for who makes one, whose of that name there is does not matter yet."""
    bucket = find_bucket(ask.resource.split(":", 5)[5].partition("/")[0])
    return bucket.account_id if bucket and ask.action != "s3:CreateBucket" else None


def check(call: Call, text: str, document: Mapping[str, Any], principal: Principal) -> None:
    """Return if S3 takes a well-formed policy for a bucket.

    Raises
    ------
    CallError
        If it is too long, speaks of something else, or is public where that is blocked.
    """
    if len(text.encode()) > LONGEST:
        raise CallError(f"Policy exceeds the maximum allowed document size of {LONGEST} bytes", reason="policy")
    name = call.parameters["Bucket"]
    if message := bucket_policies.complaint(document, name):
        raise CallError(message, reason="policy")
    bucket = find_bucket(name)
    block = bucket.public_access_block if bucket else None
    if block and block.block_public_policy and bucket_policies.is_public(document):
        raise CallError(
            f"User: {principal.arn} is not authorized to perform: s3:PutBucketPolicy on resource: arn:aws:s3:::{name} "
            "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            reason="denied",
        )


def rewrite(change: Callable[[Any], Any]) -> None:
    """Put ``change(text)`` in the place of every bucket's policy."""
    for backends in list(s3_backends.values()):
        for bucket in backends["aws"].buckets.values():
            if bucket.policy:
                bucket.policy = change(bucket.policy)
