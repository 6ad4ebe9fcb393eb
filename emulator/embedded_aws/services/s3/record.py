"""The service record of Amazon S3."""

from __future__ import annotations

from embedded_aws.policies.grammar import BUCKET
from embedded_aws.service import ConditionKeys, Service, Writes
from embedded_aws.services.s3 import access, asks, buckets, policies, stack

S3 = Service(
    name="s3",
    asks=asks.asks,
    install=buckets.install,
    keys=ConditionKeys(
        known=r"prefix|delimiter|max-keys|versionid|x-amz-acl|x-amz-server-side-encryption(-aws-kms-key-id)?"
        r"|x-amz-storage-class|x-amz-copy-source|resourceaccount|tlsversion|signatureversion|signatureage|authtype"
        r"|x-amz-content-sha256|locationconstraint"
    ),
    policy_of=policies.of_request,
    owner_of=policies.owner,
    also_asks=access.missing,
    may_delete_some=frozenset({"DeleteObjects"}),
    cut_off=access.cut_off,
    check=lambda call, _: access.check(call),
    writes={"PutBucketPolicy": Writes("", BUCKET)},
    check_policy=policies.check,
    rewrite_policies=policies.rewrite,
    types=(stack.Bucket, stack.BucketPolicy),
)
