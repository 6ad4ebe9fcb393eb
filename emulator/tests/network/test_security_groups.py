"""Security groups as AWS has them: the peer's group in a rule, the default group, duplicates, limits and deletions.

Expected values: AWS, EC2 API reference (AuthorizeSecurityGroupIngress, DeleteSecurityGroup), VPC peering guide ("Update
your security groups to reference peer security groups"), VPC user guide ("Default security groups", quotas).
"""

from ipaddress import IPv4Address

import pytest
from network_world import ACCOUNTS, REGION
from networks import named, refused

from embedded_aws.network import reachability
from embedded_aws.services.ec2 import snapshot

PORT = 8080


def tcp(port=PORT, **peer):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}


def by_cidr(cidr, port=PORT, **more):
    return tcp(port, IpRanges=[{"CidrIp": cidr, **more}])


def by_group(group, owner=None, port=PORT):
    pair = {"GroupId": group, **({"UserId": ACCOUNTS[owner]} if owner else {})}
    return tcp(port, UserIdGroupPairs=[pair])


def ingress(networks, account, group):
    (found,) = networks.ec2(account).describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return found["IpPermissions"]


@pytest.fixture
def peers(networks):
    """Return groups of the server and of client-1, whose networks an active peering connects, and its id."""
    server, client, name = networks.pair()
    return networks.group("server", server), networks.group("client-1", client), name


@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_a_rule_may_name_the_group_of_a_peer(networks, peers, side):
    mine, theirs, name = peers
    authorize = getattr(networks.ec2("server"), f"authorize_security_group_{side}")
    made = authorize(GroupId=mine, IpPermissions=[by_group(theirs, "client-1")])["SecurityGroupRules"]
    assert made[0]["ReferencedGroupInfo"]["GroupId"] == theirs
    assert made[0]["ReferencedGroupInfo"]["UserId"] == "444455556666"
    if side == "ingress":
        ((pair,),) = (rule["UserIdGroupPairs"] for rule in ingress(networks, "server", mine))
        assert (pair["UserId"], pair["VpcPeeringConnectionId"], pair["PeeringStatus"]) == (
            "444455556666",
            name,
            "active",
        )


def test_without_an_active_peering_a_peers_group_is_not_found(networks):
    server, client = networks.vpc("server", "10.0.0.0/16"), networks.vpc("client-1", "10.1.0.0/16")
    mine, theirs = networks.group("server", server), networks.group("client-1", client)
    authorize = networks.ec2("server").authorize_security_group_ingress
    rule = {"GroupId": mine, "IpPermissions": [by_group(theirs, "client-1")]}
    assert refused(authorize, theirs, **rule) == "InvalidGroup.NotFound"
    name = networks.ask("server", server, "client-1", client)
    assert refused(authorize, theirs, **rule) == "InvalidGroup.NotFound"  # nobody has accepted
    networks.ec2("client-1").accept_vpc_peering_connection(VpcPeeringConnectionId=name)
    authorize(**rule)


def test_a_peers_group_is_found_in_the_account_that_is_named_only(networks, peers):
    mine, theirs, _ = peers
    authorize = networks.ec2("server").authorize_security_group_ingress
    for wrong in ("client-2", "server"):
        code = refused(authorize, GroupId=mine, IpPermissions=[by_group(theirs, wrong)])
        assert code == "InvalidGroup.NotFound"
    assert ingress(networks, "server", mine) == []


def test_a_group_of_another_network_of_the_account_needs_a_peering_too(networks):
    one, other = networks.vpc("server", "10.0.0.0/16"), networks.vpc("server", "10.5.0.0/16")
    mine, far = networks.group("server", one), networks.group("server", other)
    authorize = networks.ec2("server").authorize_security_group_ingress
    rule = {"GroupId": mine, "IpPermissions": [by_group(far)]}
    assert refused(authorize, "belong to different networks", **rule) == "InvalidGroup.NotFound"
    name = networks.ask("server", one, "server", other)
    networks.ec2("server").accept_vpc_peering_connection(VpcPeeringConnectionId=name)
    authorize(**rule)


