"""Service quotas: how many machines of a kind AWS lets an account have, looked at and asked for before all else.

New accounts may have none. An increase takes AWS minutes to days, and nobody else can ask for it.
Source: AWS, Service Quotas API reference; SageMaker developer guide, "Supported Regions and Quotas".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws.choices import Choices
from workshop.errors import AccountError

SAGEMAKER = {"ServiceCode": "sagemaker"}
NOTEBOOK_TYPE = "ml.t3.medium"  # of notebook-instance.yaml
# AWS's own codes; those of other types are looked up by their name.
_CODES = {"ml.m5.large for training job usage": "L-611FA074"}


@dataclass(frozen=True)
class Need:
    """A quota that an account needs, and how much of it."""

    quota: str
    at_least: int


def needed(name: str, choices: Choices) -> Need:
    """Return what an account needs: a client two machines, as a job that stops has its own for some minutes more.

    >>> needed("client-1", Choices())
    Need(quota='ml.m5.large for training job usage', at_least=2)
    """
    if name == "server":
        return Need(f"{NOTEBOOK_TYPE} for notebook instance usage", 1)
    return Need(f"{choices.instance_type} for training job usage", 2)


def value(session: boto3.Session, quota: str) -> float:
    """Return an account's value of a quota of SageMaker, or AWS's default where the account has none of its own.

    Raises
    ------
    AccountError
        If AWS does not tell.
    """
    client = session.client("service-quotas")
    try:
        asked = {**SAGEMAKER, "QuotaCode": _code(client, quota)}
        try:
            return client.get_service_quota(**asked)["Quota"]["Value"]
        except client.exceptions.NoSuchResourceException:
            return client.get_aws_default_service_quota(**asked)["Quota"]["Value"]
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"AWS does not tell the quota {quota!r}: {error}") from error


def request(session: boto3.Session, need: Need) -> str:
    """Ask AWS for as much of a quota as is needed, unless that is there or was asked for; return how it stands.

    Raises
    ------
    AccountError
        If AWS refuses.
    """
    client = session.client("service-quotas")
    try:
        asked = {**SAGEMAKER, "QuotaCode": _code(client, need.quota)}
        # What is open is looked up before the value: a request that is granted in between then shows as enough.
        earlier = client.list_requested_service_quota_change_history_by_quota(**asked)["RequestedQuotas"]
        if value(session, need.quota) >= need.at_least:
            return "there is enough"
        still_open = [entry for entry in earlier if entry["Status"] in ("PENDING", "CASE_OPENED")]
        if still_open:
            return f"asked for already ({still_open[0]['Status']})"
        response = client.request_service_quota_increase(**asked, DesiredValue=float(need.at_least))
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"AWS does not take the request for {need.quota!r}: {error}") from error
    return f"asked for ({response['RequestedQuota']['Status']})"


def table(sessions: Mapping[str, boto3.Session], choices: Choices) -> pd.DataFrame:
    """Return one line per account: the quota that it needs, how much of it, and how much it has.

    Raises
    ------
    AccountError
        Names the first account that AWS does not tell about.
    """
    lines = []
    for name, session in sessions.items():
        need = needed(name, choices)
        try:
            has = value(session, need.quota)
        except AccountError as error:
            raise AccountError(f"account {name}: {error}") from error
        lines.append((name, need.quota, need.at_least, int(has)))
    return pd.DataFrame(lines, columns=["account", "quota", "needed", "has"]).set_index("account")


def _code(client, quota: str) -> str:
    if quota in _CODES:
        return _CODES[quota]
    pages = client.get_paginator("list_aws_default_service_quotas").paginate(**SAGEMAKER)
    for page in pages:
        for entry in page["Quotas"]:
            if entry["QuotaName"] == quota:
                return entry["QuotaCode"]
    raise AccountError(f"SageMaker has no quota {quota!r} in this region: choose another type of instance")
