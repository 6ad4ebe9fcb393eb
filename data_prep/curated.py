"""Fetch the published table: from its address with a progress bar, into a cache, and only if its SHA-256 is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from data_prep.errors import DataError

URL = (
    "https://raw.githubusercontent.com/aws-samples/wwps-payment-integrity-solutions/"
    "ee1b00d85aa8ba775d8eafd68173391c1dd6f613/Federated-Learning/data_prep/processed_data_classification_v2.csv"
)
SHA256 = "d33f11f0237f2024cd326ca6a8b4ed1630fb7dcc22d79dd04a298ea270995525"
SIZE = 1_714_660  # bytes
LIMIT = 100_000_000  # bytes: nobody's disk is filled by a wrong address
NAME = "processed_data_classification_v2.csv"


class DownloadError(DataError):
    """The published table could not be fetched."""


def fetch(cache: Path, *, url: str = URL, sha256: str = SHA256, timeout: float = 30.0) -> Path:
    """Return the cached table; download it when it is not there, or not the one that it should be.

    The download goes to a file beside the target and takes its place only after the checksum was compared: an
    interrupted one leaves nothing that could be taken for the table.

    Parameters
    ----------
    cache : Path
        Folder, made when it is not there.
    url, sha256 : str
        Where the table is, and the SHA-256 of its bytes.
    timeout : float
        Seconds without a byte after which the server counts as silent.

    Raises
    ------
    DownloadError
        Names the address, what happened and what to do.
    """
    target = cache / NAME
    if target.exists() and checksum(target) == sha256:
        return target
    _require_safe(url)
    cache.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{NAME}.{os.getpid()}.part")
    try:
        _download(url, part, timeout=timeout)
        if (found := checksum(part)) != sha256:
            raise DownloadError(
                _told(
                    url, f"its SHA-256 is {found[:12]}..., not {sha256[:12]}...: it is another file, or not all of it"
                )
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, path: Path, *, timeout: float) -> None:
    try:
        with _OPENER.open(url, timeout=timeout) as answer, path.open("wb") as file:
            length = answer.headers.get("Content-Length")
            expected = int(length) if length else None
            received = 0
            with tqdm(total=expected or SIZE, unit="B", unit_scale=True, desc="curated table", leave=False) as bar:
                while block := answer.read(1 << 16):
                    file.write(block)
                    received += len(block)
                    if received > LIMIT:
                        raise DownloadError(_told(url, f"it is larger than {LIMIT:,} bytes: it is another file"))
                    bar.update(len(block))
    except urllib.error.HTTPError as error:
        raise DownloadError(_told(url, f"the server answered {error.code} {error.reason}")) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(_told(url, f"the connection failed ({type(error).__name__}: {reason})")) from error
    if expected is not None and received != expected:
        raise DownloadError(_told(url, f"it ended after {received:,} of {expected:,} bytes"))


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow a redirect only to where the first address could have led."""

    def redirect_request(self, request, answer, code, message, headers, url):  # noqa: PLR0917 - urllib calls it so
        _require_safe(url)
        return super().redirect_request(request, answer, code, message, headers, url)


_OPENER = urllib.request.build_opener(_SafeRedirects)


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        raise DownloadError(_told(url, "only https is allowed"))


def _told(url: str, what: str) -> str:
    return f"{url} was not downloaded: {what}; try again, or download it by hand and give its path as DATA"
