"""Event history (LookupEvents): what everybody did and tried, read from the gate's trail."""

from __future__ import annotations

from typing import Any

from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.responses import ActionResult

from embedded_aws.gate.trail import Entry, Trail

PAGE = 50


class EventHistory(CloudTrailResponse):
    """moto's CloudTrail, with ``LookupEvents``.

    Two differences from AWS: events are there at once, not after minutes, and those about data (S3 objects) are among
    them.
    """

    trail: Trail

    def lookup_events(self) -> ActionResult:
        """LookupEvents, newest first."""
        wanted = {
            item["AttributeKey"]: item["AttributeValue"] for item in self._get_param("LookupAttributes", []) or []
        }
        begin, end = self._get_param("StartTime", 0), self._get_param("EndTime", float("inf"))
        entries = [
            entry
            for entry in self.trail.of(self.current_account)
            if _fits(entry, wanted) and float(begin) <= entry.moment.timestamp() <= float(end)
        ]
        first = int(self._get_param("NextToken") or 0)
        size = int(self._get_param("MaxResults") or PAGE)
        more = {"NextToken": str(first + size)} if first + size < len(entries) else {}
        return ActionResult({"Events": [_event(entry) for entry in entries[first : first + size]], **more})


def _fits(entry: Entry, wanted: dict[str, str]) -> bool:
    has = {
        "EventName": entry.operation,
        "EventSource": f"{entry.service}.amazonaws.com",
        "EventId": entry.event_id,
        "ResourceName": entry.resource,
        "Username": entry.principal.rpartition("/")[2],
        "ReadOnly": str(entry.operation.startswith(("Get", "List", "Describe", "Head", "Lookup"))).lower(),
    }
    return all(has.get(key) == value for key, value in wanted.items())


def _event(entry: Entry) -> dict[str, Any]:
    return {
        "EventId": entry.event_id,
        "EventName": entry.operation,
        "EventTime": entry.moment,
        "EventSource": f"{entry.service}.amazonaws.com",
        "Username": entry.principal.rpartition("/")[2],
        "Resources": [{"ResourceName": entry.resource}],
        "CloudTrailEvent": entry.event(),
    }
