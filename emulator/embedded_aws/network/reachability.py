"""Reachability analysis: would AWS deliver a packet, and if not, what drops it first; a pure function of the state.

Checked in the order in which a connection meets them: the rules out of the source's security groups, the routes of its
subnet, the peering, the interface that has the address, the rules into that one's groups, and the routes back. Security
groups are stateful, so an answer needs a route but no rule; a peering carries packets between its own two VPCs only.

Source: AWS, VPC user guide, "Configure route tables" and "Security group rules"; VPC peering guide, "How VPC peering
connections work"; PrivateLink guide, "Gateway endpoints for Amazon S3" and "Access an AWS service".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from operator import attrgetter

from embedded_aws.network.model import (
    BALANCER,
    LOCAL,
    Block,
    Endpoint,
    Group,
    Interface,
    Route,
    RouteTable,
    Rule,
    Snapshot,
    Target,
)

HTTPS = 443
_ANYWHERE = Block(IPv4Network("0.0.0.0/0"))
_EGRESS, _INGRESS = attrgetter("egress"), attrgetter("ingress")
# What an AWS SDK calls a service, where its endpoint is called otherwise.
_NAMES = {"sagemaker": "sagemaker.api", "sagemaker-runtime": "sagemaker.runtime", "ecr": "ecr.api"}


class Stage(Enum):
    """How far the first packet of a connection comes."""

    HELD_BACK = "by the security groups of who sends it"
    LOST = "on the way"
    TURNED_AWAY = "by the security groups of whom it is for"
    NO_WAY_BACK = "of the answer"
    CONNECTED = "answered"


@dataclass(frozen=True)
class Verdict:
    """Whether a connection comes about, and in one sentence why not."""

    allowed: bool
    reason: str = ""
    to: Interface | None = None  # the interface that has the address, if a packet comes so far
    port: int | None = None  # at which it arrives there, where a load balancer has passed it on
    endpoint: Endpoint | None = None  # that carries the connection to an AWS service; None: a NAT gateway does
    stage: Stage = Stage.LOST


class _Dropped(Exception):
    """Says what drops the packet."""


def connection(snapshot: Snapshot, source: Interface, address: IPv4Address, port: int) -> Verdict:
    """Tell whether TCP from an interface to ``address:port`` comes about.

    Parameters
    ----------
    snapshot : Snapshot
        The state of all accounts.
    source : Interface
        Who connects; one of the snapshot's.
    address : IPv4Address
        Of whom it wants to reach, a private address.
    port : int
        TCP port, 1 to 65535.
    """
    to, stage = None, Stage.HELD_BACK
    try:
        _let_out(snapshot, source, address, port)
        stage = Stage.LOST
        to = _carried(snapshot, source, address)
        stage = Stage.TURNED_AWAY
        _let_in(snapshot, source, to, port)
        target = _target(snapshot, source, to, port) if to.id in snapshot.balancers else None
        stage = Stage.NO_WAY_BACK
        _carried_back(snapshot, source, to)
    except _Dropped as dropped:
        return Verdict(False, str(dropped), to=to, stage=stage)
    if target:
        return Verdict(True, to=snapshot.interfaces[target.pod], port=target.port, stage=Stage.CONNECTED)
    return Verdict(True, to=to, stage=Stage.CONNECTED)


def still_routed(snapshot: Snapshot, source: Interface, address: IPv4Address) -> Verdict:
    """Tell whether packets of an established connection still find their way, there and back.

    Routes, peerings and interfaces are looked at for every packet, security groups are not: AWS tracks an established
    connection and lets it pass until it ends, whatever rules have gone since.
    """
    try:
        _owned(snapshot, source)
        to = _carried(snapshot, source, address)
        _carried_back(snapshot, source, to)
    except _Dropped as dropped:
        return Verdict(False, str(dropped))
    return Verdict(True, to=to)


def service(snapshot: Snapshot, source: Interface, name: str) -> Verdict:
    """Tell whether an interface reaches an AWS service, and through which VPC endpoint.

    Parameters
    ----------
    snapshot, source
        As for :func:`connection`.
    name : str
        As boto3 calls the service (``"s3"``, ``"logs"``, ``"sagemaker"``) or its endpoint (``"ecr.dkr"``).
    """
    name = _NAMES.get(name, name)
    mine = [
        endpoint for endpoint in snapshot.endpoints.values() if (endpoint.vpc, endpoint.service) == (source.vpc, name)
    ]
    try:
        _owned(snapshot, source)
        # Private DNS sends the service's name to the interface endpoint, whatever else there is.
        for endpoint in mine:
            if endpoint.kind == "Interface" and endpoint.private_dns and snapshot.vpcs[source.vpc].dns:
                return _through_interface(snapshot, source, endpoint)
        table = _table(snapshot, source)
        for endpoint in mine:
            if endpoint.kind == "Gateway" and any(route.target == endpoint.id for route in table.routes):
                _let_out_to_all(snapshot, source, endpoint)
                return Verdict(True, endpoint=endpoint)
        return _through_nat(snapshot, source, table, name, mine)
    except _Dropped as dropped:
        return Verdict(False, str(dropped))


def _let_out(snapshot: Snapshot, source: Interface, address: IPv4Address, port: int) -> None:
    _owned(snapshot, source)
    to = _member(snapshot, source.vpc, address)
    if not _allows(snapshot, source, _EGRESS, port=port, address=address, other=to):
        raise _Dropped(
            f"no egress rule of {_groups(source)} in account {source.account} allows TCP {port} to {address}"
        )
    isolation = snapshot.isolations.get(source.id)
    if isolation and isolation.egress is not None and not any(p.lets(address, port) for p in isolation.egress):
        raise _Dropped(
            f"no NetworkPolicy of pod {isolation.pod} in account {source.account} lets out TCP {port} to {address}"
        )


def _let_in(snapshot: Snapshot, source: Interface, to: Interface, port: int) -> None:
    if to.kind == BALANCER and not to.groups:
        return
    if not _allows(snapshot, to, _INGRESS, port=port, address=source.address, other=source):
        raise _Dropped(
            f"no ingress rule of {_groups(to)} in account {to.account} allows TCP {port} from {source.address}"
        )
    _past_policies(snapshot, source, to, port)


def _past_policies(snapshot: Snapshot, source: Interface, to: Interface, port: int) -> None:
    isolation = snapshot.isolations.get(to.id)
    permits = isolation.ingress if isolation else None
    if isolation and permits is not None and not any(permit.lets(source.address, port) for permit in permits):
        raise _Dropped(
            f"no NetworkPolicy of pod {isolation.pod} in account {to.account} lets in TCP {port} from {source.address}"
        )


def _target(snapshot: Snapshot, source: Interface, to: Interface, port: int) -> Target | None:
    """Return the pod to which a load balancer passes a connection on, which keeps its source address.

    None where no pod is behind it: then the load balancer itself refuses.
    """
    targets = snapshot.balancers[to.id].targets.get(port, ())
    dropped = None
    for target in targets:
        if target.node in snapshot.interfaces and target.pod in snapshot.interfaces:
            try:
                _let_in(snapshot, source, snapshot.interfaces[target.node], target.node_port)
                _past_policies(snapshot, source, snapshot.interfaces[target.pod], target.port)
            except _Dropped as error:
                dropped = error
            else:
                return target
    if dropped:
        raise dropped
    return None


def _let_out_to_all(snapshot: Snapshot, source: Interface, endpoint: Endpoint) -> None:
    """A gateway endpoint is reached at any address of its prefix list."""
    ranges = snapshot.ranges(endpoint.prefix_list)
    for rule in _rules(snapshot, source, _EGRESS):
        wide = rule.cidr is not None and ranges and all(cidr.subnet_of(rule.cidr) for cidr in ranges)
        if rule.serves(HTTPS) and (rule.prefix_list == endpoint.prefix_list is not None or wide):
            _policies_let_out_to(snapshot, source, ranges)
            return
    raise _Dropped(
        f"no egress rule of {_groups(source)} in account {source.account} allows TCP {HTTPS} to the prefix list "
        f"{endpoint.prefix_list} of {endpoint.id}"
    )


def _policies_let_out_to(snapshot: Snapshot, source: Interface, ranges: Iterable[IPv4Network]) -> None:
    isolation = snapshot.isolations.get(source.id)
    if isolation is None or isolation.egress is None:
        return
    blocks = [block for permit in isolation.egress if permit.serves(HTTPS) for block in permit.blocks or (_ANYWHERE,)]
    for cidr in ranges:
        if not any(cidr.subnet_of(block.cidr) and not any(cidr.overlaps(b) for b in block.but) for block in blocks):
            raise _Dropped(
                f"no NetworkPolicy of pod {isolation.pod} in account {source.account} lets out TCP {HTTPS} to {cidr}"
            )


def _allows(
    snapshot: Snapshot,
    interface: Interface,
    side: Callable[[Group], Iterable[Rule]],
    *,
    port: int,
    address: IPv4Address,
    other: Interface | None,
) -> bool:
    return any(
        rule.serves(port)
        and (
            (rule.cidr is not None and address in rule.cidr)
            or (rule.prefix_list and any(address in cidr for cidr in snapshot.ranges(rule.prefix_list)))
            or (rule.group and other and rule.group in other.groups and _may_name(snapshot, interface, other))
        )
        for rule in _rules(snapshot, interface, side)
    )


def _may_name(snapshot: Snapshot, interface: Interface, other: Interface) -> bool:
    """Rules may name groups of the same VPC, and of one that an active peering connects."""
    return interface.vpc == other.vpc or snapshot.are_peered(interface.vpc, other.vpc)


def _rules(snapshot: Snapshot, interface: Interface, side: Callable[[Group], Iterable[Rule]]) -> Iterable[Rule]:
    return (rule for name in interface.groups if name in snapshot.groups for rule in side(snapshot.groups[name]))


def _member(snapshot: Snapshot, vpc: str, address: IPv4Address) -> Interface | None:
    """Return who has an address as seen from a VPC: in it, or in one that is peered with it."""
    matching = [interface for interface in snapshot.interfaces.values() if address in interface.addresses]
    near = [interface for interface in matching if interface.vpc == vpc] or [
        interface for interface in matching if snapshot.are_peered(vpc, interface.vpc)
    ]
    return near[0] if near else None


def _carried(snapshot: Snapshot, source: Interface, address: IPv4Address) -> Interface:
    """Follow the routes from the source's subnet to the interface that has the address."""
    table = _table(snapshot, source)
    route = _longest(snapshot, table, address)
    where = f"{table.id} of {source.subnet} in account {source.account}"
    if route is None:
        raise _Dropped(f"{where} has no route to {address}" + ("" if address.is_private else ": there is no internet"))
    if route.target == LOCAL:
        vpc = source.vpc
    elif route.target.startswith("pcx-"):
        vpc = _across(snapshot, source.vpc, route.target, where)
        if not any(address in cidr for cidr in snapshot.vpcs[vpc].cidrs):
            raise _Dropped(f"{route.target} leads to {vpc} only, which does not contain {address}: peering ends there")
    else:
        raise _Dropped(f"{where} sends {address} to {route.target}, which does not carry it: there is no internet")
    to = snapshot.interface_at(vpc, address)
    if to is None:
        raise _Dropped(f"no network interface in {vpc} has the address {address}")
    return to


