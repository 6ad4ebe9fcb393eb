"""VPC flow log records: what is seen of a connection at each network interface, added up over an interval.

A packet that the sender's security groups hold back is a REJECT at its own interface, one that the receiver's hold back
is a REJECT there and an ACCEPT at the sender's. Without a route it is seen at the sender's only; without a way back the
answer is seen at the receiver's only. Security groups are stateful: what answers is accepted.

Sizes are what Linux would send without acknowledgements; packets of data are counted as full ones.

Source: AWS, VPC user guide, "Flow log records" and "Flow log record examples".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from embedded_aws.network.model import Interface
from embedded_aws.network.reachability import Stage, Verdict

SYN, HEADER, SEGMENT = 60, 52, 1448  # bytes
INTERVAL = 60.0  # of network.yaml; at most so long a record is about
# AWS delivers within minutes. Here the first record of a flow is there as soon as somebody might look for it.
FIRST_SECONDS, LOOK_SECONDS = 1.0, 0.5
TCP = 6


@dataclass(frozen=True)
class Flow:
    """What the packets of one record share."""

    interface: Interface
    source: IPv4Address
    source_port: int
    target: IPv4Address
    target_port: int
    action: str  # ACCEPT or REJECT


@dataclass
class Record:
    """Packets of a flow within an interval; times in seconds since 1970."""

    flow: Flow
    start: float
    packets: int = 0
    bytes: int = 0
    end: float = 0.0

    @property
    def fields(self) -> dict[str, object]:
        """The fields of the default format, by name."""
        flow = self.flow
        return {
            "version": 2,
            "account-id": flow.interface.account,
            "interface-id": flow.interface.id,
            "srcaddr": flow.source,
            "dstaddr": flow.target,
            "srcport": flow.source_port,
            "dstport": flow.target_port,
            "protocol": TCP,
            "packets": self.packets,
            "bytes": self.bytes,
            "start": int(self.start),
            "end": int(self.end),
            "action": flow.action,
            "log-status": "OK",
        }


@dataclass(frozen=True)
class Connection:
    """What somebody has asked for: from one of its ports, to an address and port."""

    source: Interface
    source_port: int
    target: IPv4Address
    target_port: int

    def there(self, at: Interface, action: str = "ACCEPT") -> Flow:
        """Return the flow towards the target, as seen at an interface."""
        return Flow(at, self.source.address, self.source_port, self.target, self.target_port, action)

    def back(self, at: Interface) -> Flow:
        """Return the flow of what answers, as seen at an interface."""
        return Flow(at, self.target, self.target_port, self.source.address, self.source_port, "ACCEPT")


def seen_of_syn(connection: Connection, verdict: Verdict) -> Iterator[Flow]:
    """Yield where the first packet of a connection is seen on its way, and the answer's, if AWS's network sends one."""
    stage, source, to = verdict.stage, connection.source, verdict.to
    yield connection.there(source, "REJECT" if stage is Stage.HELD_BACK else "ACCEPT")
    if to is None:
        return
    yield connection.there(to, "REJECT" if stage is Stage.TURNED_AWAY else "ACCEPT")
    if stage in (Stage.NO_WAY_BACK, Stage.CONNECTED):
        yield connection.back(to)
    if stage is Stage.CONNECTED:
        yield connection.back(source)


class Flows:
    """Adds up packets per flow, and delivers records.

    Parameters
    ----------
    deliver : callable
        Gets the records that are due.
    clock : callable
        Tells the time in seconds since 1970.
    """

    def __init__(self, deliver: Callable[[list[Record]], None], *, clock: Callable[[], float] = time.time) -> None:
        self._deliver, self._clock = deliver, clock
        self._open: dict[Flow, Record] = {}
        self._delivered: dict[
            Flow, float
        ] = {}  # when a flow's last record was, if that is not longer ago than a record
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, flow: Flow, packets: int, octets: int) -> None:
        """Count packets of a flow."""
        now = self._clock()
        with self._lock:
            record = self._open.setdefault(flow, Record(flow, now))
            record.packets, record.bytes, record.end = record.packets + packets, record.bytes + octets, now
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flow-logs", daemon=True)
                self._thread.start()

    def syn(self, connection: Connection, verdict: Verdict) -> None:
        """Count the first packet of a connection, and what answers it."""
        for flow in seen_of_syn(connection, verdict):
            self.add(flow, 1, SYN)

    def data(self, connection: Connection, to: Interface, size: int, *, back: bool) -> None:
        """Count bytes of an established connection, at both of its ends."""
        packets = -(-size // SEGMENT)
        for at in (connection.source, to):
            self.add(connection.back(at) if back else connection.there(at), packets, size + packets * HEADER)

    def due(self) -> list[Record]:
        """Take the records whose time has come: a flow's first one soon, later ones after the interval."""
        now, due = self._clock(), []
        with self._lock:
            self._delivered = {flow: at for flow, at in self._delivered.items() if now - at < INTERVAL}
            for flow, record in list(self._open.items()):
                if now - record.start >= (INTERVAL if flow in self._delivered else FIRST_SECONDS):
                    due.append(self._open.pop(flow))
            self._delivered |= dict.fromkeys((record.flow for record in due), now)
        return due

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            if due := self.due():
                self._deliver(due)
