"""Look at everything that must be right before a federation can run; each line passes, or says what to do."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import combinations
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop import accounts, federation, peering, stacks
from workshop.errors import WorkshopError
from workshop.jobs import ClientAccount
from workshop.stacks import Stack

Line = tuple[str, str, bool, str, str]  # what was checked, of whom, whether it is right, what was found, what to do
CLOCK_SECONDS = 60  # AWS refuses signatures that are five minutes off
ENDPOINTS = ("s3", "sagemaker.api", "sts", "logs", "kms", "ecr.api", "ecr.dkr")
TRAINING_QUOTA = ("sagemaker", "ml.m5.large for training job usage")


def examine(sessions: Mapping[str, boto3.Session], connection: Mapping[str, Any]) -> pd.DataFrame:
    """Check accounts, networks, roles, buckets, the server's place.

    Parameters
    ----------
    sessions : mapping
        The owners' sessions at hand, by account name; what needs a session that is not at hand is not checked.
    connection : mapping
        From ``connect.connection_data``.

    Returns
    -------
    DataFrame
        One line per check: what, of whom, whether it is right, what was found, and what to do if it is not.
    """
    clients = {entry["name"]: ClientAccount.of(entry) for entry in connection["clients"]}
    checks: list[Callable[[], Iterator[Line]]] = [
        lambda: _identities(sessions, clients),
        lambda: _clocks(sessions),
        lambda: _networks(sessions),
        lambda: _connections(sessions),
        lambda: _endpoints(sessions),
        lambda: _roles(connection, clients),
        lambda: _buckets(sessions, connection, clients),
        lambda: _image(sessions, connection),
        lambda: _quotas(sessions),
        lambda: _place(connection),
    ]
    lines: list[Line] = []
    for check in checks:
        try:
            lines += check()
        except (WorkshopError, BotoCoreError, ClientError) as error:
            lines.append(("can be asked", "somebody", False, str(error), "read the message; then ask again"))
    return pd.DataFrame(lines, columns=["checked", "of", "ok", "found", "remedy"]).set_index("of")


def _line(checked: str, of: str, ok: bool, found: object, remedy: str) -> Line:
    return checked, of, bool(ok), str(found), "" if ok else remedy


def _identities(sessions: Mapping[str, boto3.Session], clients: Mapping[str, ClientAccount]) -> Iterator[Line]:
    found = {name: accounts.identity(name, session) for name, session in sessions.items()}
    regions = {who.region for who in found.values()}
    for name, who in found.items():
        expected = clients[name].account if name in clients else who.account
        yield _line("account", name, who.account == expected, who.account, f"point profile fl-{name} at {expected}")
    twice = len({who.account for who in found.values()}) < len(found)
    yield _line("accounts differ", "all", not twice, len(found), "give every member an account of its own")
    yield _line(
        "one region", "all", len(regions) == 1, ", ".join(sorted(regions)), "set the same region in every profile"
    )


def _clocks(sessions: Mapping[str, boto3.Session]) -> Iterator[Line]:
    answer = next(iter(sessions.values())).client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    off = abs((parsedate_to_datetime(answer["date"]) - datetime.now(UTC)).total_seconds())
    yield _line("clock", "this machine", off < CLOCK_SECONDS, f"{off:.0f} s off", "set the clock (chronyc, Settings)")


def _networks(sessions: Mapping[str, boto3.Session]) -> Iterator[Line]:
    cidrs = {name: stacks.outputs(session, Stack("network", name))["VpcCidr"] for name, session in sessions.items()}
    for (one, first), (other, second) in combinations(cidrs.items(), 2):
        if ipaddress.ip_network(first).overlaps(ipaddress.ip_network(second)):
            yield _line(
                "addresses apart", f"{one}, {other}", False, f"{first}, {second}", "choose another NETWORK in 02"
            )
            return
    yield _line("addresses apart", "all", True, ", ".join(cidrs.values()), "")


def _connections(sessions: Mapping[str, boto3.Session]) -> Iterator[Line]:
    if "server" not in sessions:
        return
    outputs = {
        name: {"fl-network": stacks.outputs(session, Stack("network", name))} for name, session in sessions.items()
    }
    for stack in [Stack("peering", "server", peer=name) for name in sessions if name != "server"]:
        outputs["server"][stack.name] = stacks.outputs(sessions["server"], stack)
    remedies = {
        "peering": "deploy fl-peering-accepter there, then fl-peering for it in the server's account",
        "route there": "deploy fl-peering-routes in the client's account",
        "route back": "deploy fl-peering for this client in the server's account",
        "job may call": "deploy fl-peering-routes in the client's account",
        "server listens": "deploy fl-peering for this client in the server's account",
    }
    for name, found in peering.table(sessions, outputs).iterrows():
        for what, remedy in remedies.items():
            yield _line(what, name, found[what] is True or found[what] == "active", found[what], remedy)


def _endpoints(sessions: Mapping[str, boto3.Session]) -> Iterator[Line]:
    for name, session in sessions.items():
        vpc = stacks.outputs(session, Stack("network", name))["VpcId"]
        wanted = [{"Name": "vpc-id", "Values": [vpc]}]
        found = session.client("ec2").describe_vpc_endpoints(Filters=wanted)["VpcEndpoints"]
        there = {
            re.sub(r"^com\.amazonaws\.[^.]+\.", "", item["ServiceName"])
            for item in found
            if item["State"].lower() == "available"
        }
        missing = [service for service in ENDPOINTS if service not in there]
        told = f"missing: {', '.join(missing)}" if missing else f"{len(ENDPOINTS)} endpoints"
        yield _line(
            "AWS's services", name, not missing, told, "deploy fl-network and fl-endpoints; wait until available"
        )


def _roles(connection: Mapping[str, Any], clients: Mapping[str, ClientAccount]) -> Iterator[Line]:
    try:
        server = accounts.notebook_session(connection["server_role"])
    except WorkshopError as error:
        remedy = "deploy fl-server-access with your own ARN as OperatorArn"
        yield _line("notebook role", "server", False, error, remedy)
        return
    yield _line("notebook role", "server", True, "can be taken", "")
    for name, client in clients.items():
        try:
            accounts.borrow(server, client, session_name="doctor")
        except WorkshopError as error:
            yield _line(
                "kick-off role", name, False, error, "its owner deploys fl-client-access with the server's role"
            )
        else:
            yield _line("kick-off role", name, True, "can be borrowed", "")


def _buckets(
    sessions: Mapping[str, boto3.Session], connection: Mapping[str, Any], clients: Mapping[str, ClientAccount]
) -> Iterator[Line]:
    buckets = {"server": connection["server_bucket"]} | {name: client.bucket for name, client in clients.items()}
    for name, session in sessions.items():
        try:
            keys = session.client("s3").list_objects_v2(Bucket=buckets[name])["KeyCount"]
            yield _line("own bucket", name, keys > 0, f"{keys} objects", "upload this owner's files with notebook 02")
        except ClientError as error:
            yield _line("own bucket", name, False, error, "deploy fl-storage")


def _image(sessions: Mapping[str, boto3.Session], connection: Mapping[str, Any]) -> Iterator[Line]:
    regions = {session.region_name for session in sessions.values()}
    fits = (
        any(f".{region}." in connection["image"] for region in regions) or "." not in connection["image"].split("/")[0]
    )
    found = connection["image"].rpartition("/")[2]
    yield _line("training image", "all", fits, found, "run notebook 02 again: the image's address is of another region")


def _quotas(sessions: Mapping[str, boto3.Session]) -> Iterator[Line]:
    service, quota = TRAINING_QUOTA
    for name, session in sessions.items():
        if name == "server":
            continue
        try:
            pages = session.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode=service)
            values = [item["Value"] for page in pages for item in page["Quotas"] if item["QuotaName"] == quota]
        except (BotoCoreError, ClientError) as error:
            told = error.response["Error"]["Code"] if isinstance(error, ClientError) else str(error)
            yield _line("quota", name, True, f"not told ({told})", "")
            continue
        enough = not values or values[0] >= 1
        yield _line("quota", name, enough, values[0] if values else "not told", f"ask AWS for one {quota}")


def _place(connection: Mapping[str, Any]) -> Iterator[Line]:
    host, port = connection["server_host"], connection["server_port"]
    try:
        place = federation.place(host, port, forwarded=accounts.target() == "embedded")
    except WorkshopError as error:
        yield _line("port", "server", False, error, "run the federation where the message says")
    else:
        yield _line("port", "server", True, f"{place.listen} is free", "")
