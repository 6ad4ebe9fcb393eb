"""Download over https with a checksum: a progress bar, and a file in its place only once its SHA-256 was compared."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from data_prep.errors import DataError

LARGER = 2  # nobody's disk is filled by a wrong address: so many times the expected size at most


class DownloadError(DataError):
    """A file could not be fetched."""


@dataclass(frozen=True)
class Remote:
    """A file somewhere else.

    Parameters
    ----------
    url, sha256 : str
        Where it is, and the SHA-256 of its bytes.
    size : int
        Bytes.
    name : str
        What people call it.
    remedy : str
        What to do where it cannot be had.
    """

    url: str
    sha256: str
    size: int
    name: str
    remedy: str


def fetch(remote: Remote, target: Path, *, timeout: float = 30.0) -> Path:
    """Return the target; download it when it is not there, or not the one that it should be.

    The download goes to a file beside the target and takes its place only after the checksum was compared: an
    interrupted one leaves nothing that could be taken for the file.

    Parameters
    ----------
    target : Path
        Its folder is made when it is not there.
    timeout : float
        Seconds without a byte after which the server counts as silent.

    Raises
    ------
    DownloadError
        Names the address, what happened and what to do.
    """
    if target.exists() and checksum(target) == remote.sha256:
        return target
    _require_safe(remote, remote.url)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        _download(remote, part, timeout=timeout)
        if (digest := checksum(part)) != remote.sha256:
            wrong = (
                f"its SHA-256 is {digest[:12]}..., not {remote.sha256[:12]}...: it is another file, or not all of it"
            )
            raise DownloadError(_message(remote, wrong))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(remote: Remote, path: Path, *, timeout: float) -> None:
    try:
        with _opener(remote).open(remote.url, timeout=timeout) as answer, path.open("wb") as file:
            length = answer.headers.get("Content-Length")
            expected = int(length) if length else None
            received = 0
            with tqdm(total=expected or remote.size, unit="B", unit_scale=True, desc=remote.name, leave=False) as bar:
                while block := answer.read(1 << 16):
                    file.write(block)
                    received += len(block)
                    if received > LARGER * remote.size:
                        cause = f"it is larger than {LARGER * remote.size:,} bytes: it is another file"
                        raise DownloadError(_message(remote, cause))
                    bar.update(len(block))
    except urllib.error.HTTPError as error:
        raise DownloadError(_message(remote, f"the server answered {error.code} {error.reason}")) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(_message(remote, f"the connection failed ({type(error).__name__}: {reason})")) from error
    if expected is not None and received != expected:
        raise DownloadError(_message(remote, f"it ended after {received:,} of {expected:,} bytes"))


def _opener(remote: Remote) -> urllib.request.OpenerDirector:
    """Follow a redirect only to where the first address could have led."""

    class SafeRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, request, answer, code, message, headers, url):  # noqa: PLR0917 - urllib calls it so
            _require_safe(remote, url)
            return super().redirect_request(request, answer, code, message, headers, url)

    return urllib.request.build_opener(SafeRedirects)


def _require_safe(remote: Remote, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        raise DownloadError(_message(remote, "only https is allowed"))


def _message(remote: Remote, what: str) -> str:
    return f"{remote.url} was not downloaded: {what}; {remote.remedy}"
