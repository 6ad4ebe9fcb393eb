"""VPC peering connections: their lifecycle, and what each of the two accounts sees of it and may do in which state.

Source: AWS, VPC peering guide, "VPC peering connection lifecycle" and "Delete a VPC peering connection"; EC2 API
reference, CreateVpcPeeringConnection, DeleteVpcPeeringConnection, DescribeVpcPeeringConnections and "Error codes".
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import OperationNotPermitted2, OperationNotPermitted3, OperationNotPermitted5
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnection
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_vpc_peering_connection_id

from embedded_aws.services.ec2.errors import INVALID_VALUE, refuse

ACTIVE, PENDING, FAILED = "active", "pending-acceptance", "failed"
OVER = ("deleted", "rejected", FAILED, "expired")
HOUR, DAY = 3600.0, 86_400.0
EXPIRES = 7 * DAY
_FAILED = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"


@dataclass(frozen=True)
class Unknown:
    """The VPC on the other side of a request that leads nowhere."""

    id: str
    owner_id: str
    region: str
    cidr_block: str = ""


class Peering(VPCPeeringConnection):
    """One connection; both accounts hold the same, and each has its own tags for it."""

    def __init__(self, backend: Any, name: str, vpc: Any, peer_vpc: Any, tags: dict[str, str] | None) -> None:
        super().__init__(backend, name, vpc, peer_vpc, tags)
        self.created = self._since = time.time()
        self._by = vpc.owner_id
        self.within = vpc.owner_id == peer_vpc.owner_id

    @property
    def state(self) -> str:
        """The state now: a request that nobody answers expires."""
        if self._status.code == PENDING and time.time() > self.created + EXPIRES:
            self._status.code, self._status.message = "expired", "Expired"
            self._since = self.created + EXPIRES
        return self._status.code

    def turn(self, state: str, message: str, by: str) -> None:
        """Go over to another state, by the hand of an account."""
        self._status.code, self._status.message = state, message
        self._since, self._by = time.time(), by

    def is_seen_by(self, account: str) -> bool:
        """Tell whether an account still sees the connection: one that is over fades."""
        state, by_me = self.state, account == self._by
        if state == FAILED and account != self.vpc.owner_id:
            return False
        hours = {"deleted": HOUR * 2 if by_me or self.within else DAY * 2, FAILED: HOUR * 2, "expired": DAY * 2}
        hours["rejected"] = HOUR * 2 if by_me or self.within else DAY * 2
        return time.time() <= self._since + hours.get(state, float("inf"))

    def connects(self, vpc: str, other: str) -> bool:
        """Tell whether these are the two VPCs."""
        return {vpc, other} == {self.vpc.id, self.peer_vpc.id}

    def joins(self, vpc: str) -> bool:
        """Tell whether a VPC is one of the two."""
        return vpc in (self.vpc.id, self.peer_vpc.id)

    def told_to(self, account: str, tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Return what DescribeVpcPeeringConnections says to an account, which sees its own tags only."""
        sides = {"RequesterVpcInfo": self.requester_vpc_info, "AccepterVpcInfo": self.accepter_vpc_info}
        state = self.state
        # The requester learns the other's addresses when the other has agreed.
        if state != ACTIVE and account != self.peer_vpc.owner_id:
            sides["AccepterVpcInfo"] = {name: sides["AccepterVpcInfo"][name] for name in ("OwnerId", "Region", "VpcId")}
        expires = {"ExpirationTime": datetime.fromtimestamp(self.created + EXPIRES, UTC)} if state == PENDING else {}
        listed = [{"Key": tag["key"], "Value": tag["value"]} for tag in tags]
        return {"VpcPeeringConnectionId": self.id, **sides, "Status": self.status, "Tags": listed, **expires}


def ranges(vpc: Any) -> list[IPv4Network]:
    """Return the address ranges of one of moto's VPCs."""
    listed = getattr(vpc, "get_cidr_block_association_set", lambda: [])()
    kept = [
        association["cidr_block"]
        for association in listed
        if association["cidr_block_state"]["state"] != "disassociated"
    ]
    return [IPv4Network(cidr, strict=False) for cidr in kept]


def overlap(one: Iterable[IPv4Network], other: Sequence[IPv4Network]) -> bool:
    """Tell whether two lists of ranges share an address."""
    return any(mine.overlaps(theirs) for mine in one for theirs in other)


