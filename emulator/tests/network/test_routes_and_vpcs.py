"""Ranges, routes, interfaces and endpoints that AWS refuses, and the order in which a network can be deleted.

Expected values: AWS, EC2 API reference (CreateVpc, CreateSubnet, CreateRoute, CreateNetworkInterface, DeleteVpc, "Error
codes"); VPC user guide, "Subnet CIDR blocks"; PrivateLink guide, "Access an AWS service".
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from moto.ec2.models import ec2_backends
from network_world import ACCOUNTS, REGION
from networks import named, refused

from embedded_aws.services.ec2 import interfaces

S3, STS, LOGS = (f"com.amazonaws.us-east-1.{name}" for name in ("s3", "sts", "logs"))


@pytest.fixture
def vpc(networks):
    return networks.vpc("server", "10.0.0.0/16")


@pytest.fixture
def ec2(networks):
    return networks.ec2("server")


@pytest.mark.parametrize(
    ("cidr", "code"),
    [("10.0.0.0/15", "InvalidVpc.Range"), ("10.0.0.0/29", "InvalidVpc.Range"), ("10.0.0/16", "InvalidParameterValue")],
)
def test_ranges_of_a_network_have_sixteen_to_65536_addresses(ec2, cidr, code):
    assert refused(ec2.create_vpc, CidrBlock=cidr) == code


def test_ranges_are_kept_without_bits_beyond_their_mask(networks, ec2):
    # CreateVpc: "if you specify 100.68.0.18/18, we modify it to 100.68.0.0/18".
    made = ec2.create_vpc(CidrBlock="100.68.0.18/18")["Vpc"]
    assert made["CidrBlock"] == "100.68.0.0/18"
    subnet = ec2.create_subnet(VpcId=made["VpcId"], CidrBlock="100.68.1.9/24")["Subnet"]
    assert subnet["CidrBlock"] == "100.68.1.0/24"


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.0.0/15", "InvalidSubnet.Range"),
        ("10.0.8.0/29", "InvalidSubnet.Range"),
        ("10.0.1.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/22", "InvalidSubnet.Conflict"),
        ("10.0.1.0/24", "InvalidSubnet.Conflict"),
    ],
)
def test_subnets_lie_in_their_network_and_apart(networks, ec2, vpc, cidr, code):
    networks.subnet("server", vpc, "10.0.1.0/24")
    assert refused(ec2.create_subnet, VpcId=vpc, CidrBlock=cidr) == code


def test_a_destination_that_is_routed_already_is_refused(networks, ec2, vpc):
    name = networks.ask("server", vpc, "client-1", networks.vpc("client-1", "10.1.0.0/16"))
    table = networks.table("server", vpc)
    to = {"RouteTableId": table, "VpcPeeringConnectionId": name}
    ec2.create_route(DestinationCidrBlock="10.1.0.0/16", **to)
    for same in ("10.1.0.0/16", "10.1.7.7/16"):
        assert refused(ec2.create_route, DestinationCidrBlock=same, **to) == "RouteAlreadyExists"
    ec2.create_route(DestinationCidrBlock="10.1.0.0/17", **to)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="10.1.0.0/16")


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "10.0.3.0/24"])
def test_the_networks_own_addresses_are_not_routed_over_a_peering(networks, ec2, vpc, cidr):
    name = networks.ask("server", vpc, "client-1", networks.vpc("client-1", "10.1.0.0/16"))
    way = {"RouteTableId": networks.table("server", vpc), "VpcPeeringConnectionId": name}
    words = "equal to or more specific than one of this VPC's CIDR blocks"
    assert refused(ec2.create_route, words, DestinationCidrBlock=cidr, **way) == "InvalidParameterValue"
    ec2.create_route(DestinationCidrBlock="10.0.0.0/8", **way)  # less specific: local wins for the own ones


def test_the_local_route_stays(networks, ec2, vpc):
    delete = {"RouteTableId": networks.table("server", vpc), "DestinationCidrBlock": "10.0.0.0/16"}
    assert refused(ec2.delete_route, "cannot remove local route", **delete) == "InvalidParameterValue"


def test_a_route_has_one_target_which_is_there_and_near(networks, ec2, vpc):
    way = {"RouteTableId": networks.table("server", vpc), "DestinationCidrBlock": "0.0.0.0/0"}
    assert refused(ec2.create_route, **way) == "MissingParameter"
    gone = "nat-0123456789abcdef0"
    assert refused(ec2.create_route, NatGatewayId=gone, **way) == "InvalidNatGatewayID.NotFound"
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    words = "belong to different networks"
    assert refused(ec2.create_route, words, GatewayId=gateway, **way) == "InvalidParameterValue"
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(GatewayId=gateway, **way)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (told,) = ec2.describe_route_tables(RouteTableIds=[way["RouteTableId"]])["RouteTables"]
    assert {one["DestinationCidrBlock"]: one["State"] for one in told["Routes"]}["0.0.0.0/0"] == "blackhole"


def test_a_subnet_uses_one_table_of_its_network(networks, ec2, vpc):
    subnet, one, other = networks.subnet("server", vpc, "10.0.1.0/24"), *(networks.table("server", vpc) for _ in "12")
    far = networks.table("server", networks.vpc("server", "10.5.0.0/16"))
    associate = ec2.associate_route_table
    words = f"route table {far} and subnet {subnet} belong to different networks"
    assert refused(associate, words, RouteTableId=far, SubnetId=subnet) == "InvalidParameterValue"
    first = associate(RouteTableId=one, SubnetId=subnet)["AssociationId"]
    assert associate(RouteTableId=one, SubnetId=subnet)["AssociationId"] == first
    assert refused(associate, RouteTableId=other, SubnetId=subnet) == "Resource.AlreadyAssociated"
    assert refused(ec2.delete_route_table, RouteTableId=one) == "DependencyViolation"


def test_the_main_table_goes_with_its_network_only(ec2, vpc):
    (main,) = ec2.describe_route_tables(Filters=named("vpc-id", vpc))["RouteTables"]
    assert refused(ec2.delete_route_table, RouteTableId=main["RouteTableId"]) == "DependencyViolation"
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_route_tables(Filters=named("vpc-id", vpc))["RouteTables"] == []


def test_a_network_goes_when_everything_in_it_has_gone(networks, ec2, vpc):
    subnet, table, group = (
        networks.subnet("server", vpc, "10.0.1.0/24"),
        networks.table("server", vpc),
        networks.group("server", vpc),
    )
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    assert refused(ec2.delete_subnet, subnet, SubnetId=subnet) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    for call, request in (
        (ec2.delete_subnet, {"SubnetId": subnet}),
        (ec2.delete_vpc_endpoints, {"VpcEndpointIds": [endpoint]}),
        (ec2.delete_route_table, {"RouteTableId": table}),
        (ec2.delete_security_group, {"GroupId": group}),
        (ec2.detach_internet_gateway, {"InternetGatewayId": gateway, "VpcId": vpc}),
    ):
        assert refused(ec2.delete_vpc, f"'{vpc}' has dependencies", VpcId=vpc) == "DependencyViolation"
        call(**request)
    ec2.delete_vpc(VpcId=vpc)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.0.2.9", "InvalidParameterValue"),  # of another subnet
        ("10.0.1.0", "InvalidParameterValue"),  # "the first four IP addresses and the last IP address ... are reserved"
        ("10.0.1.3", "InvalidParameterValue"),
        ("10.0.1.255", "InvalidParameterValue"),
        ("10.0.1.10", "InvalidIPAddress.InUse"),
    ],
)
def test_an_address_is_of_the_subnet_and_free(networks, ec2, vpc, address, code):
    subnet = networks.subnet("server", vpc, "10.0.1.0/24")
    ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.1.10")
    assert refused(ec2.create_network_interface, SubnetId=subnet, PrivateIpAddress=address) == code
    ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.1.4")


def test_a_full_subnet_has_no_more_interfaces_and_each_has_an_address_of_its_own(networks, ec2, vpc):
    subnet = networks.subnet("server", vpc, "10.0.1.0/28")  # 16 addresses, 5 of them reserved
    network = ec2_backends[ACCOUNTS["server"]][REGION]
    with ThreadPoolExecutor(8) as pool:  # jobs, notebooks and endpoints at once
        made = list(pool.map(lambda _: interfaces.make(network, subnet, [], note="any"), range(11)))
    assert sorted(eni.private_ip_address for eni in made) == sorted(f"10.0.1.{number}" for number in range(4, 15))
    code = refused(ec2.create_network_interface, SubnetId=subnet)
    assert code == "InsufficientFreeAddressesInSubnet"
    interfaces.drop(network, made[3].id)
    (again,) = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["PrivateIpAddress"]]
    assert again == made[3].private_ip_address


def test_an_interface_in_use_is_not_deleted(networks, ec2, vpc):
    subnet = networks.subnet("server", vpc, "10.0.1.0/24")
    eni = interfaces.make(ec2_backends[ACCOUNTS["server"]][REGION], subnet, [], note="any").id
    words = f"Network interface '{eni}' is currently in use."
    assert refused(ec2.delete_network_interface, words, NetworkInterfaceId=eni) == "InvalidParameterValue"


def interface_endpoint(vpc, service=STS, **more):
    return {"VpcId": vpc, "ServiceName": service, "VpcEndpointType": "Interface", **more}


@pytest.mark.parametrize(("support", "names"), [(True, False), (False, True), (False, False)])
def test_private_names_need_both_dns_attributes(ec2, vpc, support, names):
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": support})
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": names})
    words = (
        "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for "
        f"{vpc}"
    )
    code = refused(ec2.create_vpc_endpoint, words, **interface_endpoint(vpc, PrivateDnsEnabled=True))
    assert code == "InvalidParameter"
    assert refused(ec2.create_vpc_endpoint, words, **interface_endpoint(vpc)) == "InvalidParameter"  # its default
    made = ec2.create_vpc_endpoint(**interface_endpoint(vpc, PrivateDnsEnabled=False))["VpcEndpoint"]
    change = {"VpcEndpointId": made["VpcEndpointId"], "PrivateDnsEnabled": True}
    assert refused(ec2.modify_vpc_endpoint, words, **change) == "InvalidParameter"
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{name: {"Value": True}})
    ec2.modify_vpc_endpoint(**change)


def test_two_endpoints_do_not_share_a_private_name(networks, ec2, vpc):
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    first = ec2.create_vpc_endpoint(**interface_endpoint(vpc))["VpcEndpoint"]["VpcEndpointId"]
    words = (
        "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
        f"sts.us-east-1.amazonaws.com in the VPC {vpc}"
    )
    assert refused(ec2.create_vpc_endpoint, words, **interface_endpoint(vpc)) == "InvalidParameter"
    second = ec2.create_vpc_endpoint(**interface_endpoint(vpc, PrivateDnsEnabled=False))["VpcEndpoint"]
    change = {"VpcEndpointId": second["VpcEndpointId"], "PrivateDnsEnabled": True}
    assert refused(ec2.modify_vpc_endpoint, words, **change) == "InvalidParameter"
    ec2.create_vpc_endpoint(**interface_endpoint(vpc, LOGS))
    ec2.delete_vpc_endpoints(VpcEndpointIds=[first])
    ec2.modify_vpc_endpoint(**change)
    ec2.modify_vpc_endpoint(**change)  # it is the one that has them


def test_an_endpoint_stands_in_its_network_once_per_zone(networks, ec2, vpc):
    subnets = [networks.subnet("server", vpc, f"10.0.{number}.0/24") for number in (1, 2)]
    wanted = interface_endpoint(vpc, PrivateDnsEnabled=False)
    code = refused(ec2.create_vpc_endpoint, SubnetIds=subnets, **wanted)
    assert code == "DuplicateSubnetsInSameZone"
    far = networks.subnet("server", networks.vpc("server", "10.5.0.0/16"), "10.5.0.0/24")
    assert refused(ec2.create_vpc_endpoint, SubnetIds=[far], **wanted) == "InvalidParameter"
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_one_table_leads_to_a_service_once(networks, ec2, vpc):
    table = networks.table("server", vpc)
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])
    again = {"VpcId": vpc, "ServiceName": S3, "RouteTableIds": [table]}
    assert refused(ec2.create_vpc_endpoint, table, **again) == "RouteAlreadyExists"
