"""Notebook instances: what is asked for is told again, and they are stopped before they go."""

import base64
import json
import time

import pytest
from botocore.exceptions import ClientError
from stack_desk import TRUST, until_free

ROLE = "arn:aws:iam::222233334444:role/notebooks"
SMALL = {"InstanceType": "ml.t3.medium", "RoleArn": ROLE}


@pytest.fixture(scope="module")
def network(aws):
    session = aws.session("client-3")
    ec2, iam = session.client("ec2"), session.client("iam")
    iam.create_role(RoleName="notebooks", AssumeRolePolicyDocument=json.dumps(TRUST))
    vpc = ec2.create_vpc(CidrBlock="10.6.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.6.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="notebooks", Description="n", VpcId=vpc)["GroupId"]
    yield {"SubnetId": subnet, "SecurityGroupIds": [group]}
    until_free(lambda: ec2.delete_security_group(GroupId=group))
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    iam.delete_role(RoleName="notebooks")


class Notebooks:
    """SageMaker of one account; removes the instances that a test leaves."""

    def __init__(self, api):
        self.api = api

    def create(self, name="n", **request):
        self.api.create_notebook_instance(NotebookInstanceName=name, **{**SMALL, **request})
        return self.wait(name, "InService")

    def status(self, name):
        return self.api.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceStatus"]

    def wait(self, name, wanted):
        give_up = time.monotonic() + 10
        while (told := self.api.describe_notebook_instance(NotebookInstanceName=name))[
            "NotebookInstanceStatus"
        ] != wanted:
            assert time.monotonic() < give_up, told
            time.sleep(0.02)
        return told

    def remove(self, name):
        if self.status(name) == "InService":
            self.api.stop_notebook_instance(NotebookInstanceName=name)
            self.wait(name, "Stopped")
        self.api.delete_notebook_instance(NotebookInstanceName=name)
        with pytest.raises(ClientError, match="RecordNotFound"):
            self.wait(name, "gone")


@pytest.fixture
def notebooks(aws, network):
    notebooks = Notebooks(aws.session("client-3").client("sagemaker"))
    yield notebooks
    for one in notebooks.api.list_notebook_instances()["NotebookInstances"]:
        notebooks.remove(one["NotebookInstanceName"])
    for one in notebooks.api.list_notebook_instance_lifecycle_configs()["NotebookInstanceLifecycleConfigs"]:
        name = one["NotebookInstanceLifecycleConfigName"]
        notebooks.api.delete_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)


def script(text):
    return [{"Content": base64.b64encode(text.encode()).decode()}]


def test_every_property_is_told_again(aws, notebooks, network):
    notebooks.api.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="Setup", OnStart=script("true")
    )
    asked = {
        "InstanceType": "ml.m7i.xlarge",
        "KmsKeyId": "alias/notebooks",
        "DirectInternetAccess": "Disabled",
        "RootAccess": "Disabled",
        "VolumeSizeInGB": 20,
        "PlatformIdentifier": "notebook-al2-v3",
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
        "DefaultCodeRepository": "https://example.org/code.git",
    }
    told = notebooks.create("Every", **asked, **network, LifecycleConfigName="Setup")
    assert {name: told[name] for name in asked} == asked
    assert told["NotebookInstanceLifecycleConfigName"] == "Setup"
    assert (told["SubnetId"], told["SecurityGroups"]) == (network["SubnetId"], network["SecurityGroupIds"])
    assert told["Url"] == "Every.notebook.us-east-1.sagemaker.aws"
    ec2 = aws.session("client-3").client("ec2")
    interfaces = {"NetworkInterfaceIds": [told["NetworkInterfaceId"]]}
    (eni,) = ec2.describe_network_interfaces(**interfaces)["NetworkInterfaces"]
    assert eni["PrivateIpAddress"].startswith("10.6.1.")
    assert [group["GroupId"] for group in eni["Groups"]] == network["SecurityGroupIds"]
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=network["SubnetId"])
    notebooks.remove("Every")
    give_up = time.monotonic() + 10
    with pytest.raises(ClientError, match="NotFound"):
        while time.monotonic() < give_up:
            ec2.describe_network_interfaces(**interfaces)
            time.sleep(0.05)


