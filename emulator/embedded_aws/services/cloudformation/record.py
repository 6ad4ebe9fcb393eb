"""The service record of AWS CloudFormation."""

from __future__ import annotations

from embedded_aws.service import Service
from embedded_aws.services.cloudformation import asks, requests

CLOUDFORMATION = Service(
    name="cloudformation", asks=asks.asks, install=requests.install, application=requests.application
)
