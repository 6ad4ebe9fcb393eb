"""Audit log: a record of every decision, newest last, in the shape of CloudTrail's events."""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

KEPT = 20_000  # decisions; older ones go first


@dataclass(frozen=True)
class Entry:
    """One decision: who wanted what, whether it was allowed, and which statement said so."""

    account: str  # of who asked
    owner: str  # of what was asked for
    principal: str
    region: str
    service: str
    operation: str
    action: str
    resource: str
    allowed: bool
    message: str  # what the one who asked was told; empty if it was allowed
    statement: str  # the statement that decided, or the one that came closest
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    event_id: str = field(default_factory=lambda: secrets.token_hex(16))

    def event(self) -> str:
        """Return the decision as a CloudTrail event, JSON; ``additionalEventData`` names the statement."""
        refused = {} if self.allowed else {"errorCode": "AccessDenied", "errorMessage": self.message}
        return json.dumps(
            {
                "eventTime": f"{self.moment:%Y-%m-%dT%H:%M:%SZ}",
                "eventSource": f"{self.service}.amazonaws.com",
                "eventName": self.operation,
                "awsRegion": self.region,
                "userIdentity": {"arn": self.principal, "accountId": self.account},
                "resources": [{"ARN": self.resource, "accountId": self.owner}],
                "recipientAccountId": self.owner,
                "eventID": self.event_id,
                "additionalEventData": {"action": self.action, "statement": self.statement},
                **refused,
            }
        )


class Trail:
    """The last decisions of all accounts."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        """Keep a decision."""
        with self._lock:
            self._entries.append(entry)

    def of(self, account: str) -> Iterator[Entry]:
        """Yield the decisions that an account took part in, newest first."""
        with self._lock:
            entries = list(self._entries)
        return (entry for entry in reversed(entries) if account in (entry.account, entry.owner))
