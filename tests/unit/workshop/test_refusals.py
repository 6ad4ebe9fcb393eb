"""What an owner does about a resource that AWS does not delete; the real ones are in test_owners_who_never_meet."""

import boto3
import pytest
from botocore.stub import Stubber

from workshop.aws import quotas, refusals
from workshop.aws.choices import Choices
from workshop.aws.deployment import Federation
from workshop.owners import doctor


class Session:
    """A session whose clients answer what they were given, or refuse everything."""

    profile_name, region_name = "fl-client-1", "us-east-1"

    def __init__(self, **answers):
        self.answers = answers

    def client(self, service):
        made = boto3.client(service, "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        stub = Stubber(made)
        for operation, answer in self.answers.get(service, {}).items():
            stub.add_response(operation, answer)
        for operation in () if service in self.answers else made.meta.method_to_api_mapping:
            stub.add_client_error(operation, "AccessDenied", "you may not look")
        stub.activate()
        return made


def event(kind, reason, name="the-id"):
    return {
        "LogicalResourceId": "Thing", "ResourceType": kind, "PhysicalResourceId": name, "ResourceStatusReason": reason,
    }  # fmt: skip


OWN = {"describe_stack_resources": {"StackResources": []}}


@pytest.mark.parametrize("kind", [*refusals._HOLDERS, "AWS::KMS::Key", "AWS::SageMaker::NotebookInstance", "Custom::X"])
def test_every_reason_has_a_remedy_also_one_that_nobody_knows(kind):
    told = refusals.explain(Session(), "fl-network", [event(kind, "words of AWS's")], again="it")
    assert told == f"Thing ({kind}): words of AWS's - mend that by hand; then run it again"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            "Stack [fl-x] cannot be deleted while TerminationProtection is enabled",
            "--no-enable-termination-protection ",
        ),
        ("User: arn:aws:iam::1:user/x is not authorized to perform: iam:DeleteRole", "use an administrator"),
        ("explicit deny in a service control policy; not authorized", "who keeps its control policies"),
        ("Export fl-vpc cannot be deleted as it is in use by other-stack", "delete first what AWS's words name"),
    ],
)
def test_what_aws_says_is_enough_for_some(words, remedy):
    assert remedy in refusals.by_words(words, "fl-x", profile=" --profile fl-client-1")


def test_every_resource_that_stays_is_told_of():
    events = [event("Custom::A", "one"), event("Custom::B", "two")]
    lines = refusals.explain(Session(), "fl-x", events, again="it").splitlines()
    assert [line.partition(" - ")[0] for line in lines] == ["Thing (Custom::A): one", "Thing (Custom::B): two"]
    assert all(line.endswith("then run it again") for line in lines)


def test_a_bucket_that_is_written_to_meanwhile_is_emptied_by_the_next_run():
    listing = {"Versions": [{"Key": "late.csv", "VersionId": "1"}]}
    session = Session(cloudformation=OWN, s3={"list_object_versions": listing})
    told = refusals.explain(session, "fl-storage", [event("AWS::S3::Bucket", "not empty", "bucket-1")], again="it")
    assert "something writes to bucket bucket-1 (there is 'late.csv'): end what does" in told


@pytest.mark.parametrize(
    ("interface", "told"),
    [
        ({"RequesterManaged": True}, "wait: SageMaker takes network interface eni-1 back"),
        ({"Description": "[DO NOT DELETE] ENI managed by SageMaker"}, "wait: SageMaker"),
        ({"Description": "mine"}, "delete network interface eni-1 (mine)"),
        ({"Attachment": {"InstanceId": "i-1"}}, "terminate-instances --instance-ids i-1 --profile fl-client-1;"),
    ],
)
def test_an_interface_in_a_subnet_is_waited_for_or_deleted_by_whose_it_is(interface, told):
    found = {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1"} | interface]}
    session = Session(cloudformation=OWN, ec2={"describe_network_interfaces": found})
    assert told in refusals.explain(session, "fl-network", [event("AWS::EC2::Subnet", "has dependencies")], again="it")


def test_a_quota_that_could_not_be_asked_for_is_not_ok():
    members = Federation({"client-1": Session()}, None, {"client-1": {}}, Choices())
    ((checked, of, ok, found, remedy),) = doctor._quotas(members)
    assert (checked, of, ok) == ("quota", "client-1", False)
    assert f"AWS does not tell the quota '{quotas.needed('client-1', Choices()).quota}'" in found
    assert "servicequotas:GetServiceQuota" in remedy
