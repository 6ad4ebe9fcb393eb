"""moto's S3, STS and IAM where they would decide by themselves, or not at all: only the gate decides."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any

import moto.cloudtrail.urls
import moto.iam.urls
import moto.s3.urls
import moto.sts.urls
from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, PublicAccessBlock, S3Backend, s3_backends
from moto.sts.exceptions import STSValidationError
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from moto.sts.responses import TokenResponse

from embedded_aws.iam import handover, principals, s3_access
from embedded_aws.iam.entities import Entities
from embedded_aws.iam.history import EventHistory
from embedded_aws.iam.policy import Policy
from embedded_aws.iam.trail import Trail

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"(\d+\.){3}\d+")
CHAINED_SECONDS = 3600  # AWS: a role taken by a role's session is good for an hour at most


class OneNameSpace(S3Backend):
    """moto's S3 of one account; a bucket's name is taken once for all accounts, and new buckets are closed."""

    @property
    def _url_module(self) -> Any:
        return moto.s3.urls

    def create_bucket(self, bucket_name: str, *args: Any, **kwargs: Any) -> FakeBucket:
        """Create a bucket, unless some account has one of that name or it is no name for one."""
        if not _BUCKET_NAME.fullmatch(bucket_name) or ".." in bucket_name or _ADDRESS.fullmatch(bucket_name):
            raise S3ClientError("InvalidBucketName", "The specified bucket is not valid.")
        if bucket_name in s3_backends.bucket_accounts and bucket_name not in self.buckets:
            raise S3ClientError("BucketAlreadyExists", "The requested bucket name is not available")
        known = bucket_name in self.buckets
        bucket = super().create_bucket(bucket_name, *args, **kwargs)
        if not known:
            bucket.public_access_block = PublicAccessBlock(True, True, True, True)
            bucket.ownership_rule = s3_access.ENFORCED
        return bucket


class Sessions(STSBackend):
    """moto's STS of one account; a session knows which role it was lent by, when, and what it was given."""

    @property
    def _url_module(self) -> Any:
        return moto.sts.urls

    def assume_role(self, *args: Any, **kwargs: Any) -> AssumedRole:
        """Make a session."""
        session = super().assume_role(*args, **kwargs)
        role = principals.find_role(session.role_arn)
        session.role_id, session.issued = role.id if role else "", datetime.now(UTC)
        inline = [Policy.of("session policy", session.policy)] if session.policy else []
        session.policies, session.tags, session.source_identity = tuple(inline), [], ""
        return session


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
        narrowing = [self._policy(one["arn"], role.arn.split(":")[4]) for one in self._get_param("PolicyArns") or []]
        lent = super().assume_role()
        session: AssumedRole = lent.result["Credentials"]
        session.policies += tuple(narrowing)
        session.tags = list(self._get_param("Tags") or [])
        # Who somebody is stays with them, from session to session.
        (inherited,) = caller.context.get("aws:sourceidentity", ("",)) if caller else ("",)
        session.source_identity = inherited or self._get_param("SourceIdentity") or ""
        return lent

    @staticmethod
    def _policy(arn: str, account: str) -> Policy:
        found = principals.managed_policy(arn, account)
        if found is None:
            raise STSValidationError(f"Policy {arn} does not exist in account {account}")
        return found


def install(trail: Trail) -> None:
    """Put these in the place of moto's; before the first request."""
    # moto knows bucket policies without conditions, and would refuse every request to a bucket with a TLS rule.
    FakeBucket.get_permission = _permission
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "true"
    s3_backends.backend = OneNameSpace
    # A key may hold a line break, which moto's dot does not match.
    paths = moto.s3.urls.url_paths.items()
    moto.s3.urls.url_paths = {path.replace("key_name>.+", r"key_name>[\s\S]+"): serve for path, serve in paths}
    sts_backends.backend = Sessions
    EventHistory.trail = trail
    moto.cloudtrail.urls.url_paths = {"{0}/$": EventHistory.dispatch}
    moto.iam.urls.url_paths = {"{0}/$": Entities.dispatch}
    moto.sts.urls.url_paths = {"{0}/$": RoleTokens.dispatch}


def _permission(_: FakeBucket, __: str, resource: str) -> PermissionResult:
    """Tell moto what the gate has said of one of the objects that a call deletes."""
    return PermissionResult.DENIED if resource in handover.denied() else PermissionResult.PERMITTED
