"""Error codes of EC2 that moto does not have, in AWS's words.

Source: AWS, EC2 API reference, "Error codes"; the messages are those that its users report.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError

INVALID, INVALID_VALUE = "InvalidParameter", "InvalidParameterValue"


def refuse(code: str, message: str) -> EC2ClientError:
    """Return an error of EC2's."""
    return EC2ClientError(code, message)


def elsewhere(code: str, one: str, other: str) -> EC2ClientError:
    """Two things that must be in one VPC are in two."""
    return EC2ClientError(code, f"{one} and {other} belong to different networks.")


def in_use(kind: str, name: Any) -> DependencyViolationError:
    """Others need what shall be deleted."""
    return DependencyViolationError(f"The {kind} '{name}' has dependencies and cannot be deleted.")
