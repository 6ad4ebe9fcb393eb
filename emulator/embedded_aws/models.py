"""Service models in memory once for the whole process: botocore's data, moto's instance types."""

from __future__ import annotations

import threading
from functools import cache, lru_cache
from typing import Any

import botocore.session
import moto.core.responses
import moto.core.utils
import moto.utilities.utils
from botocore.client import BaseClient, ClientCreator
from botocore.loaders import Loader
from botocore.model import ServiceModel
from moto.core.utils import get_service_model


class _Models(Loader):
    """Finds models of services where moto keeps them; the rest is read once too."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """Return the model of a service; where its operations are is the client's own, as S3's clients rewrite that."""
        if type_name == "service-2":
            description = get_service_model(service_name)._service_description
            own = {
                name: {**operation, "http": dict(operation.get("http", {}))}
                for name, operation in description["operations"].items()
            }
            return {**description, "operations": own}
        return super().load_service_model(service_name, type_name, api_version)


_MODELS = _Models()
_plain_regions_of = botocore.session.Session.get_available_regions
_plain_load_resource = moto.utilities.utils.load_resource
_plain_methods_of = ClientCreator._create_methods
_plain_method_names = moto.core.utils.method_names_from_class
_methods: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()


def install() -> None:
    """Read each description once, and leave out what nobody asks for; before moto's services are imported.

    moto makes sessions on its own, each with 13 MB of EC2's model and 9 MB of endpoints, and reads EC2's whole model to
    list the regions. Its tables of all regions' instance types (46 MB) take longer than the rest of EC2, and no
    operation that is served looks into them. botocore writes a function for each of EC2's 800 operations whenever it
    makes a client, and moto lists all methods of a service for every request.
    """
    botocore.session.create_loader = lambda search_path=None: _MODELS
    botocore.session.Session.get_available_regions = _regions_of
    moto.utilities.utils.load_resource = _load_resource
    ClientCreator._create_methods = _methods_of
    moto.core.responses.__dict__["method_names_from_class"] = cache(_plain_method_names)


def _methods_of(creator: ClientCreator, model: ServiceModel) -> dict[str, Any]:
    if model.service_name not in _methods:
        _methods[model.service_name] = _plain_methods_of(creator, model)
    return dict(_methods[model.service_name])


def _regions_of(
    session: botocore.session.Session, service_name: str, partition_name: str = "aws", allow_non_regional: bool = False
) -> list[str]:
    if service_name != "ec2":
        return _plain_regions_of(session, service_name, partition_name, allow_non_regional)
    resolver = session._get_internal_component("endpoint_resolver")
    return resolver.get_available_endpoints(service_name, partition_name, allow_non_regional)


def _load_resource(resource: str) -> Any:
    if resource.startswith("ec2/resources/instance_type"):
        return {} if resource.endswith("instance_types.json") else []
    return _plain_load_resource(resource)


def client(service: str, **settings: Any) -> BaseClient:
    """Return a botocore client of a service; making one is not thread-safe, so that one is made at a time."""
    with _lock:
        return _session().create_client(service, **settings)


def regions() -> frozenset[str]:
    """Return the regions that there are."""
    return frozenset(_session().get_available_regions("ec2"))


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return botocore.session.Session()


def service_model(name: str) -> ServiceModel:
    """Return the model of a service; raises botocore's UnknownServiceError if there is none."""
    return get_service_model(name)
