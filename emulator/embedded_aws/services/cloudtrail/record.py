"""The service record of AWS CloudTrail."""

from __future__ import annotations

from collections.abc import Iterator

import moto.cloudtrail.urls

from embedded_aws.gate.calls import Call
from embedded_aws.gate.principals import Principal
from embedded_aws.policies.policy import Ask
from embedded_aws.service import Service, Setting
from embedded_aws.services.cloudtrail.history import EventHistory


def _asks(call: Call, _: Principal) -> Iterator[Ask]:
    yield Ask(call.action)


def _install(setting: Setting) -> None:
    EventHistory.trail = setting.trail
    moto.cloudtrail.urls.url_paths = {"{0}/$": EventHistory.dispatch}


CLOUDTRAIL = Service(name="cloudtrail", asks=_asks, install=_install)