def _carried_back(snapshot: Snapshot, source: Interface, to: Interface) -> None:
    table = _table(snapshot, to)
    where = f"{table.id} of {to.subnet} in account {to.account}"
    route = _longest(snapshot, table, source.address)
    if route is None:
        raise _Dropped(f"{where} has no route back to {source.address}")
    if route.target == LOCAL:
        back = to.vpc
    elif route.target.startswith("pcx-"):
        back = _across(snapshot, to.vpc, route.target, where)
    else:
        back = None
    if back != source.vpc:
        raise _Dropped(f"{where} sends the answer for {source.address} to {route.target}, not back to {source.vpc}")


def _across(snapshot: Snapshot, vpc: str, name: str, where: str) -> str:
    peering = snapshot.peerings.get(name)
    if peering is None:
        raise _Dropped(f"{where} leads to {name}, which does not exist")
    if peering.state == "failed":
        raise _Dropped(f"{name} failed: the CIDRs of {peering.requester} and {peering.accepter} overlap")
    if peering.state != "active":
        raise _Dropped(f"{where} leads to {name}, which is {peering.state} and not active")
    if (peer := peering.peer_of(vpc)) is None:
        raise _Dropped(f"{where} leads to {name}, which does not connect {vpc}")
    return peer


def _longest(snapshot: Snapshot, table: RouteTable, address: IPv4Address) -> Route | None:
    """Return the most specific route; ``local`` wins for the VPC's own addresses."""
    matching: list[tuple[bool, int, Route]] = []
    for route in table.routes:
        ranges = (route.to,) if isinstance(route.to, IPv4Network) else snapshot.ranges(route.to)
        matching += [(route.target == LOCAL, cidr.prefixlen, route) for cidr in ranges if address in cidr]
    return max(matching, key=lambda item: item[:2])[2] if matching else None


