"""The service record of Amazon CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Mapping

from moto.logs.models import logs_backends

from embedded_aws.service import Service
from embedded_aws.services.logs import asks, keys, stack


def _tags(region: str, account: str, _: str, name: str) -> Mapping[str, str]:
    backend = logs_backends[account][region]
    return backend.tagger.get_tag_dict_for_resource(backend.groups[name.split(":")[1]].arn)


LOGS = Service(name="logs", asks=asks.asks, tags=_tags, check=keys.check, types=(stack.LogGroup,))
