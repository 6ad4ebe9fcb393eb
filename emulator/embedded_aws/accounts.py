"""Accounts of the embedded AWS, and the AWS config file whose profiles lead to them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from moto.iam.models import iam_backends

REGION = "us-east-1"
FIRST = "111122223333"
OTHERS = ("444455556666", "777788889999", "222233334444")  # account ids of AWS's own examples


def accounts(names: Sequence[str]) -> dict[str, str]:
    """Return the account ids of names, the first account's first.

    >>> accounts(["server", "client-1", "client-2", "client-3", "client-4"])["client-4"]
    '000400040004'
    """
    ids = [FIRST, *OTHERS, *(f"{number:04d}" * 3 for number in range(len(OTHERS) + 1, len(names)))]
    return dict(zip(names, ids, strict=False))


def create_admin(account: str, user: str) -> tuple[str, str]:
    """Create the account's first IAM user, who may do everything there; return key id and secret."""
    iam = iam_backends[account]["aws"]
    iam.create_user(region_name=REGION, user_name=user)
    everything = {"Sid": "FirstUser", "Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [everything]}
    iam.put_user_policy(user, "everything", json.dumps(policy))
    key = iam.create_access_key(user)
    return key.access_key_id, key.secret_access_key


def config(keys: dict[str, tuple[str, str]], *, endpoint: str, instance: str) -> str:
    """Write the AWS config file, from the access key behind every profile.

    ``instance`` tells this embedded AWS from the one that was started before it, and had other resources.

    >>> print(config({"fl-server": ("AKIA1", "secret")}, endpoint="http://127.0.0.1:1", instance="1f"))
    [profile fl-server]
    region = us-east-1
    output = json
    endpoint_url = http://127.0.0.1:1
    embedded_instance = 1f
    aws_access_key_id = AKIA1
    aws_secret_access_key = secret
    s3 =
        addressing_style = path
    <BLANKLINE>
    """
    sections = [
        f"[profile {name}]\nregion = {REGION}\noutput = json\nendpoint_url = {endpoint}\n"
        f"embedded_instance = {instance}\n"
        f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\ns3 =\n    addressing_style = path\n"
        for name, (key, secret) in keys.items()
    ]
    return "\n".join(sections)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by nobody else."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