def test_an_instance_passes_through_the_states_of_aws(notebooks):
    api, named = notebooks.api, {"NotebookInstanceName": "n"}
    api.create_notebook_instance(**named, **SMALL)
    assert notebooks.status("n") == "Pending"
    notebooks.wait("n", "InService")
    for call, wrong in ((api.delete_notebook_instance, "Deleting"), (api.start_notebook_instance, "Pending")):
        with pytest.raises(ClientError, match=rf"Status \(InService\) not in .*Unable to transition to \({wrong}\)"):
            call(**named)
    assert api.create_presigned_notebook_instance_url(**named)["AuthorizedUrl"].startswith("https://n.notebook.")
    api.stop_notebook_instance(**named)
    assert notebooks.status("n") == "Stopping"
    notebooks.wait("n", "Stopped")
    with pytest.raises(ClientError, match="InService"):
        api.create_presigned_notebook_instance_url(**named)
    api.update_notebook_instance(**named, InstanceType="ml.m5.xlarge", VolumeSizeInGB=9)
    assert notebooks.status("n") == "Updating"
    told = notebooks.wait("n", "Stopped")
    assert (told["InstanceType"], told["VolumeSizeInGB"]) == ("ml.m5.xlarge", 9)
    api.start_notebook_instance(**named)
    notebooks.wait("n", "InService")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"InstanceType": "ml.none.large"}, "'instanceType' failed to satisfy constraint"),
        ({"VolumeSizeInGB": 16_385}, "less than or equal to 16384"),
        ({"RoleArn": ROLE.replace("notebooks", "nobody")}, "nobody"),
        ({"RoleArn": ROLE.replace("222233334444", "111122223333")}, "Cross-account pass role is not allowed"),
        ({"LifecycleConfigName": "nothing"}, "Notebook Instance Lifecycle Config does not exist"),
        ({"SubnetId": "subnet-0"}, "subnet-0"),
        ({"DirectInternetAccess": "Disabled"}, "give a SubnetId"),
    ],
)
def test_a_wrong_request_is_refused(notebooks, request_, told):
    with pytest.raises(ClientError) as refused:
        notebooks.create(**request_)
    assert told in str(refused.value)
    assert notebooks.api.list_notebook_instances()["NotebookInstances"] == []


def test_a_name_is_taken_once(notebooks):
    notebooks.create("once")
    with pytest.raises(ClientError, match="Cannot create a duplicate Notebook Instance"):
        notebooks.create("once")


def test_instances_are_listed_by_name_and_state(notebooks):
    for name in ("fl-b", "fl-a", "other"):
        notebooks.create(name)
    notebooks.api.stop_notebook_instance(NotebookInstanceName="fl-a")
    notebooks.wait("fl-a", "Stopped")

    def names(**request):
        told = notebooks.api.list_notebook_instances(**request)
        return [one["NotebookInstanceName"] for one in told["NotebookInstances"]]

    assert names() == ["fl-a", "fl-b", "other"]
    assert names(NameContains="fl-", SortOrder="Descending") == ["fl-b", "fl-a"]
    assert names(StatusEquals="Stopped") == ["fl-a"]
    first = notebooks.api.list_notebook_instances(MaxResults=2)
    assert len(first["NotebookInstances"]) == 2
    assert names(NextToken=first["NextToken"]) == ["other"]


def test_a_lifecycle_configuration_is_kept_changed_and_deleted(notebooks):
    api, named = notebooks.api, {"NotebookInstanceLifecycleConfigName": "Setup"}
    api.create_notebook_instance_lifecycle_config(**named, OnCreate=script("one"), OnStart=script("two"))
    with pytest.raises(ClientError, match="already exists"):
        api.create_notebook_instance_lifecycle_config(**named)
    api.update_notebook_instance_lifecycle_config(**named, OnStart=script("three"))
    told = api.describe_notebook_instance_lifecycle_config(**named)
    assert (told["OnCreate"], told["OnStart"]) == (script("one"), script("three"))
    api.delete_notebook_instance_lifecycle_config(**named)
    with pytest.raises(ClientError, match="does not exist"):
        api.describe_notebook_instance_lifecycle_config(**named)


def test_tags_of_an_instance_can_be_changed(notebooks):
    arn = notebooks.create("tagged", Tags=[{"Key": "a", "Value": "1"}])["NotebookInstanceArn"]
    notebooks.api.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    notebooks.api.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert notebooks.api.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
