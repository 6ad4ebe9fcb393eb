"""An owner with a VPC, an S3 endpoint and a key already, as docs/platform-team.md tells; external ids are rotated."""

import json

import pytest

from client_code import schema
from data_prep import sources
from workshop import problems, state
from workshop.aws import accounts, jobs
from workshop.errors import AccountError
from workshop.lessons import rehearsal
from workshop.owners import cards

FRAUD = problems.load()
ADDRESSES = "10.20.0.0/24"


@pytest.fixture(scope="module")
def standing(owners):
    """Make what the client's platform and security teams have: a VPC, and a key whose policy names who uses it."""
    session = owners.aws.session("client-1")
    ec2, account = session.client("ec2"), owners.aws.accounts["client-1"]
    vpc = ec2.create_vpc(CidrBlock=ADDRESSES)["Vpc"]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    subnets = []
    for zone, cidr in (("us-east-1a", "10.20.0.0/25"), ("us-east-1b", "10.20.0.128/25")):
        subnets.append(ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"])
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[-1])
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Gateway", RouteTableIds=[table]
    )["VpcEndpoint"]["VpcEndpointId"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "SecurityTends",
                "Effect": "Allow",
                "Principal": {"AWS": session.client("sts").get_caller_identity()["Arn"]},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "TheFederationUses",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": {
                    "ArnLike": {
                        "aws:PrincipalArn": [
                            f"arn:aws:iam::{account}:role/FL-client-job-execution",
                            f"arn:aws:iam::{account}:user/workshop-admin",
                        ]
                    }
                },
            },
            {
                "Sid": "LogsAreEncrypted",
                "Effect": "Allow",
                "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
                "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                "Resource": "*",
                "Condition": {
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:us-east-1:{account}:log-group:/fl/*"
                    }
                },
            },
        ],
    }
    key = session.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    return {"vpc": vpc, "subnets": subnets, "table": table, "endpoint": endpoint, "key": key}


@pytest.fixture(scope="module")
def connected(owners, standing, tmp_path_factory):
    """Go through docs/run-on-aws.md with what stands already."""
    mail = tmp_path_factory.mktemp("mail") / "card"

    def send(sender, reader, *options):
        mail.write_text(owners(sender, "card", sender, *options))
        owners(reader, "join", mail)

    chosen = {
        "ExistingVpcId": standing["vpc"],
        "ExistingSubnetIds": ",".join(standing["subnets"]),
        "ExistingRouteTableId": standing["table"],
        "ExistingS3Endpoint": "yes",
        "ExistingKeyArn": standing["key"],
    }
    client = f"client-1={owners.aws.accounts['client-1']}"
    agreed = owners("server", "agree", client, "--cidr", f"client-1={ADDRESSES}")
    assert ADDRESSES in agreed
    owners("server", "deploy", "server", code=3)
    send("server", "client-1", "--for", "client-1")
    settings = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    owners("client-1", "deploy", "client-1", *settings, "--tag", "team=oncology", code=3)
    send("client-1", "server")
    owners("server", "deploy", "server")
    send("server", "client-1", "--for", "client-1")
    owners("client-1", "deploy", "client-1")
    rows = sources.load("synthetic", FRAUD, seed=0, cache=mail.parent).frame
    rows.iloc[::2].to_csv(mail.parent / "client.csv", index=False)
    rows.iloc[1::2].to_csv(mail.parent / "server.csv", index=False)
    for name in ("client-1", "server"):
        owners(name, "prepare", name, mail.parent / f"{name.partition('-')[0]}.csv")
        owners(name, "upload", name)
    return send


def stage_of(owners):
    """Return what the server's notebook knows: its own account, and the clients by their cards."""
    (known,) = state.load("accounts")
    test = schema.to_arrays(schema.read_table(owners.homes["server"] / "data" / "server" / "test.csv", FRAUD), FRAUD)
    members = cards.federation(["server"])
    clients = tuple(jobs.ClientAccount.of(entry) for entry in known["clients"])
    return rehearsal.Stage(
        dict(members.sessions), members, clients, test, FRAUD, known["server_role"], known["server_host"]
    )


@pytest.fixture
def as_server(owners, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(owners.homes["server"]))


def test_a_federation_trains_in_a_vpc_and_with_a_key_of_others(owners, connected, standing, as_server):
    for name in ("server", "client-1"):
        assert "WRONG" not in owners(name, "doctor", name)
    result, started = rehearsal.federate(stage_of(owners), rounds=2)
    assert [entry.round for entry in result.history] == [1, 2]
    session = owners.aws.session("client-1")
    (job,) = started
    described = session.client("sagemaker").describe_training_job(TrainingJobName=job.job_name)
    assert described["VpcConfig"]["Subnets"] == standing["subnets"]
    assert described["OutputDataConfig"]["KmsKeyId"] == standing["key"]
    ec2 = session.client("ec2")
    assert [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == [standing["vpc"]]
    own = ec2.describe_security_groups(Filters=[{"Name": "tag:Name", "Values": ["fl-federation"]}])["SecurityGroups"]
    assert own[0]["VpcId"] == standing["vpc"]
    assert {"Key": "team", "Value": "oncology"} in own[0]["Tags"]


def test_an_external_id_is_rotated(owners, connected, as_server):
    def borrow():
        (client,) = stage_of(owners).clients
        accounts.borrow(accounts.notebook_session(stage_of(owners).server_role), client, session_name="rotated")

    old = json.loads((owners.homes["server"] / "agreement.json").read_text())["external_ids"]["client-1"]
    told = owners("server", "rotate", "client-1")
    assert old not in told
    borrow()  # the notebook does not know of it yet
    connected("server", "client-1", "--for", "client-1")
    assert "fl-client-access                 changed" in owners("client-1", "deploy", "client-1", "--yes")
    with pytest.raises(AccountError, match="external id"):
        borrow()
    owners("server", "upload", "server")
    borrow()
    assert json.loads((owners.homes["server"] / "agreement.json").read_text())["external_ids"]["client-1"] != old
    assert "client-9 is no client; the agreement knows client-1" in owners("server", "rotate", "client-9", code=1)


def test_a_choice_that_is_none_is_refused_before_anything_happens(owners, connected):
    told = owners("client-1", "deploy", "client-1", "--set", "VpcId=vpc-1", code=1)
    assert "VpcId is nothing to choose; there are ArtefactDays, ExistingKeyArn" in told
    assert "--set LogDays: write NAME=VALUE" in owners("client-1", "deploy", "client-1", "--set", "LogDays", code=1)
    assert "unchanged" in owners("client-1", "deploy", "client-1")


def test_a_card_that_names_roles_of_another_account_is_refused(owners, connected, tmp_path):
    """Else a client could have the server's notebook borrow a role of the server's own account."""
    card = json.loads(owners("client-1", "card", "client-1"))
    server = owners.aws.accounts["server"]
    card["outputs"]["fl-client-access"]["KickoffRoleArn"] = f"arn:aws:iam::{server}:role/app-kickoff-client-job"
    (tmp_path / "card").write_text(json.dumps(card))
    told = owners("server", "join", tmp_path / "card", code=1)
    assert f"client-1's card names something of another account: arn:aws:iam::{server}:role/" in told


def test_what_stood_before_stands_after(owners, connected, standing):
    for name in ("client-1", "server"):
        assert f"nothing is left in {name}" in owners(name, "delete", name, "--yes")
    session = owners.aws.session("client-1")
    ec2 = session.client("ec2")
    assert ec2.describe_subnets(SubnetIds=standing["subnets"])["Subnets"]
    (table,) = ec2.describe_route_tables(RouteTableIds=[standing["table"]])["RouteTables"]
    assert not [route for route in table["Routes"] if "VpcPeeringConnectionId" in route]
    (endpoint,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[standing["endpoint"]])["VpcEndpoints"]
    assert endpoint["State"].lower() == "available"
    assert session.client("kms").describe_key(KeyId=standing["key"])["KeyMetadata"]["KeyState"] == "Enabled"
