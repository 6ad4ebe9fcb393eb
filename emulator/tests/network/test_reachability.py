"""Verdicts of the evaluator on states made by hand; each expected one is worked out from AWS's rules beside it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

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
from embedded_aws.network.reachability import connection, service, still_routed


def net(text):
    return IPv4Network(text)


ALL = Rule(cidr=net("0.0.0.0/0"))
S3_LIST = "pl-s3"


def tcp(port, to_port=None, **what):
    return Rule("tcp", port, to_port or port, **what)


def interface(name, account, address, *groups):
    return Interface(f"eni-{name}", account, f"vpc-{name}", f"subnet-{name}", (IPv4Address(address),), groups)


# Client c (10.1.0.0/16) and server s (10.0.0.0/16), peered and routed both ways, one port open; d is a second client.
CLIENT = interface("c", "444455556666", "10.1.0.5", "sg-c")
SERVER = interface("s", "111122223333", "10.0.0.5", "sg-s")
OTHER = interface("d", "777788889999", "10.2.0.5", "sg-d")
ENDPOINT = replace(CLIENT, id="eni-e", addresses=(IPv4Address("10.1.0.9"),), groups=("sg-e",), kind="vpc_endpoint")


def table(name, *routes, cidr):
    return RouteTable(f"rtb-{name}", f"vpc-{name}", True, frozenset(), (Route(net(cidr), LOCAL), *routes))


BASE = Snapshot(
    vpcs={
        f"vpc-{name}": Vpc(f"vpc-{name}", account, (net(cidr),))
        for name, account, cidr in (
            ("c", "444455556666", "10.1.0.0/16"),
            ("s", "111122223333", "10.0.0.0/16"),
            ("d", "777788889999", "10.2.0.0/16"),
        )
    },
    subnets={
        f"subnet-{name}": Subnet(f"subnet-{name}", f"vpc-{name}", account, net(cidr))
        for name, account, cidr in (
            ("c", "444455556666", "10.1.0.0/24"),
            ("s", "111122223333", "10.0.0.0/24"),
            ("d", "777788889999", "10.2.0.0/24"),
        )
    },
    tables={
        "rtb-c": table("c", Route(net("10.0.0.0/16"), "pcx-c"), Route(S3_LIST, "vpce-s3"), cidr="10.1.0.0/16"),
        "rtb-s": table("s", Route(net("10.1.0.0/16"), "pcx-c"), Route(net("10.2.0.0/16"), "pcx-d"), cidr="10.0.0.0/16"),
        "rtb-d": table("d", Route(net("10.0.0.0/16"), "pcx-d"), cidr="10.2.0.0/16"),
    },
    peerings={
        "pcx-c": Peering("pcx-c", "active", "vpc-s", "vpc-c"),
        "pcx-d": Peering("pcx-d", "active", "vpc-s", "vpc-d"),
    },
    groups={
        "sg-c": Group(
            "sg-c", "444455556666", "vpc-c", (), (tcp(8080, cidr=net("10.0.0.0/16")), tcp(443, group="sg-e"))
        ),
        "sg-s": Group("sg-s", "111122223333", "vpc-s", (tcp(8080, cidr=net("10.1.0.0/16")),), ()),
        "sg-d": Group("sg-d", "777788889999", "vpc-d", (ALL,), (ALL,)),
        "sg-e": Group("sg-e", "444455556666", "vpc-c", (tcp(443, group="sg-c"),), ()),
    },
    interfaces={one.id: one for one in (CLIENT, SERVER, OTHER, ENDPOINT)},
    endpoints={
        "vpce-s3": Endpoint("vpce-s3", "444455556666", "vpc-c", "s3", "Gateway", prefix_list=S3_LIST, policy="{}"),
        "vpce-sts": Endpoint(
            "vpce-sts", "444455556666", "vpc-c", "sts", "Interface", interfaces=("eni-e",), private_dns=True, policy="p"
        ),
    },
    prefix_lists={S3_LIST: (net("52.216.0.0/15"), net("3.5.0.0/19"))},
)


def with_(kind, name, **changes):
    """Return the state with one thing changed, or taken away."""
    things = dict(getattr(BASE, kind))
    if changes:
        things[name] = replace(things[name], **changes)
    else:
        del things[name]
    return replace(BASE, **{kind: things})


def routes(name, *routes):
    """Return the state with other routes beside the local one."""
    return with_("tables", name, routes=(BASE.tables[name].routes[0], *routes))


def rules(name, **sides):
    """Return the state with other rules of a group."""
    return with_("groups", name, **sides)


TO_PEER = Route(net("10.0.0.0/16"), "pcx-c")
CASES = {
    # name: (state, verdict, what the reason says)
    "as it is": (BASE, True, ""),
    "a connection is let out by rules only": (rules("sg-c", egress=()), False, "egress rule of sg-c in account 4444"),
    "a rule's port range counts": (rules("sg-c", egress=(tcp(8000, 8079, cidr=net("0.0.0.0/0")),)), False, "TCP 8080"),
    "a range that contains the port will do": (
        rules("sg-c", egress=(tcp(8000, 9000, cidr=net("10.0.0.5/32")),)),
        True,
        "",
    ),
    "protocol 6 is TCP": (rules("sg-c", egress=(Rule("6", 8080, 8080, net("0.0.0.0/0")),)), True, ""),
    "UDP is not": (rules("sg-c", egress=(Rule("udp", 8080, 8080, net("0.0.0.0/0")),)), False, "no egress rule"),
    "protocol -1 is everything": (rules("sg-c", egress=(ALL,)), True, ""),
    "a rule may name a group of the peered VPC": (rules("sg-c", egress=(tcp(8080, group="sg-s"),)), True, ""),
    "but one it is not in is no help": (rules("sg-c", egress=(tcp(8080, group="sg-d"),)), False, "no egress rule"),
    "and so may the other side": (rules("sg-s", ingress=(tcp(8080, group="sg-c"),)), True, ""),
    "the address of the source counts": (
        rules("sg-s", ingress=(tcp(8080, cidr=net("10.2.0.0/16")),)),
        False,
        "no ingress rule of sg-s in account 111122223333 allows TCP 8080 from 10.1.0.5",
    ),
    "no route there": (routes("rtb-c"), False, "rtb-c of subnet-c in account 444455556666 has no route to 10.0.0.5"),
    "no route back": (
        routes("rtb-s"),
        False,
        "rtb-s of subnet-s in account 111122223333 has no route back to 10.1.0.5",
    ),
    "a route back by another peering": (
        routes("rtb-s", Route(net("10.1.0.0/16"), "pcx-d")),
        False,
        "not back to vpc-c",
    ),
    "the longest prefix wins": (
        routes("rtb-c", TO_PEER, Route(net("10.0.0.0/24"), "igw-1")),
        False,
        "sends 10.0.0.5 to igw-1",
    ),
    "a default route over the peering is a route": (routes("rtb-c", Route(net("0.0.0.0/0"), "pcx-c")), True, ""),
    "a peering that waits": (with_("peerings", "pcx-c", state="pending-acceptance"), False, "pending-acceptance"),
    "a peering that was deleted": (with_("peerings", "pcx-c", state="deleted"), False, "pcx-c, which is deleted"),
    "a peering that is forgotten": (with_("peerings", "pcx-c"), False, "pcx-c, which does not exist"),
    "a peering of overlapping VPCs": (with_("peerings", "pcx-c", state="failed"), False, "overlap"),
    "a peering of two others": (with_("peerings", "pcx-c", accepter="vpc-d"), False, "does not connect vpc-c"),
    "nobody has the address": (with_("interfaces", "eni-s"), False, "no network interface in vpc-s has the address"),
    "the source is gone": (with_("interfaces", "eni-c"), False, "eni-c in account 444455556666 does not exist"),
    "a table of the subnet's own goes before the main one": (
        replace(
            BASE, tables={**BASE.tables, "rtb-x": RouteTable("rtb-x", "vpc-c", False, frozenset({"subnet-c"}), ())}
        ),
        False,
        "rtb-x of subnet-c",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_connection_comes_about_as_on_aws(case):
    state, allowed, reason = CASES[case]
    verdict = connection(state, CLIENT, SERVER.address, 8080)
    assert (verdict.allowed, reason in verdict.reason) == (allowed, True), verdict.reason
    arrives = allowed or any(words in reason for words in ("no ingress rule", "route back", "not back to"))
    assert (verdict.to == SERVER) == arrives


def test_peering_is_not_transitive():
    # The other client's range is routed to the server's peering: the server's VPC does not pass it on.
    state = routes("rtb-c", TO_PEER, Route(net("10.2.0.0/16"), "pcx-c"))
    state = replace(state, groups={**state.groups, "sg-c": replace(state.groups["sg-c"], egress=(ALL,))})
    verdict = connection(state, CLIENT, OTHER.address, 8080)
    assert not verdict.allowed
    assert "pcx-c leads to vpc-s only" in verdict.reason


def test_local_wins_for_a_vpcs_own_addresses():
    # 10.1.0.77 belongs to c; a more specific route over the peering does not lead it away.
    state = rules("sg-c", egress=(ALL,))
    state = replace(
        state, tables={**state.tables, "rtb-c": routes("rtb-c", Route(net("10.1.0.77/32"), "pcx-c")).tables["rtb-c"]}
    )
    assert "no network interface in vpc-c" in connection(state, CLIENT, IPv4Address("10.1.0.77"), 80).reason


def test_there_is_no_internet():
    verdict = connection(rules("sg-c", egress=(ALL,)), CLIENT, IPv4Address("1.1.1.1"), 443)
    assert verdict.reason.endswith("there is no internet")


def test_an_established_connection_needs_its_routes_and_not_its_rules():
    closed = rules("sg-c", egress=())
    assert still_routed(replace(closed, groups={}), CLIENT, SERVER.address).allowed
    for state in (routes("rtb-c"), routes("rtb-s"), with_("peerings", "pcx-c", state="deleted")):
        assert not still_routed(state, CLIENT, SERVER.address).allowed


TO_S3 = (tcp(443, prefix_list=S3_LIST),)
SERVICES = {
    "S3 by prefix list": ("s3", rules("sg-c", egress=TO_S3), "vpce-s3", ""),
    "S3 by a rule for everything": ("s3", rules("sg-c", egress=(ALL,)), "vpce-s3", ""),
    "a range with only some of its addresses will not do": (
        "s3",
        rules("sg-c", egress=(tcp(443, cidr=net("3.5.0.0/16")),)),
        None,
        "to the prefix list pl-s3 of vpce-s3",
    ),
    "nor will another port": ("s3", rules("sg-c", egress=(tcp(80, prefix_list=S3_LIST),)), None, "TCP 443"),
    "an endpoint without a route": (
        "s3",
        routes("rtb-c"),
        None,
        "rtb-c of subnet-c in account 444455556666 has no route to vpce-s3",
    ),
    "no endpoint": (
        "s3",
        with_("endpoints", "vpce-s3"),
        None,
        "vpc-c in account 444455556666 has no VPC endpoint for s3",
    ),
    "an interface endpoint": ("sts", BASE, "vpce-sts", ""),
    "its group does not admit": ("sts", rules("sg-e", ingress=()), None, "no ingress rule of sg-e"),
    "its port is not let out": (
        "sts",
        rules("sg-c", egress=()),
        None,
        "vpce-sts for sts is not reached: no egress rule",
    ),
    "it has no private DNS": (
        "sts",
        with_("endpoints", "vpce-sts", private_dns=False),
        None,
        "no private DNS in vpc-c",
    ),
    "the VPC resolves no names": ("sts", with_("vpcs", "vpc-c", dns=False), None, "no private DNS"),
    "a service without an endpoint": ("kms", BASE, None, "no VPC endpoint for kms"),
    "as SDKs call it": ("sagemaker", with_("endpoints", "vpce-sts", service="sagemaker.api"), "vpce-sts", ""),
}


@pytest.mark.parametrize("case", SERVICES)
def test_a_service_is_reached_as_on_aws(case):
    name, state, endpoint, reason = SERVICES[case]
    verdict = service(state, CLIENT, name)
    assert verdict.allowed == (endpoint is not None), verdict.reason
    assert reason in verdict.reason
    assert (verdict.endpoint.id if verdict.endpoint else None) == endpoint


def test_the_policy_of_the_endpoint_comes_with_the_verdict():
    assert service(BASE, CLIENT, "sts").endpoint.policy == "p"


def test_a_nat_gateway_leads_to_services_without_an_endpoint():
    public = RouteTable("rtb-p", "vpc-c", False, frozenset({"subnet-p"}), (Route(net("0.0.0.0/0"), "igw-1"),))
    state = routes("rtb-c", Route(net("0.0.0.0/0"), "nat-1"))
    state = replace(
        state,
        tables={**state.tables, "rtb-p": public},
        subnets={**state.subnets, "subnet-p": Subnet("subnet-p", "vpc-c", "444455556666", net("10.1.1.0/24"))},
        nat_gateways={"nat-1": "subnet-p"},
        internet_gateways={"igw-1": "vpc-c"},
        groups={**state.groups, "sg-c": replace(state.groups["sg-c"], egress=(ALL,))},
    )
    verdict = service(state, CLIENT, "kms")
    assert (verdict.allowed, verdict.endpoint) == (True, None)
    assert not service(replace(state, internet_gateways={}), CLIENT, "kms").allowed
