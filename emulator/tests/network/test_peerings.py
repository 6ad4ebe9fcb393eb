"""VPC peering connections as AWS's peering guide has them: lifecycle, who may do what when, and whose tags are seen.

Expected values: AWS, VPC peering guide, "VPC peering connection lifecycle", "Delete a VPC peering connection", "Update
your route tables"; EC2 API reference, DescribeVpcPeeringConnections.
"""

import time

import pytest
from network_world import ACCOUNTS
from networks import named, refused

from embedded_aws.services.ec2 import peerings

DAY = 86_400


@pytest.fixture
def clock(monkeypatch):
    """Return a function that moves the clock on by some seconds."""
    moved = [0.0]
    real = time.time
    monkeypatch.setattr(peerings.time, "time", lambda: real() + moved[0])
    return lambda seconds: moved.__setitem__(0, moved[0] + seconds)


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "10.0.128.0/20", "10.0.0.0/20"])
def test_a_request_between_overlapping_ranges_has_failed(networks, cidr):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", cidr)
    name = networks.ask("client-1", client, "server", server)
    (told,) = networks.told("client-1")
    assert told["Status"]["Code"] == "failed"
    assert "overlapping CIDR range" in told["Status"]["Message"]
    assert networks.seen("server") == {}  # it is shown to who asked
    accept = networks.ec2("server").accept_vpc_peering_connection
    assert refused(accept, name, VpcPeeringConnectionId=name) == "InvalidVpcPeeringConnectionID.NotFound"
    # "While in this state, it cannot be accepted, rejected, or deleted."
    delete = networks.ec2("client-1").delete_vpc_peering_connection
    told = f"Invalid state transition for {name}, attempted to transition from failed to deleting"
    assert refused(delete, told, VpcPeeringConnectionId=name) == "InvalidStateTransition"


def test_a_failed_request_within_an_account_is_not_accepted(networks):
    one, other = networks.vpc("server", "10.0.0.0/16"), networks.vpc("server", "10.0.0.0/16")
    name = networks.ask("server", one, "server", other)
    accept = networks.ec2("server").accept_vpc_peering_connection
    assert refused(accept, "from failed to active", VpcPeeringConnectionId=name) == "InvalidStateTransition"


def test_a_secondary_range_that_overlaps_counts(networks):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    networks.ec2("client-1").associate_vpc_cidr_block(VpcId=client, CidrBlock="10.0.4.0/24")
    name = networks.ask("client-1", client, "server", server)
    assert networks.seen("client-1") == {name: "failed"}


def test_ranges_that_only_touch_do_not_overlap(networks):
    server, client = networks.vpc("server", "10.0.0.0/17"), networks.vpc("client-1", "10.0.128.0/17")
    name = networks.ask("client-1", client, "server", server)
    networks.ec2("server").accept_vpc_peering_connection(VpcPeeringConnectionId=name)
    assert networks.seen("server") == networks.seen("client-1") == {name: "active"}


@pytest.mark.parametrize("owner", ["client-2", "000500050005"])
def test_a_request_to_nobody_has_failed_and_says_nothing_of_the_other_account(networks, monkeypatch, owner):
    monkeypatch.setitem(ACCOUNTS, "000500050005", "000500050005")
    server = networks.vpc("server", "10.0.0.0/16")
    name = networks.ask("server", server, owner, "vpc-0123456789abcdef0")
    assert networks.seen("server") == {name: "failed"}


def test_a_second_request_between_the_same_networks_is_refused(networks):
    server, client, name = networks.pair()
    again = {"VpcId": client, "PeerVpcId": server, "PeerOwnerId": ACCOUNTS["server"]}
    ask = networks.ec2("client-1").create_vpc_peering_connection
    assert refused(ask, **again) == "VpcPeeringConnectionAlreadyExists"
    networks.ec2("server").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    ask(**again)


