"""VPC flow logs, read: the records of an account, and what was last refused between two networks.

AWS delivers records within minutes: what is not there yet may still come.

Source: AWS, VPC user guide, "Flow log records", the default format of version 2.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import boto3
from botocore.exceptions import ClientError

GROUP = "/fl/flow-log"  # of network.yaml
FIELDS: tuple[str, ...] = (
    "version", "account", "interface", "source", "target", "source_port", "target_port", "protocol", "packets",
    "bytes", "start", "end", "action", "status",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """From where to where: two ranges of addresses, and the port that is called."""

    source: str
    target: str
    port: int


def messages(session: boto3.Session, *, seconds: float | None = None) -> list[str]:
    """Return the records of an account's flow log so far; none where there is no such group.

    Parameters
    ----------
    session : boto3.Session
        Of the account.
    seconds : float, optional
        How far back; else all.
    """
    pages = session.client("logs").get_paginator("filter_log_events")
    since = {"startTime": int(1000 * (time.time() - seconds))} if seconds else {}
    try:
        return [event["message"] for page in pages.paginate(logGroupName=GROUP, **since) for event in page["events"]]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise


def last(records: Iterable[str], way: Way) -> dict[str, str] | None:
    """Return the newest record of packets on their way there, by field; a REJECT before an ACCEPT of that time.

    >>> old = "2 1 eni-1 10.1.0.9 10.0.0.5 40000 8080 6 1 60 1700000000 1700000001 REJECT OK"
    >>> new = "2 1 eni-1 10.1.0.9 10.0.0.5 40002 8080 6 1 60 1700000100 1700000101 ACCEPT OK"
    >>> last([new, old], Way("10.1.0.0/16", "10.0.0.0/16", 8080))["action"]
    'ACCEPT'
    """
    lines = [dict(zip(FIELDS, record.split(), strict=False)) for record in records]
    mine = [line for line in lines if line.get("status") == "OK" and _is_of(line, way)]
    return max(mine, key=lambda line: (int(line["end"]), line["action"]), default=None)


def _is_of(line: Mapping[str, str], way: Way) -> bool:
    ends = ((line["source"], way.source), (line["target"], way.target))
    return line["target_port"] == str(way.port) and all(
        ip_address(address) in ip_network(cidr) for address, cidr in ends
    )
