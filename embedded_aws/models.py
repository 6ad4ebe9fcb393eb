"""botocore's descriptions of services, in one copy for the whole process: moto's own. EC2's alone takes 17 MB."""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.loaders import Loader
from botocore.model import ServiceModel
from moto.core.utils import get_service_model


def service_model(name: str) -> ServiceModel:
    """Return the model of a service; raises botocore's UnknownServiceError if there is none."""
    return get_service_model(name)


def session() -> botocore.session.Session:
    """Return a botocore session whose clients use that copy."""
    made = botocore.session.Session()
    made.register_component("data_loader", _Models())
    return made


class _Models(Loader):
    """Finds models where moto keeps them."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """Return the model of a service; where its operations are is the client's own, as S3's clients rewrite that."""
        if type_name == "service-2":
            told = get_service_model(service_name)._service_description
            own = {name: {**one, "http": dict(one.get("http", {}))} for name, one in told["operations"].items()}
            return {**told, "operations": own}
        return super().load_service_model(service_name, type_name, api_version)