def test_each_account_sees_its_own_tags_only(networks):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    mine = [{"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "Name", "Value": "mine"}]}]
    name = networks.ask("client-1", client, "server", server, TagSpecifications=mine)
    (theirs,), (ours,) = networks.told("server"), networks.told("client-1")
    assert (theirs["Tags"], ours["Tags"]) == ([], [{"Key": "Name", "Value": "mine"}])
    networks.ec2("server").create_tags(Resources=[name], Tags=[{"Key": "Name", "Value": "fl-1"}])
    assert networks.seen("server", Filters=named("tag:Name", "fl-*")) == {name: "pending-acceptance"}
    assert networks.seen("client-1", Filters=named("tag:Name", "fl-*")) == {}
    assert networks.told("client-1")[0]["Tags"] == [{"Key": "Name", "Value": "mine"}]
    assert networks.seen("client-1", Filters=named("tag-key", "Na?e")) != {}
    assert networks.seen("client-1", Filters=named("tag-key", "name")) == {}  # they have capitals


def test_an_accepted_connection_says_the_same_of_tags(networks):
    server, _, name = networks.pair()
    accepted = networks.told("client-1", VpcPeeringConnectionIds=[name])[0]
    assert accepted["Tags"] == []
    assert accepted["RequesterVpcInfo"]["VpcId"] == server
    assert accepted["AccepterVpcInfo"]["CidrBlock"] == "10.1.0.0/16"


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("status-code", "active", True),
        ("status-code", "deleted", False),
        ("status-code", "act*", True),
        ("status-message", "Active", True),
        ("requester-vpc-info.owner-id", "111122223333", True),
        ("requester-vpc-info.owner-id", "444455556666", False),
        ("accepter-vpc-info.owner-id", "444455556666", True),
        ("requester-vpc-info.cidr-block", "10.0.0.0/16", True),
        ("accepter-vpc-info.cidr-block", "10.0.0.0/16", False),
        ("accepter-vpc-info.vpc-id", "vpc-*", True),
        ("requester-vpc-info.vpc-id", "vpc-0", False),
        ("vpc-peering-connection-id", "pcx-*", True),
        ("vpc-peering-connection-id", "pcx", False),
        ("tag:Name", "*", False),  # it has no such tag
        ("tag-key", "*", False),
    ],
)
def test_filters_are_heeded_on_both_sides(networks, name, value, passes):
    _, _, connection = networks.pair()
    for account in ("server", "client-1"):
        assert (networks.seen(account, Filters=named(name, value)) == {connection: "active"}) is passes


def test_several_filters_must_all_pass_and_one_value_of_each(networks):
    _, _, connection = networks.pair()
    both = named("status-code", "deleted", "active") + named("vpc-peering-connection-id", connection)
    assert networks.seen("server", Filters=both) == {connection: "active"}
    assert networks.seen("server", Filters=both + named("tag-key", "Name")) == {}


def test_an_unknown_filter_is_refused(networks):
    describe = networks.ec2("server").describe_vpc_peering_connections
    assert refused(describe, "'owner-id'", Filters=named("owner-id", "1")) == "InvalidParameterValue"


def test_an_unknown_connection_is_not_found(networks):
    describe = networks.ec2("server").describe_vpc_peering_connections
    code = refused(describe, VpcPeeringConnectionIds=["pcx-0123456789abcdef0"])
    assert code == "InvalidVpcPeeringConnectionID.NotFound"
    _, _, name = networks.pair()
    stranger = networks.ec2("client-2").describe_vpc_peering_connections
    assert refused(stranger, VpcPeeringConnectionIds=[name]) == "InvalidVpcPeeringConnectionID.NotFound"


# What requester and accepter may do in which state. Peering guide: only the accepter answers; a pending request is the
# requester's to delete; an active one may be deleted by both, and not rejected; nothing can be done with the others.
MAY = {
    ("pending-acceptance", "server"): {"accept": "OperationNotPermitted", "reject": "OperationNotPermitted"},
    ("pending-acceptance", "client-1"): {"delete": "OperationNotPermitted"},
    ("active", "server"): {"accept": "OperationNotPermitted", "reject": "OperationNotPermitted"},
    ("active", "client-1"): {"accept": "InvalidStateTransition", "reject": "InvalidStateTransition"},
    ("rejected", "client-1"): dict.fromkeys(("accept", "reject", "delete"), "InvalidStateTransition"),
    ("rejected", "server"): {"delete": "InvalidStateTransition"},
    ("deleted", "client-1"): dict.fromkeys(("accept", "reject", "delete"), "InvalidStateTransition"),
    ("deleted", "server"): {"delete": "InvalidStateTransition"},
    ("expired", "client-1"): dict.fromkeys(("accept", "reject", "delete"), "InvalidStateTransition"),
    ("expired", "server"): {"delete": "InvalidStateTransition"},
}


@pytest.mark.parametrize(("state", "account"), MAY)
@pytest.mark.parametrize("verb", ["accept", "reject", "delete"])
def test_who_may_do_what_in_which_state(networks, clock, state, account, verb):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    name = networks.ask("server", server, "client-1", client)
    about, theirs = {"VpcPeeringConnectionId": name}, networks.ec2("client-1")
    if state in ("active", "deleted"):
        theirs.accept_vpc_peering_connection(**about)
    if state == "deleted":
        theirs.delete_vpc_peering_connection(**about)
    elif state == "rejected":
        theirs.reject_vpc_peering_connection(**about)
    elif state == "expired":
        clock(7 * DAY + 1)
    assert networks.seen(account) == {name: state}
    call = getattr(networks.ec2(account), f"{verb}_vpc_peering_connection")
    if (state, account, verb) in {("rejected", "server", v) for v in ("accept", "reject")}:
        assert refused(call, **about)
    elif verb in MAY[state, account]:
        assert refused(call, name, **about) == MAY[state, account][verb]
        assert networks.seen(account) == {name: state}
    elif (state, account) in (("deleted", "server"), ("expired", "server")):
        assert refused(call, **about)
    else:
        call(**about)
        done = {"accept": "active", "reject": "rejected", "delete": "deleted"}[verb]
        assert networks.seen("server") == networks.seen("client-1") == {name: done}


