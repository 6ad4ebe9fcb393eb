"""The service record of AWS Service Quotas."""

from __future__ import annotations

from embedded_aws.service import ConditionKeys, Service
from embedded_aws.services.servicequotas import asks, quotas

SERVICEQUOTAS = Service(name="servicequotas", asks=asks.asks, install=quotas.install, keys=ConditionKeys())
