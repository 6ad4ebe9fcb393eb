"""Log shipping: a job's output into CloudWatch Logs line by line, and the metrics in it."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

GROUP = "/aws/sagemaker/TrainingJobs"
EVENT_BYTES = 262_144 - 26  # CloudWatch Logs: 256 kB less the overhead of an event
BATCH_BYTES = 1_000_000
FLUSH_SECONDS = 0.1
log = logging.getLogger(__name__)


class JobLog:
    """Collect chunks of output, send whole lines.

    Parameters
    ----------
    logs : boto3 client
        ``logs``, with the credentials of the job's execution role.
    stream : str
        Name of the log stream.
    metrics : mapping of str to compiled pattern
        The request's ``MetricDefinitions``; the first group of a match is the metric's value.
    base : Path
        The job's folder that stands for ``/opt/ml``, and is called that in the log.
    group : str
        The log group.
    """

    def __init__(
        self, logs: Any, stream: str, *, metrics: Mapping[str, re.Pattern[str]], base: Path, group: str = GROUP
    ) -> None:
        self._logs, self._stream, self._metrics, self._group = logs, stream, metrics, group
        self._base = bytes(base)
        self._pending: list[dict[str, Any]] = []
        self._rest = {"stdout": b"", "stderr": b""}
        self._newest = 0
        self._flush_at: float | None = None
        self._exists = self._refused = False
        self.last_errors: deque[str] = deque(maxlen=5)
        self.final_metrics: dict[str, dict[str, Any]] = {}

    def feed(self, source: str, chunk: bytes) -> None:
        """Take what ``stdout`` or ``stderr`` brought; an empty chunk is its end."""
        *lines, rest = (self._rest[source] + chunk).split(b"\n")
        while len(rest) > EVENT_BYTES or (rest and not chunk):
            lines.append(rest[:EVENT_BYTES])
            rest = rest[EVENT_BYTES:]
        self._rest[source] = rest
        for line in lines:
            self._line(source, line.rstrip(b"\r").replace(self._base, b"/opt/ml"))

    def tick(self) -> float | None:
        """Send what has waited long enough; return the seconds until there is something to send again."""
        if self._flush_at is None:
            return None
        if (left := self._flush_at - time.monotonic()) > 0:
            return left
        self.flush()
        return None

    def flush(self) -> None:
        """Send every whole line."""
        self._flush_at = None
        while self._pending and not self._refused:
            batch, size = [], 0
            while self._pending and len(batch) < 10_000:
                size += len(self._pending[0]["message"].encode()) + 26
                if batch and size > BATCH_BYTES:
                    break
                batch.append(self._pending.pop(0))
            self._send(batch)

    def _line(self, source: str, line: bytes) -> None:
        for start in range(0, len(line), EVENT_BYTES):
            # A character may be cut in two here and there: it is replaced, and may need more bytes than it had.
            text = line[start : start + EVENT_BYTES].decode(errors="replace")
            message = text.encode()[:EVENT_BYTES].decode(errors="ignore")
            self._newest = max(self._newest, time.time_ns() // 1_000_000)
            self._pending.append({"timestamp": self._newest, "message": message})
            if self._flush_at is None:
                self._flush_at = time.monotonic() + FLUSH_SECONDS
            if source == "stderr":
                self.last_errors.append(message)
            self._find_metrics(message)

    def _find_metrics(self, message: str) -> None:
        for name, pattern in self._metrics.items():
            if match := pattern.search(message):
                with contextlib.suppress(ValueError, IndexError, TypeError):
                    value = float(match.group(1))
                    metric = {"MetricName": name, "Value": value, "Timestamp": datetime.now(UTC)}
                    self.final_metrics[name] = metric

    def _send(self, batch: list[dict[str, Any]]) -> None:
        try:
            if not self._exists:
                with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
                    self._logs.create_log_group(logGroupName=self._group)
                self._logs.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
                self._exists = True
            self._logs.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=batch)
        except (BotoCoreError, ClientError) as error:
            # As on AWS: a job whose role may not write its log runs all the same, silently.
            self._refused = True
            log.warning("log stream %s is lost: %s", self._stream, error)