class Peerings(EC2Backend):
    """moto's peering connections, mended: it lets everybody do everything, and shows everybody's tags."""

    def create_vpc_peering_connection(self, vpc: Any, peer_vpc: Any, tags: dict[str, str] | None = None) -> Peering:
        """Ask for a connection; it fails at once if it can never carry a packet."""
        existing = [peering for peering in list(self.vpc_pcxs.values()) if peering.connects(vpc.id, peer_vpc.id)]
        if any(peering.state in (ACTIVE, PENDING) for peering in existing):
            message = f"A VPC peering connection between {vpc.id} and {peer_vpc.id} already exists"
            raise refuse("VpcPeeringConnectionAlreadyExists", message)
        made = Peering(self, random_vpc_peering_connection_id(), vpc, peer_vpc, tags)
        self.vpc_pcxs[made.id] = made
        if isinstance(peer_vpc, Unknown) or overlap(ranges(vpc), ranges(peer_vpc)):
            made.turn(FAILED, _FAILED, self.account_id)
            return made
        made._status.pending()
        peer_vpc.ec2_backend.vpc_pcxs[made.id] = made
        return made

    def get_vpc_peering_connection(self, vpc_pcx_id: str) -> Peering:
        """Return a connection that this account sees."""
        peering = self.vpc_pcxs.get(vpc_pcx_id)
        if peering is None or not peering.is_seen_by(self.account_id):
            raise not_found(vpc_pcx_id)
        return peering

    def accept_vpc_peering_connection(self, vpc_pcx_id: str) -> Peering:
        """Accept a request; only the owner of the VPC that was asked for may."""
        peering = self._answer(vpc_pcx_id, "accept", ACTIVE, OperationNotPermitted2)
        peering.turn(ACTIVE, "Active", self.account_id)
        return peering

    def reject_vpc_peering_connection(self, vpc_pcx_id: str) -> Peering:
        """Reject a request; only the owner of the VPC that was asked for may."""
        peering = self._answer(vpc_pcx_id, "reject", "rejected", OperationNotPermitted3)
        peering.turn("rejected", "Inactive", self.account_id)
        return peering

    def delete_vpc_peering_connection(self, vpc_pcx_id: str) -> Peering:
        """Delete a connection: either side if it is active, while nobody has accepted it only who asked for it."""
        peering = self.get_vpc_peering_connection(vpc_pcx_id)
        if peering.state not in (ACTIVE, PENDING):
            raise _no_way(peering, "deleting")
        if peering.state == PENDING and self.account_id != peering.vpc.owner_id:
            raise OperationNotPermitted5(self.account_id, vpc_pcx_id, "delete")
        peering.turn("deleted", f"Deleted by {self.account_id}", self.account_id)
        return peering

    def _answer(self, name: str, verb: str, state: str, wrong_region: type[Exception]) -> Peering:
        peering = self.get_vpc_peering_connection(name)
        if self.account_id != peering.peer_vpc.owner_id:
            raise OperationNotPermitted5(self.account_id, name, verb)
        if self.region_name != peering.peer_vpc.region:
            raise wrong_region(self.region_name, name, peering.peer_vpc.region)
        if peering.state != PENDING:
            raise _no_way(peering, state)
        return peering

    def peering_between(self, vpc: str, other: str) -> Peering | None:
        """Return the active connection between two VPCs."""
        near = (
            peering
            for peering in list(self.vpc_pcxs.values())
            if peering.connects(vpc, other) and peering.state == ACTIVE
        )
        return next(near, None)

    def peerings_told(self, names: Sequence[str], filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """Return what this account sees of the connections that pass all filters.

        Raises
        ------
        EC2ClientError
            If a named connection is not there, or there is no such filter.
        """
        for name in filters:
            if name == "expiration-time":
                raise NotImplementedError("the filter expiration-time of DescribeVpcPeeringConnections")
            if name not in _FILTERS and not name.startswith("tag:"):
                raise refuse(INVALID_VALUE, f"The filter '{name}' is invalid")
        peerings = [self.get_vpc_peering_connection(name) for name in names] or list(self.vpc_pcxs.values())
        seen = (peering for peering in peerings if peering.is_seen_by(self.account_id))
        descriptions = [
            peering.told_to(self.account_id, self.describe_tags({"resource-id": [peering.id]})) for peering in seen
        ]
        return [
            description
            for description in descriptions
            if all(_passes(description, name, values) for name, values in filters.items())
        ]


def not_found(name: str) -> Exception:
    """Return what is said of a connection that is not there."""
    return refuse("InvalidVpcPeeringConnectionID.NotFound", f"The vpcPeeringConnection ID '{name}' does not exist")


def _no_way(peering: Peering, state: str) -> Exception:
    message = f"Invalid state transition for {peering.id}, attempted to transition from {peering.state} to {state}"
    return refuse("InvalidStateTransition", message)


_FILTERS = {
    **{
        f"{side}-vpc-info.{name}": (f"{side.title()}VpcInfo", member)
        for side in ("requester", "accepter")
        for name, member in {"cidr-block": "CidrBlock", "owner-id": "OwnerId", "vpc-id": "VpcId"}.items()
    },
    "status-code": ("Status", "Code"),
    "status-message": ("Status", "Message"),
    "vpc-peering-connection-id": ("VpcPeeringConnectionId",),
    "tag-key": ("Tags",),
}


def _passes(description: Mapping[str, Any], name: str, values: Sequence[str]) -> bool:
    """Tell whether a connection passes a filter: one of its values fits, in which ``*`` and ``?`` stand for others."""
    return any(_like(pattern, value) for pattern in values for value in _values(description, name))


def _values(description: Mapping[str, Any], name: str) -> Iterator[str]:
    if name == "tag-key":
        yield from (tag["Key"] for tag in description["Tags"])
    elif name.startswith("tag:"):
        yield from (tag["Value"] for tag in description["Tags"] if tag["Key"] == name.removeprefix("tag:"))
    else:
        for member in _FILTERS[name]:
            description = description.get(member, "")
        yield from [description] if description else []


def _like(pattern: str, value: str) -> bool:
    r"""Tell whether a value fits; a backslash takes a wildcard's meaning away.

    >>> _like("fl-*", "fl-peering"), _like("fl-?", "fl-peering"), _like(r"fl-\*", "fl-*"), _like("[f]l", "fl")
    (True, False, True, False)
    """
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    words = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(words.get(part) or re.escape(part[-1]) for part in parts), value, re.DOTALL))


