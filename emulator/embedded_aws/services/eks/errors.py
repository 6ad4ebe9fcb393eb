"""Errors of EKS, in its words."""

from __future__ import annotations


class EksError(Exception):
    """A request that EKS refuses."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


def not_found(message: str) -> EksError:
    """Something that a request names is not there."""
    return EksError("ResourceNotFoundException", message, status=404)


def in_use(message: str) -> EksError:
    """Something is there already, is being changed, or is needed by something else."""
    return EksError("ResourceInUseException", message, status=409)


def invalid_parameter(message: str) -> EksError:
    """A value is not one that EKS takes."""
    return EksError("InvalidParameterException", message)


def invalid_request(message: str) -> EksError:
    """A request does not fit the state of what it is about."""
    return EksError("InvalidRequestException", message)
