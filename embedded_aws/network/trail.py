"""A record of every connection that a job asked for: like a VPC's flow log, with the reason beside the verdict."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

KEPT = 10_000  # entries in memory; older ones go first
FILE_BYTES = 4_000_000  # then the file begins anew


@dataclass(frozen=True)
class Entry:
    """One connection: who asked for which address, whether it came about, and what dropped it."""

    job: str
    source: str  # the private address of the job's interface, empty without one
    destination: str  # host:port as it was asked for
    allowed: bool
    reason: str = ""
    moment: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


class Trail:
    """The last connections, in memory and as lines of JSON in a file.

    Parameters
    ----------
    file : Path, optional
        Where other processes read along; one that grows beyond 4 MB begins anew.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        if file:
            file.unlink(missing_ok=True)

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        with self._lock:
            self._entries.append(entry)
            if self.file:
                begin_anew = self.file.exists() and self.file.stat().st_size > FILE_BYTES
                with self.file.open("w" if begin_anew else "a") as lines:
                    lines.write(json.dumps(asdict(entry)) + "\n")

    def entries(self) -> list[Entry]:
        """Return what is kept, oldest first."""
        with self._lock:
            return list(self._entries)


def read(file: Path) -> list[Entry]:
    """Return the entries of a trail's file, oldest first."""
    if not file.exists():
        return []
    return [Entry(**json.loads(line)) for line in file.read_text().splitlines()]
