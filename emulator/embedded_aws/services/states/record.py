"""The service record of AWS Step Functions; what it is made of is imported when the first request comes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from embedded_aws.service import ConditionKeys, Service, Setting
from embedded_aws.services.states import asks, stack

if TYPE_CHECKING:
    from flask import Flask

_setting: list[Setting] = []


def _install(setting: Setting) -> None:
    _setting[:] = [setting]


@lru_cache(maxsize=1)
def _machines() -> Any:
    """Import moto's interpreter and correct it; before moto makes anything of it for an account."""
    from embedded_aws.services.states import machines

    machines.install(_setting[0].endpoint)
    return machines


def _application() -> Flask:
    from moto.moto_server.werkzeug_app import create_backend_app

    _machines()
    return create_backend_app("stepfunctions")


def _tags(region: str, account: str, arn: str, _: str) -> Mapping[str, str]:
    return _machines().of(account, region).tagger.get_tag_dict_for_resource(arn)


STATES = Service(
    name="states",
    asks=asks.asks,
    install=_install,
    application=_application,
    keys=ConditionKeys(
        known="statemachinequalifier|httpendpoint|httpmethod|resourcetag/.+",
        unfilled="statemachinequalifier|httpendpoint|httpmethod",
    ),
    tags=_tags,
    passes={"roleArn": "states.amazonaws.com"},
    types=(stack.StateMachine,),
)
