"""Service control policies: the most that an organisation lets anybody in these accounts do, whatever IAM allows.

They stand in files that are named when the embedded AWS is started, all at one level, the root of the organisation; all
accounts are members of it, none manages it. ``FullAWSAccess`` is there too while no file allows anything, as in an
organisation that only forbids.

Source: AWS, Organizations user guide, "SCP evaluation" and "SCP syntax".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from embedded_aws.policies import grammar
from embedded_aws.policies.policy import Policy

VARIABLE = "EMBEDDED_AWS_CONTROL_POLICIES"  # files, separated as in PATH
_FULL_ACCESS = {
    "Version": "2012-10-17",
    "Statement": {"Sid": "FullAWSAccess", "Effect": "Allow", "Action": "*", "Resource": "*"},
}


class ControlPolicyError(Exception):
    """A file that is no service control policy; says which and why."""


def control_policies(environ: Mapping[str, str] = os.environ) -> tuple[Policy, ...]:
    """Return the policies, none where no file is named.

    Raises
    ------
    ControlPolicyError
        If a file cannot be read, or is no such policy.
    """
    return _read(environ.get(VARIABLE, ""))


@lru_cache(maxsize=1)
def _read(paths: str) -> tuple[Policy, ...]:
    policies = []
    for path in filter(None, paths.split(os.pathsep)):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ControlPolicyError(f"control policy {path}: {error}") from error
        if complaint := grammar.complaint(text, grammar.CONTROL):
            raise ControlPolicyError(f"control policy {path}: {complaint}")
        policies.append(Policy.of(Path(path).stem, text))
    statements = [statement for policy in policies for _, statement in policy.statements()]
    if policies and all(statement["Effect"] == "Deny" for statement in statements):
        policies.append(Policy.of("FullAWSAccess", _FULL_ACCESS))
    return tuple(policies)
