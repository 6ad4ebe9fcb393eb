"""Service quotas of SageMaker: how many instances of a type an account may have at once, and who asks for more.

``EMBEDDED_AWS_QUOTA=0`` makes every account a new one, in which AWS allows no instance of most types until somebody
has asked for it. What runs, and what stops, counts until it has ended.

Source: AWS, Service Quotas API reference; botocore's lists of SageMaker's instance types. A quota's code is AWS's own
where it is known here, and made up elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import moto.servicequotas.urls
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import SagemakerClientError
from moto.servicequotas.models import ServiceQuotasBackend, servicequotas_backends
from moto.servicequotas.responses import ServiceQuotasResponse

from embedded_aws import models
from embedded_aws.service import Setting

SETTING = "EMBEDDED_AWS_QUOTA"
GENEROUS = 100  # instances of each type, where nothing else is said
GRANT_SECONDS = 0.2  # what takes AWS minutes to days
_USES = {
    "TrainingInstanceType": "{} for training job usage",
    "ProcessingInstanceType": "{} for processing job usage",
    "InstanceType": "{} for notebook instance usage",
    "TransformInstanceType": "{} for transform job usage",
    "ProductionVariantInstanceType": "{} for endpoint usage",
}
_CODES = {"ml.m5.large for training job usage": "L-611FA074"}


class ResourceLimitExceeded(SagemakerClientError):
    """Too many instances of a type."""

    code = "ResourceLimitExceeded"

    def __init__(self, quota: str, *, limit: int, used: int) -> None:
        super().__init__(
            f"The account-level service limit '{quota}' is {limit} Instances, with current utilization of {used} "
            "Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for "
            "this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this "
            "quota."
        )


def training(instance_type: str) -> str:
    """Name the quota of training jobs on a type of instance."""
    return _USES["TrainingInstanceType"].format(instance_type)


def transform(instance_type: str) -> str:
    """Name the quota of transform jobs on a type of instance."""
    return _USES["TransformInstanceType"].format(instance_type)


def processing(instance_type: str) -> str:
    """Name the quota of processing jobs on a type of instance."""
    return _USES["ProcessingInstanceType"].format(instance_type)


def endpoint(instance_type: str) -> str:
    """Name the quota of endpoints on a type of instance."""
    return _USES["ProductionVariantInstanceType"].format(instance_type)


def notebook(instance_type: str) -> str:
    """Name the quota of notebook instances of a type."""
    return _USES["InstanceType"].format(instance_type)


def check(quota: str, *, account: str, region: str, used: int) -> None:
    """Raise :class:`ResourceLimitExceeded` if one more instance is one too many."""
    limit = servicequotas_backends[account][region].limit(quota)
    if used + 1 > limit:
        raise ResourceLimitExceeded(quota, limit=limit, used=used)


@dataclass
class Increase:
    """What somebody asked AWS for."""

    code: str
    name: str
    desired: float
    id: str
    asked: float
    created: datetime

    @property
    def status(self) -> str:
        """PENDING at first, APPROVED soon: here nobody looks at it."""
        return "APPROVED" if time.monotonic() - self.asked > GRANT_SECONDS else "PENDING"

    def told(self, account: str, region: str) -> dict[str, Any]:
        """Return it as the API does."""
        return {
            "Id": self.id, "ServiceCode": "sagemaker", "ServiceName": "Amazon SageMaker", "QuotaCode": self.code,
            "QuotaName": self.name, "DesiredValue": self.desired, "Status": self.status, "Created": self.created,
            "QuotaArn": f"arn:aws:servicequotas:{region}:{account}:sagemaker/{self.code}", "GlobalQuota": False,
            "Unit": "None",
        }  # fmt: skip


class Quotas(ServiceQuotasBackend):
    """The quotas of one account and region; of other services than SageMaker moto's."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.increases: list[Increase] = []

    @property
    def _url_module(self) -> Any:
        return moto.servicequotas.urls

    def limit(self, quota: str) -> int:
        """Return how many instances there may be at once."""
        granted = [
            int(increase.desired)
            for increase in self.increases
            if increase.name == quota and increase.status == "APPROVED"
        ]
        return max([default(), *granted])

    def told(self, name: str, *, value: float) -> dict[str, Any]:
        """Return a quota as the API does."""
        code = _by_name()[name]
        return {
            "ServiceCode": "sagemaker", "ServiceName": "Amazon SageMaker", "QuotaCode": code, "QuotaName": name,
            "QuotaArn": f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:sagemaker/{code}",
            "Value": float(value), "Unit": "None", "Adjustable": True, "GlobalQuota": False,
        }  # fmt: skip


