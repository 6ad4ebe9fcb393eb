"""What describes AWS is read once for the whole process, and only as far as it is asked for."""

import pytest

OFFERS = {"region": "eu-west-1", "availability-zone": "eu-west-1a"}


@pytest.mark.parametrize("kind", OFFERS)
def test_the_offers_of_a_region_are_read_when_they_are_asked_for(aws, kind):
    ec2 = aws.session("client-1").client("ec2", region_name="eu-west-1")
    asked = [{"Name": "instance-type", "Values": ["m5.large"]}, {"Name": "location", "Values": [OFFERS[kind]]}]
    answer = ec2.describe_instance_type_offerings(LocationType=kind, Filters=asked)
    assert answer["InstanceTypeOfferings"] == [
        {"InstanceType": "m5.large", "LocationType": kind, "Location": OFFERS[kind]}
    ]


def test_a_region_without_known_offers_has_none(aws):
    ec2 = aws.session("client-1").client("ec2", region_name="mx-central-1")
    assert ec2.describe_instance_type_offerings()["InstanceTypeOfferings"] == []


def test_every_session_of_the_server_shares_one_description():
    """In a process of its own: whoever imports it changes what botocore's sessions read."""
    import subprocess
    import sys

    script = """
from embedded_aws import models
import boto3, botocore.session
loaders = {id(one.get_component("data_loader")) for one in (boto3.Session()._session, models.session())}
assert len(loaders) == 1
s3, again = (models.session().get_service_model("s3") for _ in range(2))
assert s3._service_description["shapes"] is again._service_description["shapes"]
assert s3._service_description["operations"] is not again._service_description["operations"]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
