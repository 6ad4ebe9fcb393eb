"""Snapshot of the network state of all accounts, read out of moto's EC2."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import Any

from moto.ec2.models import EC2Backend, ec2_backends

from embedded_aws.network.model import (
    LOCAL,
    Endpoint,
    Group,
    Interface,
    Peering,
    Route,
    RouteTable,
    Rule,
    Snapshot,
    Subnet,
    Vpc,
)

# Reading takes milliseconds, most of them for the addresses, and every packet's way asks for it.
_address = lru_cache(maxsize=65536)(IPv4Address)
_marks = itertools.count(1)
_latest = SimpleNamespace(mark=0)
_TARGETS = ("vpc_pcx", "gateway", "nat_gateway", "transit_gateway", "interface", "instance")


def read(region: str) -> Snapshot:
    """Return what all accounts have in a region now; ids are unique across accounts, as on AWS."""
    backends = [regions[region] for regions in list(ec2_backends.values()) if region in regions]
    vpcs = {vpc.id: _vpc(vpc) for backend in backends for vpc in list(backend.vpcs.values())}
    return Snapshot(
        vpcs=vpcs,
        subnets={subnet.id: subnet for backend in backends for subnet in _subnets(backend)},
        tables={key: _table(table) for backend in backends for key, table in list(backend.route_tables.items())},
        # The same object hangs in both accounts.
        peerings={
            key: _peering(peering, vpcs) for backend in backends for key, peering in list(backend.vpc_pcxs.items())
        },
        groups={group.id: group for backend in backends for group in _groups(backend)},
        endpoints={
            key: _endpoint(endpoint, region)
            for backend in backends
            for key, endpoint in list(backend.vpc_end_points.items())
            if endpoint.state == "available"
        },
        interfaces={key: _interface(eni) for backend in backends for key, eni in list(backend.enis.items())},
        prefix_lists={key: ranges for backend in backends for key, ranges in _prefix_lists(backend)},
        nat_gateways={
            key: gateway.subnet_id for backend in backends for key, gateway in list(backend.nat_gateways.items())
        },
        internet_gateways={
            key: gateway.vpc.id
            for backend in backends
            for key, gateway in list(backend.internet_gateways.items())
            if gateway.vpc is not None
        },
    )


def changed() -> None:
    """Note that the network's state may have changed: whoever has read it before reads again."""
    _latest.mark = next(_marks)


def mark() -> int:
    """Return what differs after every :func:`changed`."""
    return _latest.mark


@lru_cache(maxsize=65536)
def _network(cidr: str) -> IPv4Network:
    return IPv4Network(cidr, strict=False)


def _vpc(vpc: Any) -> Vpc:
    associated = [association["cidr_block"] for association in vpc.cidr_block_association_set]
    cidrs = tuple(_network(cidr) for cidr in associated or [vpc.cidr_block])
    return Vpc(vpc.id, vpc.owner_id, cidrs, dns=_is_true(vpc.enable_dns_support) and _is_true(vpc.enable_dns_hostnames))


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _subnets(backend: EC2Backend) -> Iterator[Subnet]:
    for by_zone in list(backend.subnets.values()):
        for subnet in list(by_zone.values()):
            if subnet.cidr_block:
                yield Subnet(subnet.id, subnet.vpc_id, backend.account_id, _network(subnet.cidr_block))


def _table(table: Any) -> RouteTable:
    routes = tuple(route for moto_route in list(table.routes) if (route := _route(moto_route)))
    subnets = frozenset(target for target in list(table._associations.values()) if target.startswith("subnet"))
    return RouteTable(table.id, table.vpc_id, table.main_association_id is not None, subnets, routes)


def _route(route: Any) -> Route | None:
    target = LOCAL if route.local else next((hop.id for name in _TARGETS if (hop := getattr(route, name))), "blackhole")
    if route.destination_prefix_list is not None:
        return Route(route.destination_prefix_list.id, target)
    if route.destination_cidr_block:
        return Route(_network(route.destination_cidr_block), target)
    return None  # IPv6


def _peering(peering: Any, vpcs: dict[str, Vpc]) -> Peering:
    requester, accepter = peering.vpc.id, peering.peer_vpc.id
    gone = peering.state == "active" and not {requester, accepter} <= set(vpcs)
    return Peering(peering.id, "deleted" if gone else peering.state, requester, accepter)


def _groups(backend: EC2Backend) -> Iterator[Group]:
    for groups in list(backend.groups.values()):
        for group in list(groups.values()):
            ingress, egress = _rules(group.ingress_rules), _rules(group.egress_rules)
            yield Group(group.id, backend.account_id, group.vpc_id or "", ingress, egress)


def _rules(rules: list[Any]) -> tuple[Rule, ...]:
    kept = []
    for rule in list(rules):
        source = rule.source_group.get("GroupId")
        cidr = _network(rule.cidr_ipv4) if rule.cidr_ipv4 else None
        if source or cidr or rule.prefix_list_id:  # else it is about IPv6
            protocol = str(rule.ip_protocol)
            kept.append(Rule(protocol, rule.from_port, rule.to_port, cidr, source, rule.prefix_list_id))
    return tuple(kept)


def _endpoint(endpoint: Any, region: str) -> Endpoint:
    return Endpoint(
        endpoint.id,
        endpoint.owner_id,
        endpoint.vpc_id,
        endpoint.service_name.rpartition(f".{region}.")[2],
        endpoint.vpc_endpoint_type or "Gateway",
        prefix_list=endpoint.destination_prefix_list_id,
        interfaces=tuple(endpoint.network_interface_ids),
        private_dns=_is_true(endpoint.private_dns_enabled),
        policy=endpoint.policy_document,
    )


def _interface(eni: Any) -> Interface:
    primary, listed = (
        str(eni.private_ip_address),
        [address["PrivateIpAddress"] for address in list(eni.private_ip_addresses)],
    )
    addresses = []
    for address in dict.fromkeys([primary, *listed]):
        with suppress(ValueError):  # moto gives some interfaces an IPv6 address here
            addresses.append(_address(address))
    return Interface(
        eni.id,
        eni.owner_id,
        eni.vpc_id,
        eni.subnet.id,
        tuple(addresses),
        tuple(sorted(group.id for group in eni.group_set)),
        note=eni.description,
        kind=eni.interface_type,
    )


def _prefix_lists(backend: EC2Backend) -> Iterator[tuple[str, tuple[IPv4Network, ...]]]:
    for prefix_list in list(backend.managed_prefix_lists.values()):
        if prefix_list.address_family == "IPv4" and prefix_list.entries:
            entries = (
                prefix_list.entries.get(prefix_list.version)
                or prefix_list.entries[max(prefix_list.entries, key=lambda version: version or 0)]
            )
            yield prefix_list.id, tuple(_network(entry["Cidr"]) for entry in entries or [])
