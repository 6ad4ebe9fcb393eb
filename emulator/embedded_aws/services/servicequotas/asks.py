"""Permissions that calls of Service Quotas need.

Source: AWS, Service authorization reference, "Actions, resources, and condition keys for AWS Service Quotas".
"""

from __future__ import annotations

from collections.abc import Iterator

from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask

# These are about one quota.
_ONE_QUOTA = ("GetServiceQuota", "RequestServiceQuotaIncrease", "ListRequestedServiceQuotaChangeHistoryByQuota")


def asks(call: Call, caller: Principal) -> Iterator[Ask]:
    """Yield what a call of Service Quotas asks for."""
    resource = "*"
    if call.operation in _ONE_QUOTA:
        code = f"{call.parameters.get('ServiceCode')}/{call.parameters.get('QuotaCode')}"
        resource = f"arn:aws:servicequotas:{call.region}:{caller.account}:{code}"
    yield Ask(call.action, resource, {"servicequotas:service": (str(call.parameters.get("ServiceCode")),)})
