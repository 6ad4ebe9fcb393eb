"""moto's S3, STS and IAM where they would decide by themselves, or not at all: only the gate decides."""

from __future__ import annotations

import os
from typing import Any

import moto.cloudtrail.urls
import moto.iam.urls
import moto.s3.urls
import moto.sts.urls
from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, S3Backend, s3_backends
from moto.sts.exceptions import STSValidationError
from moto.sts.responses import TokenResponse

from embedded_aws.iam import principals
from embedded_aws.iam.history import EventHistory
from embedded_aws.iam.simulate import Simulator
from embedded_aws.iam.trail import Trail

CHAINED_SECONDS = 3600  # AWS: a role taken by a role's session is good for an hour at most


class OneNameSpace(S3Backend):
    """moto's S3 of one account; a bucket's name is taken once for all accounts."""

    @property
    def _url_module(self) -> Any:
        return moto.s3.urls

    def create_bucket(self, bucket_name: str, *args: Any, **kwargs: Any) -> FakeBucket:
        """Create a bucket, unless some account has one of that name."""
        if bucket_name in s3_backends.bucket_accounts and bucket_name not in self.buckets:
            raise S3ClientError("BucketAlreadyExists", "The requested bucket name is not available")
        return super().create_bucket(bucket_name, *args, **kwargs)


class RoleTokens(TokenResponse):
    """moto's STS; who may take which role was decided at the gate, for how long is decided here."""

    def assume_role(self) -> ActionResult:
        """AssumeRole; the credentials belong to the role's account."""
        role = principals.find_role(self._get_param("RoleArn"))
        asked = int(self._get_param("DurationSeconds", 3600))
        longest = int(role.max_session_duration or 3600)
        caller = principals.find(self.get_access_key())
        if caller and caller.role and asked > CHAINED_SECONDS:
            raise STSValidationError(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
            )
        if asked > longest:
            raise STSValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        return super().assume_role()

    def assume_role_with_web_identity(self) -> ActionResult:
        """Refuse: anybody could take any role."""
        raise NotImplementedError("AssumeRoleWithWebIdentity")

    def assume_role_with_saml(self) -> ActionResult:
        """Refuse: anybody could take any role."""
        raise NotImplementedError("AssumeRoleWithSAML")

    def get_federation_token(self) -> ActionResult:
        """Refuse: moto's token would belong to nobody."""
        raise NotImplementedError("GetFederationToken")

    def get_session_token(self) -> ActionResult:
        """Refuse: moto's token would belong to nobody."""
        raise NotImplementedError("GetSessionToken")


def install(trail: Trail) -> None:
    """Put these in the place of moto's; before the first request."""
    # moto knows bucket policies without conditions, and would refuse every request to a bucket with a TLS rule.
    FakeBucket.get_permission = lambda *_: PermissionResult.PERMITTED
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "true"
    s3_backends.backend = OneNameSpace
    EventHistory.trail = trail
    moto.cloudtrail.urls.url_paths = {"{0}/$": EventHistory.dispatch}
    moto.iam.urls.url_paths = {"{0}/$": Simulator.dispatch}
    moto.sts.urls.url_paths = {"{0}/$": RoleTokens.dispatch}
