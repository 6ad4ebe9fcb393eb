"""Service models in memory once for the whole process: botocore's data, moto's instance types."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.client import BaseClient
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
_lock = threading.Lock()


def install() -> None:
    """Give every session of this process one loader; before moto is imported.

    moto makes sessions on its own, each with 13 MB of EC2's model and 9 MB of endpoints.
    """
    botocore.session.create_loader = lambda search_path=None: _MODELS


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


def forget_offerings() -> None:
    """Free the 46 MB of all regions' instance types, which nothing asks for."""
    from moto.ec2.models import instance_types  # after the loader is in place

    for offers in instance_types.INSTANCE_TYPE_OFFERINGS.values():
        offers.clear()
