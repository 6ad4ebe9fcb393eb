"""CloudFormation: small stacks come and go, and what is not known is refused."""

import json

import pytest
from botocore.exceptions import ClientError

BUCKET = {
    "Type": "AWS::S3::Bucket",
    "Properties": {
        "BucketName": "bucket-of-a-stack",
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "RestrictPublicBuckets": "true"},
        "VersioningConfiguration": {"Status": "Enabled"},
    },
}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "RoleName": "role-of-a-stack",
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}],
        },
    },
}
NAMED = ["CAPABILITY_NAMED_IAM"]


@pytest.fixture
def cloudformation(aws):
    client = aws.session("client-3").client("cloudformation")
    yield client
    for stack in client.describe_stacks()["Stacks"]:
        client.delete_stack(StackName=stack["StackName"])


def template(**resources):
    return json.dumps({"Resources": resources})


def test_a_stack_makes_and_unmakes_bucket_and_role(aws, cloudformation):
    s3, iam = aws.session("client-3").client("s3"), aws.session("client-3").client("iam")
    cloudformation.create_stack(StackName="both", TemplateBody=template(B=BUCKET, R=ROLE), Capabilities=NAMED)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="both", WaiterConfig={"Delay": 0.1})
    assert s3.get_bucket_versioning(Bucket="bucket-of-a-stack")["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket="bucket-of-a-stack")["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    assert iam.get_role(RoleName="role-of-a-stack")["Role"]["Arn"] == "arn:aws:iam::222233334444:role/role-of-a-stack"
    cloudformation.delete_stack(StackName="both")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="both", WaiterConfig={"Delay": 0.1})
    assert "bucket-of-a-stack" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName="role-of-a-stack")


def test_an_update_reaches_the_bucket(aws, cloudformation):
    cloudformation.create_stack(StackName="update", TemplateBody=template(B=BUCKET))
    properties = BUCKET["Properties"] | {"VersioningConfiguration": {"Status": "Suspended"}}
    changed = BUCKET | {"Properties": properties}
    cloudformation.update_stack(StackName="update", TemplateBody=template(B=changed))
    s3 = aws.session("client-3").client("s3")
    assert s3.get_bucket_versioning(Bucket="bucket-of-a-stack")["Status"] == "Suspended"


@pytest.mark.parametrize("kind", ["AWS::EKS::Nothing", "AWS::Invented::Thing", "Custom::Thing"])
def test_an_unknown_type_is_refused_by_name(cloudformation, kind):
    unknown = template(B=BUCKET, X={"Type": kind})
    with pytest.raises(ClientError, match=rf"ValidationError.*Unrecognized resource types: \[{kind}\]"):
        cloudformation.create_stack(StackName="unknown", TemplateBody=unknown)
    assert cloudformation.describe_stacks()["Stacks"] == []


def test_an_update_to_an_unknown_type_is_refused(cloudformation):
    cloudformation.create_stack(StackName="later", TemplateBody=template(B=BUCKET))
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        cloudformation.update_stack(StackName="later", TemplateBody=template(X={"Type": "AWS::Invented::Thing"}))


@pytest.mark.parametrize(
    ("role", "given", "wanted"),
    [
        (ROLE, [], "CAPABILITY_NAMED_IAM"),
        (ROLE, ["CAPABILITY_IAM"], "CAPABILITY_NAMED_IAM"),
        (
            ROLE | {"Properties": {name: value for name, value in ROLE["Properties"].items() if name != "RoleName"}},
            [],
            "CAPABILITY_IAM",
        ),
    ],
)
def test_missing_capabilities_are_refused(cloudformation, role, given, wanted):
    with pytest.raises(ClientError, match=rf"Requires capabilities : \[{wanted}\]") as refused:
        cloudformation.create_stack(StackName="iam", TemplateBody=template(R=role), Capabilities=given)
    assert refused.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"


def test_a_bucket_with_objects_stays_and_so_does_its_stack(aws, cloudformation):
    s3 = aws.session("client-3").client("s3")
    cloudformation.create_stack(StackName="full", TemplateBody=template(B=BUCKET))
    version = s3.put_object(Bucket="bucket-of-a-stack", Key="k", Body=b"1")["VersionId"]
    cloudformation.delete_stack(StackName="full")
    assert cloudformation.describe_stacks(StackName="full")["Stacks"][0]["StackStatus"] == "DELETE_FAILED"
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in cloudformation.describe_stack_events(StackName="full")["StackEvents"]
    ]
    assert any("The bucket you tried to delete is not empty" in reason for reason in reasons)
    # A version is an object too: deleting without a version only hides it.
    marker = s3.delete_object(Bucket="bucket-of-a-stack", Key="k")["VersionId"]
    cloudformation.delete_stack(StackName="full")
    assert cloudformation.describe_stacks(StackName="full")["Stacks"][0]["StackStatus"] == "DELETE_FAILED"
    for each in (version, marker):
        s3.delete_object(Bucket="bucket-of-a-stack", Key="k", VersionId=each)
    cloudformation.delete_stack(StackName="full")
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName="full")


def test_a_stack_whose_resource_fails_is_rolled_back(aws, cloudformation):
    s3 = aws.session("client-3").client("s3")
    s3.create_bucket(Bucket="taken-already")
    taken = {"Type": "AWS::S3::Bucket", "DependsOn": "B", "Properties": {"BucketName": "taken-already"}}
    cloudformation.create_stack(StackName="failing", TemplateBody=template(B=BUCKET, T=taken))
    (stack,) = cloudformation.describe_stacks(StackName="failing")["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "bucket-of-a-stack" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.delete_bucket(Bucket="taken-already")


def test_a_deleted_stack_frees_its_export(cloudformation):
    body = json.dumps(
        {"Resources": {"B": BUCKET}, "Outputs": {"Name": {"Value": {"Ref": "B"}, "Export": {"Name": "the-bucket"}}}}
    )
    for _ in range(2):
        cloudformation.create_stack(StackName="export", TemplateBody=body)
        (output,) = cloudformation.describe_stacks(StackName="export")["Stacks"][0]["Outputs"]
        assert output["OutputValue"] == "bucket-of-a-stack"
        cloudformation.delete_stack(StackName="export")