class QuotaRequests(ServiceQuotasResponse):
    """The operations on quotas of SageMaker."""

    def get_service_quota(self) -> ActionResult:
        """GetServiceQuota: the value of this account."""
        if self._get_param("ServiceCode") != "sagemaker":
            return super().get_service_quota()
        name = self._name()
        return ActionResult({"Quota": self.backend.told(name, value=self.backend.limit(name))})

    def get_aws_default_service_quota(self) -> ActionResult:
        """GetAWSDefaultServiceQuota: the value of an account that has asked for nothing."""
        return ActionResult({"Quota": self.backend.told(self._name(), value=default())})

    def list_service_quotas(self) -> ActionResult:
        """ListServiceQuotas, a page at a time."""
        return self._page(self.backend.limit)

    def list_aws_default_service_quotas(self) -> ActionResult:
        """ListAWSDefaultServiceQuotas, a page at a time."""
        if self._get_param("ServiceCode") != "sagemaker":
            return super().list_aws_default_service_quotas()
        return self._page(lambda _: default())

    def request_service_quota_increase(self) -> ActionResult:
        """RequestServiceQuotaIncrease."""
        name, desired = self._name(), float(self._get_param("DesiredValue"))
        if desired <= self.backend.limit(name):
            raise _error(
                "IllegalArgumentException", "You must provide a quota value greater than the current quota value."
            )
        if any(increase.name == name and increase.status == "PENDING" for increase in self.backend.increases):
            raise _error(
                "ResourceAlreadyExistsException", "Only one open service quota increase request is allowed per quota."
            )
        made = Increase(_by_name()[name], name, desired, secrets.token_hex(16), time.monotonic(), datetime.now(UTC))
        self.backend.increases.append(made)
        return ActionResult({"RequestedQuota": made.told(self.current_account, self.region)})

    def list_requested_service_quota_change_history_by_quota(self) -> ActionResult:
        """ListRequestedServiceQuotaChangeHistoryByQuota."""
        name, status = self._name(), self._get_param("Status")
        increases = [
            increase
            for increase in self.backend.increases
            if increase.name == name and status in (None, increase.status)
        ]
        return ActionResult(
            {"RequestedQuotas": [increase.told(self.current_account, self.region) for increase in increases]}
        )

    def _name(self) -> str:
        code = self._get_param("QuotaCode")
        if self._get_param("ServiceCode") != "sagemaker" or code not in _by_code():
            raise _error("NoSuchResourceException", "The request failed because the specified quota does not exist.")
        return _by_code()[code]

    def _page(self, value: Any) -> ActionResult:
        if self._get_param("ServiceCode") != "sagemaker":
            raise _error("NoSuchResourceException", "The request failed because the specified service does not exist.")
        names, first = sorted(_by_name()), int(self._get_param("NextToken") or 0)
        end = first + int(self._get_param("MaxResults") or 100)
        more = {"NextToken": str(end)} if end < len(names) else {}
        return ActionResult(
            {"Quotas": [self.backend.told(name, value=value(name)) for name in names[first:end]], **more}
        )


def _error(code: str, message: str) -> JsonRESTError:
    return JsonRESTError(code, message)


def default() -> int:
    """Return how many instances of a type an account may have that has asked for nothing."""
    return int(os.environ.get(SETTING) or GENEROUS)


@lru_cache
def _by_name() -> dict[str, str]:
    return dict(_named())


@lru_cache
def _by_code() -> dict[str, str]:
    return {code: name for name, code in _by_name().items()}


def _named() -> Iterator[tuple[str, str]]:
    shapes = models.service_model("sagemaker")
    for shape, words in _USES.items():
        for instance_type in shapes.shape_for(shape).enum:
            name = words.format(instance_type)
            yield name, _CODES.get(name, f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}")


def install(_: Setting) -> None:
    """Put these in the place of moto's; before the first request."""
    servicequotas_backends.backend = Quotas
    moto.servicequotas.urls.url_paths = {"{0}/$": QuotaRequests.dispatch}
