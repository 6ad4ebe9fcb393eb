"""Resource types that stacks know: those of the services that are served, by name."""

from __future__ import annotations

from embedded_aws import service
from embedded_aws.stacks.resource_type import ResourceType


def known() -> dict[str, ResourceType]:
    """Return every resource type, with its properties and the API calls that make it true."""
    return {kind.name: kind() for aws_service in service.served().values() for kind in aws_service.types}
