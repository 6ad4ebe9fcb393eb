"""VPC flow logs, read: how many bytes each network interface of an account sent and received, and with whom.

Source: AWS, VPC user guide, "Flow log records", the default format of version 2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from botocore.client import BaseClient

from workshop.aws.flow_logs import FIELDS

COLUMNS = ["interface", "with", "action", "records", "bytes"]


@dataclass(frozen=True)
class Interface:
    """A network interface of the VPC: its address, and what it belongs to."""

    address: str
    of: str


def interfaces(ec2: BaseClient, vpc: str) -> dict[str, Interface]:
    """Return the VPC's network interfaces by id: those of jobs and notebooks, and of every endpoint its service."""
    inside = [{"Name": "vpc-id", "Values": [vpc]}]
    services = {
        eni: endpoint["ServiceName"].split(".", 3)[-1]
        for endpoint in ec2.describe_vpc_endpoints(Filters=inside)["VpcEndpoints"]
        for eni in endpoint.get("NetworkInterfaceIds") or ()
    }
    by_id = {}
    for interface in ec2.describe_network_interfaces(Filters=inside)["NetworkInterfaces"]:
        eni, description = interface["NetworkInterfaceId"], interface.get("Description", "").lower()
        kind = "notebook instance" if "notebook" in description else "job"
        by_id[eni] = Interface(interface["PrivateIpAddress"], f"endpoint {services[eni]}" if eni in services else kind)
    return by_id


def latest(records: Iterable[str]) -> float:
    """Return until when records tell, also those of minutes without traffic, in seconds since 1970; 0 without any."""
    ends = (dict(zip(FIELDS, record.split(), strict=False)).get("end", "") for record in records)
    return max((float(end) for end in ends if end.isdigit()), default=0.0)


def table(
    records: Iterable[str], known: Mapping[str, Interface], *, places: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Add up records: one line per interface, whom it spoke with, and whether that was let through.

    Parameters
    ----------
    records : iterable of str
        Lines in the default format; those without data are skipped.
    known : mapping
        The interfaces by id, also those that are gone by now.
    places : mapping
        Networks by the name that the table is to tell; what lies in none of them is ``elsewhere``.

    Returns
    -------
    DataFrame
        Columns interface, with, action (ACCEPT or REJECT), records, bytes.
    """
    networks = [(ipaddress.ip_network(cidr), name) for name, cidrs in places.items() for cidr in cidrs]
    endpoints = {interface.address: interface.of for interface in known.values()}
    lines = list(_read(records, known, endpoints, networks))
    frame = pd.DataFrame(lines, columns=COLUMNS)
    return frame.groupby(COLUMNS[:3], as_index=False).sum()


def _read(records: Iterable[str], known: Mapping, endpoints: Mapping, networks: Sequence) -> Iterator[tuple]:
    for record in records:
        line = dict(zip(FIELDS, record.split(), strict=False))
        if line.get("status") != "OK" or line["interface"] not in known:
            continue
        mine = known[line["interface"]]
        other = line["target"] if line["source"] == mine.address else line["source"]
        address = ipaddress.ip_address(other)
        near = [name for network, name in networks if address.version == network.version and address in network]
        yield mine.of, endpoints.get(other) or (near[0] if near else "elsewhere"), line["action"], 1, int(line["bytes"])
