"""EC2 backend of one account and region: moto's, corrected where stacks, jobs and learners would notice."""

from __future__ import annotations

from typing import Any

import moto.ec2.urls
from moto.ec2.models import ec2_backends

from embedded_aws.service import Setting
from embedded_aws.services.ec2 import routes
from embedded_aws.services.ec2.endpoints import EndpointRequests, Endpoints
from embedded_aws.services.ec2.interfaces import Interfaces
from embedded_aws.services.ec2.peerings import PeeringRequests, Peerings
from embedded_aws.services.ec2.routes import Routes
from embedded_aws.services.ec2.security_groups import SecurityGroupRequests, SecurityGroups
from embedded_aws.services.ec2.vpcs import VpcRequests, Vpcs


class Network(Peerings, SecurityGroups, Routes, Endpoints, Interfaces, Vpcs):
    """The network of one account in one region."""

    @property
    def _url_module(self) -> Any:
        return moto.ec2.urls

    # moto looks a CloudWatch destination up by its name only, and then says that the delivery fails.
    def create_flow_logs(self, **kwargs: Any) -> Any:
        """Create flow logs; the ARN of a log group is as good as its name."""
        destination = kwargs.get("log_destination") or ""
        if not kwargs.get("log_group_name") and ":log-group:" in destination:
            kwargs["log_group_name"] = destination.split(":log-group:")[1].removesuffix(":*")
        return super().create_flow_logs(**kwargs)


class NetworkRequests(PeeringRequests, SecurityGroupRequests, EndpointRequests, VpcRequests):
    """moto's EC2 requests, with what they pass over."""


def install(_: Setting) -> None:
    """Put these in the place of moto's; before the first request."""
    routes.install()
    ec2_backends.backend = Network
    moto.ec2.urls.url_paths = {"{0}/": NetworkRequests.dispatch}
