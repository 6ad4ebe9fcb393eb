"""Permissions that calls of ECR need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for Amazon Elastic Container
Registry"; ECR user guide, "Encryption at rest" (kms:CreateGrant and kms:DescribeKey of who creates a repository).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from embedded_aws.gate import tags
from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

# What a repository's policy can let another account do. Source: ECR user guide, "Private repository policies".
LENT = frozenset(
    {
        "BatchCheckLayerAvailability", "BatchDeleteImage", "BatchGetImage", "CompleteLayerUpload", "DescribeImages",
        "DescribeRepositories", "GetDownloadUrlForLayer", "GetLifecyclePolicy", "GetRepositoryPolicy",
        "InitiateLayerUpload", "ListImages", "ListTagsForResource", "PutImage", "UploadLayerPart",
    }
)  # fmt: skip
_KEY = re.compile(r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", re.ASCII)


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call asks for."""
    p, context = call.parameters, tags.in_request(call)
    if call.operation == "GetAuthorizationToken":
        yield Ask(call.action, "*", context)
        return
    registry = f"arn:aws:ecr:{call.region}:{p.get('registryId', caller.account)}:repository"
    named = [f"{registry}/{name}" for name in p.get("repositoryNames", [p.get("repositoryName", "*")]) or ["*"]]
    for resource in [p["resourceArn"]] if "resourceArn" in p else named:
        yield Ask(call.action, resource, context)
    if call.operation == "CreateRepository":
        if tags.requested(call):
            yield Ask("ecr:TagResource", named[0], context)
        if _KEY.fullmatch(key := p.get("encryptionConfiguration", {}).get("kmsKey", "")):
            for action in ("CreateGrant", "DescribeKey"):
                via = {"kms:viaservice": (f"ecr.{call.region}.amazonaws.com",), "aws:viaawsservice": ("true",)}
                yield Ask(f"kms:{action}", key, via)
