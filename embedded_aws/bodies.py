"""Request bodies and S3 objects, in memory once at most: read in one piece, handed on uncopied, spooled to disk.

moto reads a body into buffers that are copied, keeps an object in memory until it has all of it, and joins the parts of
an upload twice: an object of 400 MB would cost 1.2 GB.
"""

from __future__ import annotations

import io
from codecs import decode
from collections.abc import Iterable
from hashlib import md5
from typing import Any

from moto.core.request import Request
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import S3_UPLOAD_PART_MIN_SIZE, FakeKey, FakeMultipart, MultipartChecksumBuilder

_RESPONSE = "embedded_aws.response"
_plain = FakeKey.value


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


def install() -> None:
    """Put these in the place of moto's; before the first request."""
    FakeKey.value = property(_plain.fget, _set_value)
    FakeMultipart.complete = _complete


def _set_value(self: FakeKey, content: bytes) -> None:
    if len(content) > self._max_buffer_size:
        self._value_buffer.rollover()  # to disk, before it is written and not after
    _plain.fset(self, content)


def _complete(self: FakeMultipart, wanted: Iterable[tuple[int, str]]) -> tuple[bytes, str, Any]:
    """Join the parts of an upload; return content, entity tag and checksum as moto's own method does."""
    whole, tags, last = io.BytesIO(), b"", None
    checksum = MultipartChecksumBuilder(
        self.metadata.get("x-amz-checksum-algorithm"), self.metadata.get("x-amz-checksum-type")
    )
    n_parts = 0
    for n_parts, (number, tag) in enumerate(wanted, start=1):  # noqa: B007 - counted
        part = self.parts.get(number)
        if part is None or part.etag.strip('"') != tag.replace('"', ""):
            raise InvalidPart
        if last is not None and last.contentsize < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall
        content = part.value
        whole.write(content)
        checksum.addPart(content)
        tags += decode(part.etag.strip('"'), "hex")
        last = part
    if not n_parts:
        raise MalformedXML
    return whole.getvalue(), f"{md5(tags, usedforsecurity=False).hexdigest()}-{n_parts}", checksum.build()
