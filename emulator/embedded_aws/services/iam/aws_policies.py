"""Managed policies of AWS's own, from moto's copy of them: one is there as soon as somebody attaches it.

All of them would take 30 MB in every account.
"""

from __future__ import annotations

import json
import re
from typing import Any

from moto.iam.models import AWSManagedPolicy

PREFIX = "arn:aws:iam::aws:policy/"


def load(iam: Any, arn: str) -> None:
    """Put a policy of AWS into an account's IAM, if moto knows it."""
    if not arn.startswith(PREFIX) or arn in iam.managed_policies:
        return
    from moto.iam.aws_managed_policies import aws_managed_policies_data as text

    name = arn.rpartition("/")[2]
    entry = re.search(rf'"{re.escape(name)}":\s*(?={{)', text)
    if entry is None:
        return
    known, _ = json.JSONDecoder().raw_decode(text, entry.end())
    policy = AWSManagedPolicy.from_data(name, iam.account_id, iam.region_name, known)
    if policy.arn == arn:
        iam.managed_policies[arn] = policy
