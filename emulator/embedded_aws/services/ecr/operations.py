"""The operations of ECR, by name."""

from __future__ import annotations

from collections.abc import Mapping

from embedded_aws.services.ecr import images, layers, repositories
from embedded_aws.services.ecr.requests import Operation

OPERATIONS: Mapping[str, Operation] = {
    "BatchCheckLayerAvailability": layers.check,
    "BatchDeleteImage": images.delete,
    "BatchGetImage": images.get,
    "CompleteLayerUpload": layers.complete,
    "CreateRepository": repositories.create,
    "DeleteLifecyclePolicy": repositories.delete_lifecycle,
    "DeleteRepository": repositories.delete,
    "DeleteRepositoryPolicy": repositories.delete_policy,
    "DescribeImages": images.describe,
    "DescribeRepositories": repositories.describe,
    "GetAuthorizationToken": repositories.authorize,
    "GetDownloadUrlForLayer": layers.url,
    "GetLifecyclePolicy": repositories.get_lifecycle,
    "GetRepositoryPolicy": repositories.get_policy,
    "InitiateLayerUpload": layers.initiate,
    "ListImages": images.enlist,
    "ListTagsForResource": repositories.tags_of,
    "PutImage": images.put,
    "PutImageScanningConfiguration": repositories.put_scanning,
    "PutImageTagMutability": repositories.put_mutability,
    "PutLifecyclePolicy": repositories.put_lifecycle,
    "SetRepositoryPolicy": repositories.set_policy,
    "TagResource": repositories.tag,
    "UntagResource": repositories.untag,
    "UploadLayerPart": layers.upload_part,
}