def stale(networks, account):
    found = {}
    for vpc in networks.ec2(account).describe_vpcs(Filters=named("is-default", "false"))["Vpcs"]:
        told = networks.ec2(account).describe_stale_security_groups(VpcId=vpc["VpcId"])["StaleSecurityGroupSet"]
        found |= {one["GroupId"]: one["StaleIpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] for one in told}
    return found


def test_a_rule_is_stale_when_its_peering_has_ended_and_can_be_revoked(networks, peers):
    mine, theirs, name = peers
    rule = {"GroupId": mine, "IpPermissions": [by_group(theirs, "client-1")]}
    networks.ec2("server").authorize_security_group_ingress(**rule)
    assert stale(networks, "server") == {}
    networks.ec2("client-1").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    assert stale(networks, "server") == {mine: theirs}
    assert ingress(networks, "server", mine)[0]["UserIdGroupPairs"][0]["PeeringStatus"] == "deleted"
    networks.ec2("server").revoke_security_group_ingress(**rule)
    assert ingress(networks, "server", mine) == []


def test_a_peers_rule_does_not_hold_a_group_and_is_stale_without_it(networks, peers):
    # DeleteSecurityGroup refuses a group that a rule "in the same VPC" refers to.
    mine, theirs, _ = peers
    networks.ec2("server").authorize_security_group_ingress(GroupId=mine, IpPermissions=[by_group(theirs, "client-1")])
    networks.ec2("client-1").delete_security_group(GroupId=theirs)
    assert stale(networks, "server") == {mine: theirs}


def test_members_of_a_peers_group_get_in_over_the_active_peering_only(networks):
    server, client, name = networks.pair()
    mine, theirs = networks.group("server", server), networks.group("client-1", client)
    ends = {}
    for account, vpc, cidr, group in (
        ("server", server, "10.0.0.0/24", mine),
        ("client-1", client, "10.1.0.0/24", theirs),
    ):
        subnet, table = networks.subnet(account, vpc, cidr), networks.table(account, vpc)
        ec2 = networks.ec2(account)
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        far = {"server": "10.1.0.0/16", "client-1": "10.0.0.0/16"}[account]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=far, VpcPeeringConnectionId=name)
        made = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]
        ends[account] = made["NetworkInterfaceId"]

    def gets_in():
        now = snapshot.read(REGION)
        there = now.interfaces[ends["server"]].address
        return reachability.connection(now, now.interfaces[ends["client-1"]], IPv4Address(there), PORT).allowed

    assert not gets_in()
    networks.ec2("server").authorize_security_group_ingress(GroupId=mine, IpPermissions=[by_group(theirs, "client-1")])
    assert gets_in()
    networks.ec2("server").delete_vpc_peering_connection(VpcPeeringConnectionId=name)
    assert not gets_in()


def test_the_default_group_lets_itself_in_and_everything_out(networks):
    vpc = networks.vpc("server", "10.0.0.0/16")
    (group,) = networks.ec2("server").describe_security_groups(Filters=named("vpc-id", vpc))["SecurityGroups"]
    assert group["GroupName"] == "default"
    (into,), (out,) = group["IpPermissions"], group["IpPermissionsEgress"]
    assert into["IpProtocol"] == out["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in into["UserIdGroupPairs"]] == [group["GroupId"]]
    assert [one["CidrIp"] for one in out["IpRanges"]] == ["0.0.0.0/0"]
    delete = networks.ec2("server").delete_security_group
    assert refused(delete, "cannot be deleted by a user", GroupId=group["GroupId"]) == "CannotDelete"
    networks.ec2("server").delete_vpc(VpcId=vpc)  # with which it goes
    assert refused(delete, GroupId=group["GroupId"]) == "InvalidGroup.NotFound"


def test_names_that_aws_keeps_and_networks_that_are_not_there_are_refused(networks):
    vpc, create = networks.vpc("server", "10.0.0.0/16"), networks.ec2("server").create_security_group
    for name in ("default", "sg-mine"):
        assert refused(create, GroupName=name, Description="d", VpcId=vpc) == "InvalidParameterValue"
    networks.group("server", vpc, "mine")
    assert refused(create, GroupName="mine", Description="d", VpcId=vpc) == "InvalidGroup.Duplicate"
    gone = "vpc-0123456789abcdef0"
    assert refused(create, GroupName="other", Description="d", VpcId=gone) == "InvalidVpcID.NotFound"


@pytest.mark.parametrize(
    "again",
    [
        by_cidr("10.1.0.0/16"),
        by_cidr("10.1.2.3/16"),  # "if there is already a rule for the canonicalized form, ... a duplicate rule error"
        by_cidr("10.1.0.0/16", Description="another"),
        {**by_cidr("10.1.0.0/16"), "IpProtocol": "6"},
    ],
)
def test_a_rule_that_is_there_is_a_duplicate(networks, again):
    group = networks.group("server", networks.vpc("server", "10.0.0.0/16"))
    authorize = networks.ec2("server").authorize_security_group_ingress
    authorize(GroupId=group, IpPermissions=[by_cidr("10.1.0.0/16", Description="one")])
    words = 'the specified rule "peer: 10.1.0.0/16, TCP, from port: 8080, to port: 8080, ALLOW" already exists'
    assert refused(authorize, words, GroupId=group, IpPermissions=[again]) == "InvalidPermission.Duplicate"
    for other in (by_cidr("10.1.0.0/17"), by_cidr("10.1.0.0/16", PORT + 1)):
        authorize(GroupId=group, IpPermissions=[other])


def test_a_call_adds_all_of_its_rules_or_none(networks):
    group = networks.group("server", networks.vpc("server", "10.0.0.0/16"))
    authorize = networks.ec2("server").authorize_security_group_ingress
    one, other = by_cidr("10.1.0.0/16"), by_cidr("10.2.0.0/16")
    code = refused(authorize, GroupId=group, IpPermissions=[one, other, one])
    assert code == "InvalidPermission.Duplicate"
    assert ingress(networks, "server", group) == []
    made = authorize(GroupId=group, IpPermissions=[one, other])["SecurityGroupRules"]
    assert [rule["CidrIpv4"] for rule in made] == ["10.1.0.0/16", "10.2.0.0/16"]
    revoke = networks.ec2("server").revoke_security_group_ingress
    code = refused(revoke, GroupId=group, IpPermissions=[one, by_cidr("10.3.0.0/16")])
    assert code == "InvalidPermission.NotFound"
    assert len(ingress(networks, "server", group)[0]["IpRanges"]) == 2


def test_sixty_rules_fit_each_way_and_for_each_version_of_ip(networks):
    group = networks.group("server", networks.vpc("server", "10.0.0.0/16"))
    ec2 = networks.ec2("server")
    ranges = [{"CidrIp": f"10.1.{number}.0/24"} for number in range(60)]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(IpRanges=ranges)])
    one_more = {"GroupId": group, "IpPermissions": [by_cidr("10.2.0.0/24")]}
    code = refused(ec2.authorize_security_group_ingress, **one_more)
    assert code == "RulesPerSecurityGroupLimitExceeded"
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(Ipv6Ranges=[{"CidrIpv6": "fd00::/8"}])])
    # A rule that names a group counts for both.
    code = refused(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[by_group(group)])
    assert code == "RulesPerSecurityGroupLimitExceeded"
    out = [{"CidrIp": f"10.1.{number}.0/24"} for number in range(60)]  # and one was there from the beginning
    code = refused(ec2.authorize_security_group_egress, GroupId=group, IpPermissions=[tcp(IpRanges=out)])
    assert code == "RulesPerSecurityGroupLimitExceeded"
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(IpRanges=out[1:])])


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        tcp(70_000, IpRanges=[{"CidrIp": "10.0.0.0/8"}]),
        {**by_cidr("10.0.0.0/8"), "ToPort": 80},
        {**by_cidr("10.0.0.0/8"), "IpProtocol": "tpc"},
        by_cidr("10.0.0.0/33"),
        by_cidr("10.0.0.0.0/8"),
    ],
)
def test_malformed_rules_are_refused(networks, rule):
    group = networks.group("server", networks.vpc("server", "10.0.0.0/16"))
    authorize = networks.ec2("server").authorize_security_group_ingress
    assert refused(authorize, GroupId=group, IpPermissions=[rule]) == "InvalidParameterValue"


