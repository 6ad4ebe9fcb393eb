"""Polling pace: seconds between two questions that an account is asked; AWS counts them, this machine does not."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from botocore.client import BaseClient

HERE_SECONDS = 0.2


def is_here(client: BaseClient) -> bool:
    """Tell whether a client calls the embedded AWS."""
    return urlsplit(client.meta.endpoint_url).hostname in ("localhost", "127.0.0.1")


def pauses(client: BaseClient | None = None, *, most: float = 5.0) -> Iterator[float]:
    """Yield seconds between two looks: short at first, never more than ``most``, nor than a moment on this machine."""
    pause = 0.05
    if client is not None and is_here(client):
        most = HERE_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, most)
