"""Error codes of CloudFormation's API."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ValidationError(ServiceException):
    """The request, the template or a parameter is wrong; nothing has been changed."""

    code = "ValidationError"


class AlreadyExists(ServiceException):
    """A stack or change set has this name."""

    code = "AlreadyExistsException"


class InsufficientCapabilities(ServiceException):
    """The template makes IAM resources, and the caller has not said that this is meant."""

    code = "InsufficientCapabilitiesException"


class ChangeSetNotFound(ServiceException):
    """No such change set."""

    code = "ChangeSetNotFound"


class InvalidChangeSetStatus(ServiceException):
    """The change set is not one that can be executed."""

    code = "InvalidChangeSetStatus"


class ResourceError(Exception):
    """A resource cannot be made, changed or deleted; the text is its ``ResourceStatusReason``."""
