"""Logs of containers: a file for every start, and the reader that the API asks.

Source: Kubernetes documentation, "Logging Architecture"; CRI's log format: time, stream, whole or part, line.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

POLL = 0.05  # seconds between two looks at a log that is followed
BEAT = 5.0  # seconds after which a follower hears that nothing came
TAIL_BYTES, TAIL_LINES = 2048, 80  # of a log, in a termination message
_STAMP = re.compile(rb"(\S+) (stdout|stderr) ")


class Log:
    """The log of one start of a container.

    Parameters
    ----------
    path : Path
    seen : callable
        Takes paths of this machine out of a line.
    """

    def __init__(self, path: Path, seen: Callable[[str], str] = lambda text: text) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._seen = path, seen
        self._file = path.open("ab", buffering=0)
        self._rest = {"stdout": b"", "stderr": b""}
        self._lock = threading.Lock()

    def feed(self, stream: str, chunk: bytes) -> None:
        """Write what a process has written."""
        with self._lock:
            *lines, self._rest[stream] = (self._rest[stream] + chunk).split(b"\n")
            self._write(stream, lines)

    def close(self) -> None:
        """Write what is left."""
        with self._lock:
            for stream, rest in self._rest.items():
                if rest:
                    self._write(stream, [rest])
            self._rest = dict.fromkeys(self._rest, b"")
            self._file.close()

    def _write(self, stream: str, lines: list[bytes]) -> None:
        for line in lines:
            text = self._seen(line.decode(errors="replace"))
            self._file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {stream} {text}\n".encode())


def read(
    path: Path, ended: Callable[[], bool], *, follow: bool, tail_lines: int | None, since_seconds: int | None,
    timestamps: bool,
) -> Iterator[bytes]:  # fmt: skip
    """Yield a log's lines; of one that is followed until its process has ended, with empty pieces in between."""
    since = datetime.now(UTC) - timedelta(seconds=since_seconds) if since_seconds is not None else None
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        lines = file.read().splitlines(keepends=True)
        if tail_lines is not None:
            lines = lines[-tail_lines:] if tail_lines else []
        yield b"".join(shown for line in lines if (shown := _shown(line, since, timestamps=timestamps)))
        rest, heard = b"", time.monotonic()
        while follow:
            over = ended()  # asked before the last look
            if chunk := file.read():
                *whole, rest = (rest + chunk).split(b"\n")
                yield b"".join(_shown(line + b"\n", None, timestamps=timestamps) for line in whole)
                heard = time.monotonic()
            elif over:
                return
            elif time.monotonic() - heard > BEAT:
                yield b""  # who has hung up is noticed
                heard = time.monotonic()
            else:
                time.sleep(POLL)


def _shown(line: bytes, since: datetime | None, *, timestamps: bool) -> bytes:
    match = _STAMP.match(line)
    if match is None:
        return line
    if since and datetime.strptime(match[1].decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) < since:
        return b""
    return match[1] + b" " + line[match.end() :] if timestamps else line[match.end() :]


def tail(path: Path) -> str:
    """Return the end of a log, as a termination message shows it."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)[-TAIL_LINES:]
    except OSError:
        return ""
    return b"".join(_shown(line, None, timestamps=False) for line in lines)[-TAIL_BYTES:].decode(errors="replace")
