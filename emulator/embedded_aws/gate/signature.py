"""Signature Version 4: that a request was signed with the secret behind its access key, and not too long ago.

Source: AWS, IAM user guide, "Signature Version 4 signing process".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

LONGEST_PRESIGNED = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=5)  # STS and most services; S3 grants fifteen minutes
_S3_CLOCK_SKEW = timedelta(minutes=15)
_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[A-Z0-9]{16,128})/(?P<date>\d{8})/(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request, ?SignedHeaders=(?P<headers>[^, ]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class SignatureError(Exception):
    """Why a signature is refused; ``kind`` is one of missing, malformed, unsigned, mismatch, clock, expired."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Signature:
    """What a request says of its signature."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    moment: datetime
    token: str  # of a role's session
    expires: timedelta | None = None  # of a presigned URL

    @property
    def scope(self) -> str:
        """The credential scope that the signing key is made for."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read(headers: Mapping[str, str], query: str) -> Signature:
    """Read the ``Authorization`` header, or the query of a presigned URL.

    Parameters
    ----------
    headers : mapping
        Header values by lower-case name.
    query : str
        The query string as it was sent.

    Raises
    ------
    SignatureError
        If there is none, or none that can be read.
    """
    values = dict(pair.partition("=")[::2] for pair in query.split("&"))
    expires = None
    if "X-Amz-Signature" in values:
        if "authorization" in headers:
            raise SignatureError("malformed", "Only one auth mechanism allowed; a query and a header cannot both sign.")
        values = {name: unquote(value) for name, value in values.items()}
        text = (
            f"{values.get('X-Amz-Algorithm')} Credential={values.get('X-Amz-Credential')}, SignedHeaders="
            f"{values.get('X-Amz-SignedHeaders')}, Signature={values['X-Amz-Signature']}"
        )
        date, token = values.get("X-Amz-Date", ""), values.get("X-Amz-Security-Token", "")
        expires = _expires(values.get("X-Amz-Expires", ""))
    elif "authorization" in headers:
        text, date = headers["authorization"], headers.get("x-amz-date", "")
        token = headers.get("x-amz-security-token", "")
    else:
        raise SignatureError("missing", "Request is missing Authentication Token")
    match, moment = _HEADER.fullmatch(text), _moment(date)
    if not match or not moment or not date.startswith(match["date"]):
        raise SignatureError("malformed", "Authorization must be AWS4-HMAC-SHA256 with a Credential, and X-Amz-Date")
    signed = tuple(match["headers"].split(";"))
    if "host" not in signed:
        raise SignatureError("malformed", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    return Signature(
        access_key_id=match["key"], date=match["date"], region=match["region"], service=match["service"],
        signed_headers=signed, value=match["signature"], moment=moment, token=token, expires=expires,
    )  # fmt: skip


def _expires(text: str) -> timedelta:
    """Read how long a presigned URL is good for."""
    if (
        not re.fullmatch(r"\d{1,7}", text, re.ASCII)
        or not timedelta(0) < timedelta(seconds=int(text)) <= LONGEST_PRESIGNED
    ):
        raise SignatureError("malformed", "X-Amz-Expires must be a number of seconds, at least 1 and at most 604800")
    return timedelta(seconds=int(text))


def _moment(text: str) -> datetime | None:
    if not re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def verify(
    signature: Signature,
    *,
    secret: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> None:
    """Return if the request is the one that was signed.

    Parameters
    ----------
    path, query : str
        As they were sent, percent-encoded.
    headers : mapping
        Header values by lower-case name.

    Raises
    ------
    SignatureError
        If it was changed on the way, signed with another secret, or too long ago.
    """
    _check_clock(signature, now)
    loose = sorted(name for name in headers if name.startswith("x-amz-") and name not in signature.signed_headers)
    if loose:
        message = "There were headers present in the request which were not signed"
        raise SignatureError("unsigned", f"{message}: {', '.join(loose)}")
    payload = _payload_hash(signature, headers, body)
    # Every service but S3 encodes the path that was sent once more.
    canonical_path = path if signature.service == "s3" else quote(path, safe="/-_.~")
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    canonical_query = "&".join(f"{name}={value}" for name, value in pairs if name != "X-Amz-Signature")
    try:
        lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in signature.signed_headers]
    except KeyError as error:
        raise SignatureError("mismatch", f"the signed header {error} is missing") from None
    canonical = "\n".join(
        (method, canonical_path, canonical_query, "".join(lines), ";".join(signature.signed_headers), payload)
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{signature.moment:%Y%m%dT%H%M%SZ}\n{signature.scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (signature.date, signature.region, signature.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(expected, signature.value):
        raise SignatureError(
            "mismatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method.",
        )


def _payload_hash(signature: Signature, headers: Mapping[str, str], body: bytes) -> str:
    actual = hashlib.sha256(body).hexdigest()
    if signature.service != "s3":
        return actual
    payload_hash = "UNSIGNED-PAYLOAD" if signature.expires is not None else headers.get("x-amz-content-sha256", actual)
    if re.fullmatch(r"[0-9a-f]{64}", payload_hash) and payload_hash != actual:
        raise SignatureError("mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    return payload_hash


def _check_clock(signature: Signature, now: datetime) -> None:
    if signature.expires is not None:
        if not -CLOCK_SKEW < now - signature.moment <= signature.expires:
            raise SignatureError("expired", "Request has expired")
        return
    allowed = _S3_CLOCK_SKEW if signature.service == "s3" else CLOCK_SKEW
    if abs(now - signature.moment) > allowed:
        far = "expired" if now > signature.moment else "not yet current"
        raise SignatureError(
            "clock",
            f"Signature {far}: {signature.moment:%Y%m%dT%H%M%SZ} is more than {allowed.seconds // 60} minutes from "
            f"{now:%Y%m%dT%H%M%SZ}",
        )
