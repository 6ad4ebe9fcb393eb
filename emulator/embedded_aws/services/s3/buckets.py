"""S3 buckets: one name space for all accounts, new ones closed, and no decision of moto's own."""

from __future__ import annotations

import os
import re
from typing import Any

import moto.s3.urls
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, PublicAccessBlock, S3Backend, s3_backends
from moto.s3.responses import S3Response
from moto.utilities.utils import get_partition

from embedded_aws import bodies
from embedded_aws.gate import handover
from embedded_aws.service import Setting
from embedded_aws.services.s3 import access, objects

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"(\d+\.){3}\d+")


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
            bucket.ownership_rule = access.ENFORCED
        return bucket


def install(_: Setting) -> None:
    """Put these in the place of moto's; before the first request."""
    # moto knows bucket policies without conditions, and would refuse every request to a bucket with a TLS rule.
    FakeBucket.get_permission = _permission
    os.environ["MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS"] = "true"
    s3_backends.backend = OneNameSpace
    # A key may hold a line break, which moto's dot does not match.
    paths = moto.s3.urls.url_paths.items()
    moto.s3.urls.url_paths = {path.replace("key_name>.+", r"key_name>[\s\S]+"): serve for path, serve in paths}
    plain = S3Response.setup_class

    def setup(self: S3Response, request: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, request, *args, **kwargs)
        bodies.remember(self)
        if admitted := handover.admitted(request):
            self.region, self.partition = admitted.call.region, get_partition(admitted.call.region)

    S3Response.setup_class = setup
    objects.install()


def _permission(_: FakeBucket, __: str, resource: str) -> PermissionResult:
    """Tell moto what the gate has said of one of the objects that a call deletes."""
    return PermissionResult.DENIED if resource in handover.denied() else PermissionResult.PERMITTED
