"""IAM policies, read back from AWS: what is allowed, and the statement that a refusal comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from workshop.errors import AccountError


def statements(session: boto3.Session, role: str) -> pd.DataFrame:
    """List what a role may do, one line per statement.

    Parameters
    ----------
    session : boto3.Session
        In the role's account.
    role : str
        The role's name.

    Returns
    -------
    DataFrame
        Policy, statement, its actions and the operators of its conditions.

    Raises
    ------
    AccountError
        If the account has no such role.
    """
    lines = [
        (policy, item["Sid"], ", ".join(_listed(item["Action"])), ", ".join(item.get("Condition", {})) or "none")
        for policy, document in _documents(session, role)
        for item in _listed(document["Statement"])
    ]
    return pd.DataFrame(lines, columns=["policy", "statement", "allows", "conditions"]).set_index("statement")


def statement(session: boto3.Session, role: str, sid: str) -> str:
    """Return one statement of a role's policies or of its trust policy, as JSON to read, without the external id.

    Raises
    ------
    AccountError
        If there is no such role or statement.
    """
    trust = _role(session, role)["AssumeRolePolicyDocument"]
    for _, document in [("trust policy", trust), *_documents(session, role)]:
        for item in _listed(document["Statement"]):
            if item.get("Sid") == sid:
                return re.sub(r'("sts:ExternalId": )"[^"]*"', r'\1"..."', json.dumps(item, indent=1))
    raise AccountError(f"role {role} has no statement {sid}: was its template changed?")


def bucket_statement(session: boto3.Session, bucket: str, sid: str) -> str:
    """Return one statement of a bucket's policy, as JSON to read.

    Raises
    ------
    AccountError
        If the policy has no such statement.
    """
    document = json.loads(session.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    for item in document["Statement"]:
        if item.get("Sid") == sid:
            return json.dumps(item, indent=1)
    raise AccountError(f"bucket {bucket} has no statement {sid}: was its template changed?")


def _documents(session: boto3.Session, role: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every policy of a role, inline or attached, with its document."""
    iam = session.client("iam")
    _role(session, role)
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield name, iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        yield attached["PolicyName"], document["PolicyVersion"]["Document"]


def _role(session: boto3.Session, role: str) -> Mapping[str, Any]:
    try:
        return session.client("iam").get_role(RoleName=role)["Role"]
    except ClientError as error:
        raise AccountError(f"there is no role {role} to read: {error.response['Error']['Message']}") from error


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]
