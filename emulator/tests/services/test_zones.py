"""Zones: a name means another zone in every account, and not every service is in each of them."""

import json
import time

import pytest
from botocore.exceptions import ClientError
from stack_desk import TRUST, until_free

STS = "com.amazonaws.us-east-1.sts"


@pytest.fixture
def old_zone(aws):
    """Return sessions' EC2, a VPC of client-3, and subnets in the zone that lacks STS and in one that has it."""
    ec2 = aws.session("client-3").client("ec2")
    by_id = {one["ZoneId"]: one["ZoneName"] for one in ec2.describe_availability_zones()["AvailabilityZones"]}
    vpc = ec2.create_vpc(CidrBlock="10.66.0.0/16")["Vpc"]["VpcId"]
    subnets = {}
    for number, zone in enumerate(("use1-az3", "use1-az1")):
        asked = {"VpcId": vpc, "CidrBlock": f"10.66.{number}.0/24", "AvailabilityZone": by_id[zone]}
        subnets[zone] = ec2.create_subnet(**asked)["Subnet"]
    yield ec2, vpc, subnets
    for subnet in subnets.values():
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc)


def zones(aws, name):
    told = aws.session(name).client("ec2").describe_availability_zones()["AvailabilityZones"]
    return {one["ZoneName"]: one["ZoneId"] for one in told}


def test_names_mean_other_zones_in_other_accounts(aws, old_zone):
    server, client = zones(aws, "server"), zones(aws, "client-1")
    assert set(server) == set(client)
    assert set(server.values()) == set(client.values())
    assert server != client
    _, _, subnets = old_zone
    for zone, subnet in subnets.items():
        assert subnet["AvailabilityZoneId"] == zone
        assert zones(aws, "client-3")[subnet["AvailabilityZone"]] == zone


def test_an_endpoint_is_refused_where_its_service_is_not(aws, old_zone):
    ec2, vpc, subnets = old_zone
    (told,) = ec2.describe_vpc_endpoint_services(ServiceNames=[STS])["ServiceDetails"]
    lacking, having = subnets["use1-az3"], subnets["use1-az1"]
    assert lacking["AvailabilityZone"] not in told["AvailabilityZones"]
    assert having["AvailabilityZone"] in told["AvailabilityZones"]
    asked = {"VpcId": vpc, "ServiceName": STS, "VpcEndpointType": "Interface", "PrivateDnsEnabled": False}
    with pytest.raises(ClientError, match="does not support the availability zone of the subnet"):
        ec2.create_vpc_endpoint(**asked, SubnetIds=[having["SubnetId"], lacking["SubnetId"]])
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    made = ec2.create_vpc_endpoint(**asked, SubnetIds=[having["SubnetId"]])["VpcEndpoint"]["VpcEndpointId"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def test_a_notebook_instance_does_not_come_up_there(aws, old_zone):
    ec2, vpc, subnets = old_zone
    session = aws.session("client-3")
    iam, sagemaker = session.client("iam"), session.client("sagemaker")
    role = iam.create_role(RoleName="zones", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    group = ec2.create_security_group(GroupName="zones", Description="z", VpcId=vpc)["GroupId"]
    sagemaker.create_notebook_instance(
        NotebookInstanceName="old", InstanceType="ml.t3.medium", RoleArn=role,
        SubnetId=subnets["use1-az3"]["SubnetId"], SecurityGroupIds=[group],
    )  # fmt: skip
    named, give_up = {"NotebookInstanceName": "old"}, time.monotonic() + 10
    while (told := sagemaker.describe_notebook_instance(**named))["NotebookInstanceStatus"] == "Pending":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert told["NotebookInstanceStatus"] == "Failed"
    assert "is not available in the zone" in told["FailureReason"]
    sagemaker.delete_notebook_instance(**named)
    while sagemaker.list_notebook_instances()["NotebookInstances"]:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    until_free(lambda: ec2.delete_security_group(GroupId=group))
    iam.delete_role(RoleName="zones")
