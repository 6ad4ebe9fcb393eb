"""A VpcConfig is checked when the job is created, and becomes a network interface for as long as the job lasts."""

from __future__ import annotations

import time

import pytest
from botocore.exceptions import ClientError
from probing_desk import TRUST, as_policy, open_desk, until

SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"


LINGER = 2.0  # seconds: enough to look twice on a busy machine


@pytest.fixture(scope="module")
def desk(serve_aws, tmp_path_factory):
    process, own = serve_aws(tmp_path_factory.mktemp("home"), EMBEDDED_AWS_INTERFACES_LINGER=str(LINGER))
    yield open_desk(own.session("client-3"), "vpc-jobs")
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def network(desk):
    """Return two VPCs with a subnet and a group each; the first has a way to S3."""
    ec2, made = desk.client("ec2"), []
    for cidr in ("10.8.0.0/24", "10.9.0.0/24"):
        vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
        made.append({"Subnets": [subnet], "SecurityGroupIds": [group]})
        tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[tables[0]["RouteTableId"]]
        )
    return made


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_the_interface_lasts_as_long_as_the_job(desk, network, end):
    ec2, name = desk.client("ec2"), f"lasts-{end}"
    script = SLEEPS if end == "stopped" else SLEEPS.replace("time.sleep(600)", "import os; os.kill(os.getpid(), 9)")
    desk.start(script, name=name, VpcConfig=network[0])

    def interfaces():
        found = ec2.describe_network_interfaces()["NetworkInterfaces"]
        return [one for one in found if one["Description"].endswith(f"training-job/{name}")]

    if end == "stopped":
        until(lambda: "ready" in desk.lines(name), "the job does not start")
        (mine,) = interfaces()
        assert mine["PrivateIpAddress"].startswith("10.8.0.")
        assert mine["SubnetId"] == network[0]["Subnets"][0]
        assert [group["GroupId"] for group in mine["Groups"]] == network[0]["SecurityGroupIds"]
        assert mine["RequesterManaged"]
        desk.client("sagemaker").stop_training_job(TrainingJobName=name)
    job = desk.ended(name)
    assert job["VpcConfig"] == network[0]
    # SageMaker takes it back some time later; until then neither subnet nor group can go.
    assert interfaces() != []
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=network[0]["Subnets"][0])
    until(lambda: interfaces() == [], "the interface stays")


def test_the_interface_stays_where_the_job_s_role_is_gone_before_it(desk, network):
    """SageMaker removes it with that role."""
    ec2, iam = desk.client("ec2"), desk.session.client("iam")
    statement = {"Effect": "Allow", "Action": ["s3:*", "ec2:*", "logs:*", "ecr:*"], "Resource": "*"}
    role = iam.create_role(RoleName="short-lived", AssumeRolePolicyDocument=as_policy(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="short-lived", PolicyName="job", PolicyDocument=as_policy(statement))
    desk.start("", name="orphaned", VpcConfig=network[0], RoleArn=role)
    desk.ended("orphaned")
    iam.delete_role_policy(RoleName="short-lived", PolicyName="job")
    iam.delete_role(RoleName="short-lived")
    time.sleep(LINGER + 0.5)

    def mine():
        found = ec2.describe_network_interfaces()["NetworkInterfaces"]
        return [one for one in found if one["Description"].endswith("training-job/orphaned")]

    (left,) = mine()
    ec2.delete_network_interface(NetworkInterfaceId=left["NetworkInterfaceId"])  # by hand, as on AWS
    assert mine() == []


def test_a_vpc_config_that_leads_nowhere_is_refused(desk, network):
    (here, there), sagemaker = network, desk.client("sagemaker")
    for config, told in (
        (here | {"Subnets": ["subnet-0123456789abcdef0"]}, "The subnet ID 'subnet-0123456789abcdef0' does not exist"),
        (here | {"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "The security group 'sg-0123456789abcdef0' does not"),
        (here | {"Subnets": there["Subnets"]}, f"Security group {here['SecurityGroupIds'][0]} and subnet"),
        (here | {"Subnets": here["Subnets"] + there["Subnets"]}, f"Subnet {there['Subnets'][0]} and subnet"),
    ):
        with pytest.raises(ClientError, match="ValidationException") as refused:
            desk.start("", name="nowhere", VpcConfig=config)
        assert told in str(refused.value)
    assert sagemaker.list_training_jobs(NameContains="nowhere")["TrainingJobSummaries"] == []


def test_a_job_says_which_proxy_is_its_own_and_another_cannot_guess_it(desk, network):
    script = "import os; print(os.environ['grpc_proxy'])"
    said = []
    for name in ("proxy-a", "proxy-b"):
        desk.start(script, name=name, VpcConfig=network[0], Environment={"grpc_proxy": "http://elsewhere:1"})
        desk.ended(name)
        said += desk.lines(name)
    assert [one.split("//")[1].split(":")[0] for one in said] == ["proxy-a", "proxy-b"]
    words = [one.split(":")[2].split("@")[0] for one in said]
    assert len(set(words)) == 2
    assert all(len(word) == 32 for word in words)
