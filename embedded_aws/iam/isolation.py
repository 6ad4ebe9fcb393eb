"""Keep accounts apart: buckets closed to other accounts, and only roles that exist can be assumed."""

from __future__ import annotations

from typing import Any

import moto.s3.urls
import moto.sts.urls
from moto.core.exceptions import AccessDeniedError
from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, S3Backend, s3_backends
from moto.sts.responses import TokenResponse


class ClosedBuckets(S3Backend):
    """moto's S3 of one account, closed to the others by ``MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS=false`` (``control``)."""

    @property
    def _url_module(self) -> Any:
        return moto.s3.urls

    def create_bucket(self, bucket_name: str, *args: Any, **kwargs: Any) -> FakeBucket:
        """Create a bucket, unless some account has one of that name."""
        if bucket_name in s3_backends.bucket_accounts and bucket_name not in self.buckets:
            raise S3ClientError("BucketAlreadyExists", "The requested bucket name is not available")
        return super().create_bucket(bucket_name, *args, **kwargs)


class RoleTokens(TokenResponse):
    """moto's STS, which would hand out credentials for roles that nobody made."""

    def assume_role(self) -> ActionResult:
        """AssumeRole, if the role exists; the credentials belong to the role's account."""
        role_arn = self._get_param("RoleArn") or ""
        if not role_exists(role_arn):
            _, caller, _ = self.backend.get_caller_identity(self.get_access_key(), self.region)
            raise AccessDeniedError(caller, f"sts:AssumeRole on resource: {role_arn}")
        return super().assume_role()

    def assume_role_with_web_identity(self) -> ActionResult:
        """Refuse: anybody could take any role."""
        raise NotImplementedError("AssumeRoleWithWebIdentity")

    def assume_role_with_saml(self) -> ActionResult:
        """Refuse: anybody could take any role."""
        raise NotImplementedError("AssumeRoleWithSAML")


def role_exists(role_arn: str) -> bool:
    """Tell whether an account has this role."""
    parts = role_arn.split(":")
    if len(parts) != 6 or parts[4] not in iam_backends:
        return False
    return role_arn in [role.arn for role in iam_backends[parts[4]]["aws"].get_roles()]


def install() -> None:
    """Put these in the place of moto's; before the first request."""
    s3_backends.backend = ClosedBuckets
    moto.sts.urls.url_paths = {"{0}/$": RoleTokens.dispatch}
