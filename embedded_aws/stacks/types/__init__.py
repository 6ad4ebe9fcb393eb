"""The resource types that stacks know, each with its properties and the API calls that make it true."""

from __future__ import annotations

from embedded_aws.stacks.types import endpoints, iam, kms, logs, network, s3, sagemaker, security
from embedded_aws.stacks.types.base import ResourceType

TYPES: dict[str, ResourceType] = {
    kind.name: kind()
    for module in (endpoints, iam, kms, logs, network, s3, sagemaker, security)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, ResourceType) and kind.name
}