def test_a_request_says_when_it_expires(networks, clock):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    networks.ask("server", server, "client-1", client)
    left = networks.told("server")[0]["ExpirationTime"].timestamp() - time.time()
    assert left == pytest.approx(7 * DAY, abs=60)
    clock(6 * DAY)
    assert [*networks.seen("client-1").values()] == ["pending-acceptance"]


@pytest.mark.parametrize(
    ("account", "after", "seen"),
    [("client-1", 1.9, True), ("client-1", 2.1, False), ("server", 47, True), ("server", 49, False)],
)
def test_a_deleted_connection_fades_sooner_for_who_deleted_it(networks, clock, account, after, seen):
    # Peering guide: two hours for the party that deleted it, two days for the other.
    _, _, name = networks.pair()
    networks.ec2("client-1").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    clock(after * 3600)
    assert bool(networks.seen(account)) is seen


def routes(networks, account, table):
    (found,) = networks.ec2(account).describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {one["DestinationCidrBlock"]: one["State"] for one in found["Routes"]}


def test_a_route_may_wait_for_its_peering_and_outlives_it_as_a_blackhole(networks):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    name, table = networks.ask("server", server, "client-1", client), networks.table("server", server)
    way = {"RouteTableId": table, "DestinationCidrBlock": "10.1.0.0/16", "VpcPeeringConnectionId": name}
    networks.ec2("server").create_route(**way)
    assert routes(networks, "server", table) == {"10.0.0.0/16": "active", "10.1.0.0/16": "blackhole"}
    networks.ec2("client-1").accept_vpc_peering_connection(VpcPeeringConnectionId=name)
    assert routes(networks, "server", table)["10.1.0.0/16"] == "active"
    networks.ec2("client-1").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    assert routes(networks, "server", table)["10.1.0.0/16"] == "blackhole"
    networks.ec2("server").delete_route(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16")


def test_a_route_over_a_peering_that_is_not_there_or_over_is_refused(networks):
    server, _, name = networks.pair()
    table = networks.table("server", server)
    way = {"RouteTableId": table, "DestinationCidrBlock": "10.1.0.0/16"}
    create = networks.ec2("server").create_route
    code = refused(create, VpcPeeringConnectionId="pcx-0123456789abcdef0", **way)
    assert code == "InvalidVpcPeeringConnectionID.NotFound"
    networks.ec2("server").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    assert refused(create, VpcPeeringConnectionId=name, **way)


def test_a_route_over_a_peering_of_another_network_is_refused(networks):
    _, _, name = networks.pair()
    table = networks.table("server", networks.vpc("server", "10.5.0.0/16"))
    way = {"RouteTableId": table, "DestinationCidrBlock": "10.1.0.0/16", "VpcPeeringConnectionId": name}
    assert (
        refused(networks.ec2("server").create_route, "belong to different networks", **way) == "InvalidParameterValue"
    )


def test_others_requests_hold_a_network_until_they_are_rejected(networks):
    # "You cannot delete a VPC for which you have a pending-acceptance request from a VPC in another account."
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    name = networks.ask("client-1", client, "server", server)
    delete = networks.ec2("server").delete_vpc
    assert refused(delete, server, VpcId=server) == "DependencyViolation"
    networks.ec2("server").reject_vpc_peering_connection(VpcPeeringConnectionId=name)
    delete(VpcId=server)


def test_a_request_goes_with_the_network_of_who_asked(networks):
    # "... and you delete your VPC before the other party has accepted the request, the peering is also deleted."
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    name = networks.ask("client-1", client, "server", server)
    networks.ec2("client-1").delete_vpc(VpcId=client)
    assert networks.seen("server") == {name: "deleted"}


def test_an_active_connection_holds_both_networks(networks):
    server, client, name = networks.pair()
    assert refused(networks.ec2("server").delete_vpc, VpcId=server) == "DependencyViolation"
    assert refused(networks.ec2("client-1").delete_vpc, VpcId=client) == "DependencyViolation"
    networks.ec2("client-1").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    networks.ec2("server").delete_vpc(VpcId=server)
    networks.ec2("client-1").delete_vpc(VpcId=client)


@pytest.mark.parametrize("cidr", ["10.1.4.0/24", "10.0.4.0/24"])
def test_a_peered_network_gets_no_range_that_either_has(networks, cidr):
    server, _, _ = networks.pair()
    add = networks.ec2("server").associate_vpc_cidr_block
    assert refused(add, VpcId=server, CidrBlock=cidr) == "InvalidVpc.Range"
    add(VpcId=server, CidrBlock="10.7.0.0/24")
