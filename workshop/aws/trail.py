"""CloudTrail's event history, read: who tried what in an account and was refused."""

from __future__ import annotations

import json

import boto3
import pandas as pd


def refusals(session: boto3.Session, *, look_at: int = 500) -> pd.DataFrame:
    """List what was refused in an account, oldest first.

    On AWS an event shows up after minutes, those about objects in S3 only where the account's owner has a trail that
    records data events, and an event does not name the statement.

    Parameters
    ----------
    session : boto3.Session
        Of the account's owner.
    look_at : int
        So many events, the newest, are looked at.

    Returns
    -------
    DataFrame
        Who asked, for which permission, and the statement that decided or came closest.
    """
    pages = session.client("cloudtrail").get_paginator("lookup_events").paginate(PaginationConfig={"MaxItems": look_at})
    events = [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]
    lines = [_line(event) for event in reversed(events) if "errorCode" in event]
    return pd.DataFrame(lines, columns=["who", "of account", "permission", "closest statement"])


def _line(event: dict) -> tuple[str, str, str, str]:
    identity, about = event["userIdentity"], event.get("additionalEventData") or {}
    who = "/".join(identity["arn"].split(":")[-1].split("/")[1:2])
    service = event["eventSource"].partition(".")[0]
    policy, _, rest = about.get("statement", "").partition(": ")
    statement = f"{rest.partition(':')[0]} of {policy}" if rest else "none"
    return who, identity["accountId"], about.get("action", f"{service}:{event['eventName']}"), statement
