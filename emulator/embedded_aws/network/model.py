"""Network state of all accounts as plain values: what a packet's way depends on, and nothing else.

Left out, because no account of the workshop has any: network ACLs other than the default ones (which let everything
pass), IPv6, transit gateways, instances as routers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

LOCAL = "local"
ANY = "-1"
JOB_NOTE = "[Do not delete] SageMaker training job "  # how a job's interface is described
# How those of control planes are described, and of nodes, pods and load balancers of a cluster.
CLUSTER_NOTES = ("Amazon EKS ", "EKS ")
BALANCER = "network_load_balancer"


@dataclass(frozen=True)
class Vpc:
    """An address space of one account."""

    id: str
    account: str
    cidrs: tuple[IPv4Network, ...]
    dns: bool = True  # both DNS support and hostnames, which private names of endpoints need


@dataclass(frozen=True)
class Subnet:
    """A part of a VPC; its route table decides where packets go that leave it."""

    id: str
    vpc: str
    account: str
    cidr: IPv4Network


@dataclass(frozen=True)
class Route:
    """Packets for a range or a prefix list go to a target: ``local``, or the id of what carries them."""

    to: IPv4Network | str
    target: str


@dataclass(frozen=True)
class RouteTable:
    """The routes of the subnets that are associated with it; the main one serves all others of its VPC."""

    id: str
    vpc: str
    main: bool
    subnets: frozenset[str]
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Peering:
    """A connection between two VPCs, which carries packets in state ``active`` only."""

    id: str
    state: str
    requester: str
    accepter: str

    def peer_of(self, vpc: str) -> str | None:
        """Return the VPC on the other side, None if ``vpc`` stands on neither."""
        return {self.requester: self.accepter, self.accepter: self.requester}.get(vpc)


@dataclass(frozen=True)
class Rule:
    """What one rule of a security group lets through: a range, a group's members or a prefix list."""

    protocol: str = ANY
    from_port: int | None = None
    to_port: int | None = None
    cidr: IPv4Network | None = None
    group: str | None = None
    prefix_list: str | None = None

    def serves(self, port: int) -> bool:
        """Tell whether the rule is about TCP to this port."""
        if self.protocol == ANY:
            return True
        return self.protocol in ("tcp", "6") and (self.from_port or 0) <= port <= (self.to_port or 0)


@dataclass(frozen=True)
class Group:
    """A security group: what may come in to its interfaces, and what may go out."""

    id: str
    account: str
    vpc: str
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """A way from a VPC to an AWS service."""

    id: str
    account: str
    vpc: str
    service: str  # "s3", "sagemaker.api": the name without com.amazonaws.<region>
    kind: str  # "Gateway" or "Interface"
    prefix_list: str | None = None
    interfaces: tuple[str, ...] = ()
    private_dns: bool = False
    policy: str | None = None


@dataclass(frozen=True)
class Interface:
    """A network interface: a place in a subnet, with addresses and security groups."""

    id: str
    account: str
    vpc: str
    subnet: str
    addresses: tuple[IPv4Address, ...]
    groups: tuple[str, ...]
    note: str = ""
    kind: str = "interface"

    @property
    def address(self) -> IPv4Address:
        """Its primary private address."""
        return self.addresses[0]

    @property
    def is_job(self) -> bool:
        """Whether a training job uses it."""
        return self.note.startswith(JOB_NOTE)

    @property
    def is_clusters(self) -> bool:
        """Whether a cluster uses it."""
        return self.note.startswith(CLUSTER_NOTES)

    @property
    def is_endpoint(self) -> bool:
        """Whether a VPC endpoint uses it."""
        return self.kind == "vpc_endpoint"


@dataclass(frozen=True)
class Block:
    """A range of addresses, and what of it is left out."""

    cidr: IPv4Network
    but: tuple[IPv4Network, ...] = ()

    def __contains__(self, address: IPv4Address) -> bool:
        return address in self.cidr and not any(address in cidr for cidr in self.but)


@dataclass(frozen=True)
class Permit:
    """One rule of a NetworkPolicy of Kubernetes: to or from these blocks, at these TCP ports; None is any."""

    blocks: tuple[Block, ...] | None = None
    ports: tuple[tuple[int, int], ...] | None = None

    def serves(self, port: int) -> bool:
        """Tell whether the rule is about a port."""
        return self.ports is None or any(first <= port <= last for first, last in self.ports)

    def lets(self, address: IPv4Address, port: int) -> bool:
        """Tell whether the rule lets a connection pass."""
        return self.serves(port) and (self.blocks is None or any(address in block for block in self.blocks))


@dataclass(frozen=True)
class Isolation:
    """What the NetworkPolicies that select a pod let in and out; None where none is about that direction."""

    pod: str
    ingress: tuple[Permit, ...] | None = None
    egress: tuple[Permit, ...] | None = None


@dataclass(frozen=True)
class Target:
    """A pod behind a load balancer: reached at a port of its node first, then at its own."""

    node: str  # interface
    node_port: int
    pod: str  # interface
    port: int


@dataclass(frozen=True)
class Balancer:
    """A network load balancer without security groups: its listeners' ports, and the healthy pods behind each."""

    targets: Mapping[int, tuple[Target, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """The state of every account at one moment; each mapping is by id."""

    vpcs: Mapping[str, Vpc] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    tables: Mapping[str, RouteTable] = field(default_factory=dict)
    peerings: Mapping[str, Peering] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    prefix_lists: Mapping[str, tuple[IPv4Network, ...]] = field(default_factory=dict)
    nat_gateways: Mapping[str, str] = field(default_factory=dict)  # to its subnet
    internet_gateways: Mapping[str, str] = field(default_factory=dict)  # to its VPC
    isolations: Mapping[str, Isolation] = field(default_factory=dict)  # of pods, by interface
    balancers: Mapping[str, Balancer] = field(default_factory=dict)  # by interface

    def table_of(self, subnet: str) -> RouteTable | None:
        """Return the route table of a subnet: its own, else the main one of its VPC."""
        vpc = self.subnets[subnet].vpc
        for table in self.tables.values():
            if subnet in table.subnets:
                return table
        return next((table for table in self.tables.values() if table.main and table.vpc == vpc), None)

    def interface_at(self, vpc: str, address: IPv4Address) -> Interface | None:
        """Return the interface of a VPC that has an address."""
        matching = (
            interface
            for interface in self.interfaces.values()
            if interface.vpc == vpc and address in interface.addresses
        )
        return next(matching, None)

    def are_peered(self, one: str, other: str) -> bool:
        """Tell whether an active peering connects two VPCs."""
        return any(peering.state == "active" and peering.peer_of(one) == other for peering in self.peerings.values())

    def ranges(self, prefix_list: str | None) -> tuple[IPv4Network, ...]:
        """Return the ranges of a prefix list; an unknown one has none."""
        return self.prefix_lists.get(prefix_list or "", ())
