"""Request bodies, in memory once: read in one piece and handed on uncopied.

moto reads a body into buffers that are copied.
"""

from __future__ import annotations

import io
from typing import Any

from moto.core.request import Request

_RESPONSE = "embedded_aws.response"


def read(request: Request) -> bytes:
    """Return a request's body; of one that says how long it is without any copy."""
    length = request.content_length
    if length is None or "wsgi.input_terminated" in request.environ:
        return request.get_data(cache=False, parse_form_data=False)
    body = request.environ["wsgi.input"].read(length)
    if len(body) < length:
        raise ConnectionError("the client has gone before its request was complete")
    return body


def put_back(environ: dict[str, Any], body: bytes) -> None:
    """Make this the body that moto reads, uncopied."""
    environ["wsgi.input"], environ["wsgi.input_terminated"] = io.BytesIO(body), True
    environ["CONTENT_LENGTH"] = str(len(body))


def remember(response: Any) -> None:
    """Note what moto answers a request with, and has its body."""
    response.normalized_request.environ[_RESPONSE] = response


def forget(environ: dict[str, Any]) -> None:
    """Free the body: moto's response refers to itself, and would keep it until garbage is collected."""
    environ.pop("wsgi.input", None)
    if response := environ.pop(_RESPONSE, None):
        response.body = response.raw_body = b""
        for name in ("data", "_cached_data", "stream"):
            response.normalized_request.__dict__.pop(name, None)
