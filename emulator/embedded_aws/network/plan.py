"""Kernel configuration of a VPC's router namespace: routes per subnet and filters per interface.

Made from the state as it is (routes, peerings, rules), not from what ``reachability`` concludes: the kernel finds out
by itself who reaches whom, and the tests ask both. TCP only, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from embedded_aws.network.model import ANY, BALANCER, LOCAL, Block, Interface, Permit, Rule, Snapshot

ROUTER = "169.254.0.1"  # what every interface sees as its router, like AWS's first address of a subnet
REQUESTER, ACCEPTER = "169.254.1.1", "169.254.1.2"  # the two ends of a peering
FROM_PEERS = 99  # the table for what comes over a peering: this VPC's own addresses, and nothing beyond
FIRST_TABLE = 1000  # beyond the kernel's own tables


@dataclass(frozen=True)
class Devices:
    """The names of a router's devices: of the interfaces plugged into it, and of its peerings."""

    interfaces: Mapping[str, str] = field(default_factory=dict)
    peerings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A router's routes and policy rules, as iproute2 spells them, and its filter, as nft does."""

    routes: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    filter: str = ""


def plan(snapshot: Snapshot, vpc: str, devices: Devices, tables: Mapping[str, int]) -> Plan:
    """Return the plan of a VPC's router.

    Parameters
    ----------
    snapshot : Snapshot
        The state of all accounts.
    vpc : str
        Whose router it is.
    devices : Devices
        What is plugged in.
    tables : mapping
        A number of its own for each subnet that something is plugged into, from 1000.
    """
    plugged = {snapshot.interfaces[name]: device for name, device in devices.interfaces.items()}
    routes = set(_own_addresses(plugged, FROM_PEERS)) | {f"blackhole default metric 4096 table {FROM_PEERS}"}
    rules = {f"pref 1000 iif {device} lookup {FROM_PEERS}" for device in devices.peerings.values()}
    for interface, device in plugged.items():
        number = tables[interface.subnet]
        rules.add(f"pref 1000 iif {device} lookup {number}")
        routes |= set(_subnet_routes(snapshot, interface.subnet, plugged, devices, number))
    return Plan(frozenset(routes), frozenset(rules), _filter(snapshot, plugged))


def _own_addresses(plugged: Mapping[Interface, str], number: int) -> Iterator[str]:
    for interface, device in plugged.items():
        for address in interface.addresses:
            yield f"{address}/32 dev {device} table {number}"


def _subnet_routes(
    snapshot: Snapshot, subnet: str, plugged: Mapping[Interface, str], devices: Devices, number: int
) -> Iterator[str]:
    vpc = snapshot.vpcs[snapshot.subnets[subnet].vpc]
    table = snapshot.table_of(subnet)
    yield f"blackhole default metric 4096 table {number}"
    for route in table.routes if table else ():
        if route.target == LOCAL:
            yield from _own_addresses(plugged, number)
            yield from (f"blackhole {cidr} metric 2048 table {number}" for cidr in vpc.cidrs)
            continue
        for to in (route.to,) if isinstance(route.to, IPv4Network) else snapshot.ranges(route.to):
            if any(to.subnet_of(cidr) for cidr in vpc.cidrs):
                continue  # local wins
            peering = snapshot.peerings.get(route.target)
            if peering and peering.id in devices.peerings and peering.state == "active":
                via = ACCEPTER if peering.requester == vpc.id else REQUESTER
                yield f"{to} via {via} dev {devices.peerings[peering.id]} onlink metric 1024 table {number}"
            else:
                yield f"blackhole {to} metric 2048 table {number}"


def _filter(snapshot: Snapshot, plugged: Mapping[Interface, str]) -> str:
    """Security groups where the interface cannot get at them: in the router, as AWS has them in the host.

    A connection that was let through once passes whatever rules go; a packet without a route never comes so far.
    """
    chains, egress, ingress, forged = [], [], [], []
    for interface, device in sorted(plugged.items(), key=lambda item: item[1]):
        mine = [snapshot.groups[name] for name in interface.groups if name in snapshot.groups]
        out = [line for group in mine for rule in group.egress for line in _lines(snapshot, interface, rule, "daddr")]
        back = [line for group in mine for rule in group.ingress for line in _lines(snapshot, interface, rule, "saddr")]
        last = "return" if interface.kind == BALANCER and not interface.groups else "drop"
        chains += [_chain(f"out_{device}", [*out, last]), _chain(f"in_{device}", [*back, last])]
        isolation = snapshot.isolations.get(interface.id)
        for way, permits, side in (
            ("out", isolation.egress if isolation else None, "daddr"),
            ("in", isolation.ingress if isolation else None, "saddr"),
        ):
            lines = ["return"] if permits is None else [*_permitted(permits, side), "drop"]
            chains.append(_chain(f"policy_{way}_{device}", lines))
        egress.append(f'"{device}" : jump out_{device}')
        ingress.append(f'"{device}" : jump in_{device}')
        own = ", ".join(map(str, interface.addresses))
        forged.append(f'iifname "{device}" ip saddr != {{ {own} }} drop')
    forward = ["type filter hook forward priority 0; policy drop;", *forged, "ct state established,related accept"]
    if plugged:
        for name, jumps in (("iifname", egress), ("oifname", ingress)):
            policies = ", ".join(jumps).replace(" : jump ", " : jump policy_")
            forward += [f"{name} vmap {{ {', '.join(jumps)} }}", f"{name} vmap {{ {policies} }}"]
    chains.append(_chain("forward", [*forward, "accept"]))
    chains.append(_chain("input", ["type filter hook input priority 0; policy drop;"]))
    # Replaced in one transaction, so that no packet meets half of it.
    return "table ip aws {\n}\ndelete table ip aws\ntable ip aws {\n" + "".join(chains) + "}\n"


def _chain(name: str, lines: list[str]) -> str:
    return f" chain {name} {{\n" + "".join(f"  {line}\n" for line in lines) + " }\n"


def _lines(snapshot: Snapshot, interface: Interface, rule: Rule, side: str) -> Iterator[str]:
    if rule.protocol not in (ANY, "tcp", "6"):
        return
    ports = "" if rule.protocol == ANY else f"tcp dport {rule.from_port}-{rule.to_port} "
    ranges = [str(rule.cidr)] if rule.cidr else [str(cidr) for cidr in snapshot.ranges(rule.prefix_list)]
    if rule.group:
        ranges += [str(address) for address in _members(snapshot, interface, rule.group)]
    yield from (f"ip {side} {cidr} {ports}return" for cidr in ranges)


def _permitted(permits: Iterable[Permit], side: str) -> Iterator[str]:
    """Yield what NetworkPolicies let pass; what a block leaves out is left to the other rules."""
    for permit in permits:
        ports = [f"tcp dport {first}-{last} " for first, last in permit.ports or ()] if permit.ports else [""]
        for block in permit.blocks or (Block(IPv4Network("0.0.0.0/0")),):
            but = f"ip {side} != {{ {', '.join(map(str, block.but))} }} " if block.but else ""
            yield from (f"ip {side} {block.cidr} {but}{port}return" for port in ports)


def _members(snapshot: Snapshot, interface: Interface, group: str) -> Iterator[object]:
    """Yield the addresses in a group that a rule may name: of the same VPC, or of one that is peered with it."""
    near = {interface.vpc} | {
        peer
        for peering in snapshot.peerings.values()
        if peering.state == "active" and (peer := peering.peer_of(interface.vpc))
    }
    for other in snapshot.interfaces.values():
        if group in other.groups and other.vpc in near:
            yield from other.addresses
