"""botocore clients that act as the caller, as CloudFormation does without a role; no retries: errors show at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import botocore.config
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from embedded_aws import models
from embedded_aws.stacks.errors import ValidationError

# One answer is enough: nothing between this process and itself gets lost. A refusal shall be told at once.
_CONFIG = botocore.config.Config(retries={"total_max_attempts": 1}, proxies={}, read_timeout=120)


@dataclass(frozen=True)
class Credentials:
    """An access key, with a session token if it is a role's."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def credentials_of(key_id: str, account: str) -> Credentials:
    """Return the secret half of the credentials that a request was signed with.

    Raises
    ------
    ValidationError
        If the account has no such key.
    """
    role = sts_backends[account]["aws"].get_assumed_role_from_access_key(key_id)
    if role is not None:
        return Credentials(key_id, role.secret_access_key, role.session_token)
    key = iam_backends[account]["aws"].access_keys.get(key_id)
    if key is None:
        raise ValidationError(f"The access key {key_id} is not one of account {account}; sign with one that is.")
    return Credentials(key_id, key.secret_access_key)


@lru_cache(maxsize=32)
def clients_of(credentials: Credentials, *, region: str, endpoint: str) -> Clients:
    """Return the clients of a caller, the same ones again while others have not crowded them out."""
    return Clients(credentials, region=region, endpoint=endpoint)


class Clients:
    """botocore clients with one caller's credentials, made when first used."""

    def __init__(self, credentials: Credentials, *, region: str, endpoint: str) -> None:
        self.region, self.endpoint = region, endpoint
        self._credentials = credentials
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self._made:
            self._made[service] = models.client(
                service,
                region_name=self.region,
                endpoint_url=self.endpoint,
                aws_access_key_id=self._credentials.key_id,
                aws_secret_access_key=self._credentials.secret,
                aws_session_token=self._credentials.token,
                config=_CONFIG,
            )
        return self._made[service]

    def of_role(self, role_arn: str, session_name: str, *, region: str | None = None) -> Clients:
        """Return clients of a role that the caller may assume."""
        taken = self("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
        credentials = Credentials(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
        return Clients(credentials, region=region or self.region, endpoint=self.endpoint)

    def in_region(self, region: str | None) -> Clients:
        """Return clients of the same caller in a region; None is this one."""
        return (
            self if region in (None, self.region) else Clients(self._credentials, region=region, endpoint=self.endpoint)
        )