class PeeringRequests(EC2Response):
    """The requests about peering connections."""

    def create_vpc_peering_connection(self) -> ActionResult:
        """CreateVpcPeeringConnection; whether a VPC of another account is there, its owner alone may know."""
        vpc = self.ec2_backend.get_vpc(self._get_param("VpcId"))
        account = self._get_param("PeerOwnerId") or self.current_account
        region, name = self._get_param("PeerRegion") or self.region, self._get_param("PeerVpcId")
        if account == self.current_account:
            peer = ec2_backends[account][region].get_vpc(name)
        else:
            theirs = ec2_backends[account].get(region) if account in ec2_backends else None
            peer = (theirs.vpcs.get(name) if theirs else None) or Unknown(name, account, region)
        tags = self._parse_tag_specification().get("vpc-peering-connection", {})
        made = self.ec2_backend.create_vpc_peering_connection(vpc, peer, tags)
        description = self._description(made)
        description["Status"] = {"Code": "initiating-request", "Message": f"Initiating Request to {account}"}
        return ActionResult({"VpcPeeringConnection": description})

    def describe_vpc_peering_connections(self) -> ActionResult:
        """DescribeVpcPeeringConnections."""
        names = self._get_param("VpcPeeringConnectionIds", [])
        descriptions = self.ec2_backend.peerings_told(names, self._filters_from_querystring())
        return ActionResult({"VpcPeeringConnections": descriptions})

    def accept_vpc_peering_connection(self) -> ActionResult:
        """AcceptVpcPeeringConnection."""
        accepted = self.ec2_backend.accept_vpc_peering_connection(self._get_param("VpcPeeringConnectionId"))
        return ActionResult({"VpcPeeringConnection": self._description(accepted)})

    def _description(self, peering: Peering) -> dict[str, Any]:
        tags = self.ec2_backend.describe_tags({"resource-id": [peering.id]})
        return peering.told_to(self.current_account, tags)
