"""Serving: a registered model as a batch job or an endpoint in the server's account."""

from workshop.serving.endpoint import Asked, endpoint
from workshop.serving.models import Served, batch, forget, make

__all__ = ["Asked", "Served", "batch", "endpoint", "forget", "make"]