def _through_interface(snapshot: Snapshot, source: Interface, endpoint: Endpoint) -> Verdict:
    verdict = Verdict(False, f"{endpoint.id} for {endpoint.service} has no network interface: give it a subnet")
    for name in endpoint.interfaces:
        if name in snapshot.interfaces:
            verdict = connection(snapshot, source, snapshot.interfaces[name].address, HTTPS)
            if verdict.allowed:
                return Verdict(True, to=verdict.to, endpoint=endpoint)
    return Verdict(False, f"{endpoint.id} for {endpoint.service} is not reached: {verdict.reason}")


def _through_nat(snapshot: Snapshot, source: Interface, table: RouteTable, name: str, mine: list[Endpoint]) -> Verdict:
    """AWS services are also reached by way of a NAT gateway; nothing else of the internet is here."""
    for route in table.routes:
        subnet = snapshot.nat_gateways.get(route.target)
        public = snapshot.table_of(subnet) if subnet in snapshot.subnets else None
        if public and any(public_route.target in snapshot.internet_gateways for public_route in public.routes):
            if any(
                rule.serves(HTTPS) and rule.cidr and rule.cidr.prefixlen == 0
                for rule in _rules(snapshot, source, _EGRESS)
            ):
                return Verdict(True)
            raise _Dropped(f"no egress rule of {_groups(source)} allows TCP {HTTPS} to 0.0.0.0/0")
    where = f"{table.id} of {source.subnet}"
    for endpoint in mine:
        if endpoint.kind == "Gateway":
            raise _Dropped(f"{where} in account {source.account} has no route to {endpoint.id} for {name}")
        raise _Dropped(f"{endpoint.id} for {name} has no private DNS in {source.vpc}: names lead to the internet")
    raise _Dropped(
        f"{source.vpc} in account {source.account} has no VPC endpoint for {name}, and {where} no way to the internet"
    )


def _table(snapshot: Snapshot, interface: Interface) -> RouteTable:
    table = snapshot.table_of(interface.subnet) if interface.subnet in snapshot.subnets else None
    if table is None:
        raise _Dropped(f"{interface.subnet} in account {interface.account} has no route table")
    return table


def _owned(snapshot: Snapshot, interface: Interface) -> None:
    if interface.id not in snapshot.interfaces:
        raise _Dropped(f"{interface.id} in account {interface.account} does not exist any more")


def _groups(interface: Interface) -> str:
    return " or ".join(interface.groups) or f"{interface.id} (which has no security group)"
