"""S3 objects in memory once at most: spooled to disk, and joined from parts without a second copy.

moto keeps an object in memory until it has all of it, and joins the parts of an upload twice: an object of 400 MB would
cost 1.2 GB.
"""

from __future__ import annotations

import io
from codecs import decode
from collections.abc import Iterable
from hashlib import md5
from typing import Any

from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import S3_UPLOAD_PART_MIN_SIZE, FakeKey, FakeMultipart, MultipartChecksumBuilder

_plain = FakeKey.value


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