def test_a_group_in_use_stays(networks):
    vpc, ec2 = networks.vpc("server", "10.0.0.0/16"), networks.ec2("server")
    used, by = networks.group("server", vpc, "used"), networks.group("server", vpc, "by")
    ec2.authorize_security_group_egress(GroupId=by, IpPermissions=[by_group(used)])
    assert refused(ec2.delete_security_group, "dependent object", GroupId=used) == "DependencyViolation"
    ec2.revoke_security_group_egress(GroupId=by, IpPermissions=[by_group(used)])
    subnet = networks.subnet("server", vpc, "10.0.0.0/24")
    eni = ec2.create_network_interface(SubnetId=subnet, Groups=[used])["NetworkInterface"]["NetworkInterfaceId"]
    assert refused(ec2.delete_security_group, "dependent object", GroupId=used) == "DependencyViolation"
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[by])
    ec2.delete_security_group(GroupId=used)


def test_a_group_that_names_itself_may_go(networks):
    group, ec2 = networks.group("server", networks.vpc("server", "10.0.0.0/16")), networks.ec2("server")
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[by_group(group)])
    ec2.delete_security_group(GroupId=group)


def test_an_interface_stands_in_groups_of_its_own_network(networks):
    here, there = networks.vpc("server", "10.0.0.0/16"), networks.vpc("server", "10.5.0.0/16")
    far, subnet = networks.group("server", there), networks.subnet("server", here, "10.0.0.0/24")
    create = networks.ec2("server").create_network_interface
    words = f"Security group {far} and subnet {subnet} belong to different networks."
    assert refused(create, words, SubnetId=subnet, Groups=[far]) == "InvalidParameter"
    gone = "sg-0123456789abcdef0"
    assert refused(create, gone, SubnetId=subnet, Groups=[gone]) == "InvalidGroup.NotFound"


def test_a_rule_that_is_changed_keeps_its_id_and_is_no_duplicate(networks):
    group, ec2 = networks.group("server", networks.vpc("server", "10.0.0.0/16")), networks.ec2("server")
    rules = [by_cidr("10.1.0.0/16"), by_cidr("10.2.0.0/16")]
    first = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)["SecurityGroupRules"][0]

    def to(cidr):
        rule = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "CidrIpv4": cidr}
        changed = [{"SecurityGroupRuleId": first["SecurityGroupRuleId"], "SecurityGroupRule": rule}]
        return {"GroupId": group, "SecurityGroupRules": changed}

    assert refused(ec2.modify_security_group_rules, **to("10.2.0.0/16")) == "InvalidPermission.Duplicate"
    ec2.modify_security_group_rules(**to("10.3.0.9/16"))
    told = ec2.describe_security_group_rules(SecurityGroupRuleIds=[first["SecurityGroupRuleId"]])
    assert told["SecurityGroupRules"][0]["CidrIpv4"] == "10.3.0.0/16"
