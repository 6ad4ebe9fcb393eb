"""CloudFormation: stacks come, fail, roll back and go, and what is not known is refused."""

import json

import pytest
from botocore.exceptions import ClientError, WaiterError
from stack_desk import BUCKET, GROUP, NAMED, ROLE, VPC, StackDesk, changed, template


@pytest.fixture
def desk(aws):
    desk = StackDesk(aws.session("client-3"))
    yield desk
    desk.clear()


def buckets(desk):
    return [bucket["Name"] for bucket in desk.client("s3").list_buckets()["Buckets"]]


def test_a_stack_makes_and_unmakes_bucket_and_role(desk):
    s3, iam, cloudformation = desk.client("s3"), desk.client("iam"), desk.api
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
    assert "bucket-of-a-stack" not in buckets(desk)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName="role-of-a-stack")


def test_create_answers_before_the_resources_are_there(desk):
    told = desk.api.create_stack(StackName="soon", TemplateBody=template(B=BUCKET))
    assert desk.ended(told["StackId"])["StackStatus"] == "CREATE_COMPLETE"
    statuses = [(event["LogicalResourceId"], event["ResourceStatus"]) for event in desk.events("soon")]
    assert statuses == [
        ("soon", "CREATE_IN_PROGRESS"),
        ("B", "CREATE_IN_PROGRESS"),
        ("B", "CREATE_IN_PROGRESS"),  # the second names the physical id
        ("B", "CREATE_COMPLETE"),
        ("soon", "CREATE_COMPLETE"),
    ]


def test_boto3s_waiters_see_create_update_and_delete(desk):
    soon = {"Delay": 0.1}
    body = template(G=changed(GROUP, RetentionInDays=7)), template(G=changed(GROUP, RetentionInDays=14))
    desk.api.create_stack(StackName="waited", TemplateBody=body[0])
    desk.api.get_waiter("stack_create_complete").wait(StackName="waited", WaiterConfig=soon)
    desk.api.update_stack(StackName="waited", TemplateBody=body[1])
    desk.api.get_waiter("stack_update_complete").wait(StackName="waited", WaiterConfig=soon)
    (group,) = desk.client("logs").describe_log_groups(logGroupNamePrefix="group-of-a-stack")["logGroups"]
    assert group["retentionInDays"] == 14
    desk.api.delete_stack(StackName="waited")
    desk.api.get_waiter("stack_delete_complete").wait(StackName="waited", WaiterConfig=soon)
    with pytest.raises(WaiterError):  # the waiter does not take a failure for an end
        desk.api.create_stack(StackName="waited", TemplateBody=template(G=changed(GROUP, Foo=1)))
        desk.api.get_waiter("stack_create_complete").wait(StackName="waited", WaiterConfig=soon)


def test_an_update_reaches_the_bucket(desk):
    desk.create("update", template(B=BUCKET))
    desk.update("update", template(B=changed(BUCKET, VersioningConfiguration={"Status": "Suspended"})))
    assert desk.client("s3").get_bucket_versioning(Bucket="bucket-of-a-stack")["Status"] == "Suspended"


@pytest.mark.parametrize("kind", ["AWS::EKS::Nothing", "AWS::Invented::Thing", "Custom::Thing"])
def test_an_unknown_type_is_refused_by_name(desk, kind):
    with pytest.raises(ClientError, match=rf"ValidationError.*Unrecognized resource types: \[{kind}\]"):
        desk.create("unknown", template(B=BUCKET, X={"Type": kind}))
    assert desk.api.describe_stacks()["Stacks"] == []


def test_an_update_to_an_unknown_type_is_refused(desk):
    desk.create("later", template(B=BUCKET))
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        desk.update("later", template(X={"Type": "AWS::Invented::Thing"}))


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        (changed(BUCKET, Foo=1), "Foo"),
        (changed(BUCKET, PublicAccessBlockConfiguration={"BlockAll": True}), "BlockAll"),
        (changed(BUCKET, VersioningConfiguration={"Status": "Enabled", "Colour": "red"}), "Colour"),
        (changed(GROUP, Retention=3), "Retention"),
        (changed(BUCKET, OwnershipControls={"Rules": [{"Owner": "x"}]}), "Owner"),
    ],
)
def test_an_unknown_property_fails_the_resource_by_name(desk, resource, name):
    assert desk.create("property", template(R=resource))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert desk.reasons("property")["R"] == f"Encountered unsupported property {name}"


def test_a_missing_property_fails_the_resource_by_name(desk):
    assert desk.create("property", template(V={"Type": "AWS::EC2::VPC"}))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert desk.reasons("property")["V"] == "Property CidrBlock cannot be empty."


@pytest.mark.parametrize(
    ("role", "given", "wanted"),
    [
        (ROLE, [], "CAPABILITY_NAMED_IAM"),
        (ROLE, ["CAPABILITY_IAM"], "CAPABILITY_NAMED_IAM"),
        (changed(ROLE, RoleName=None), [], "CAPABILITY_IAM"),
    ],
)
def test_missing_capabilities_are_refused(desk, role, given, wanted):
    with pytest.raises(ClientError, match=rf"Requires capabilities : \[{wanted}\]") as refused:
        desk.create("iam", template(R=role), Capabilities=given)
    assert refused.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"


def test_a_bucket_with_objects_stays_and_so_does_its_stack(desk):
    s3 = desk.client("s3")
    desk.create("full", template(B=BUCKET))
    version = s3.put_object(Bucket="bucket-of-a-stack", Key="k", Body=b"1")["VersionId"]
    assert desk.delete("full")["StackStatus"] == "DELETE_FAILED"
    assert "The bucket you tried to delete is not empty" in desk.reasons("full")["B"]
    # A version is an object too: deleting without a version only hides it.
    marker = s3.delete_object(Bucket="bucket-of-a-stack", Key="k")["VersionId"]
    assert desk.delete("full")["StackStatus"] == "DELETE_FAILED"
    for each in (version, marker):
        s3.delete_object(Bucket="bucket-of-a-stack", Key="k", VersionId=each)
    assert desk.delete("full")["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Stack with id full does not exist"):
        desk.api.describe_stacks(StackName="full")


def test_a_stack_whose_resource_fails_is_rolled_back(desk):
    s3 = desk.client("s3")
    s3.create_bucket(Bucket="taken-already")
    taken = {"Type": "AWS::S3::Bucket", "DependsOn": "B", "Properties": {"BucketName": "taken-already"}}
    assert desk.create("failing", template(B=BUCKET, T=taken))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert desk.reasons("failing") == {"T": "taken-already already exists"}
    assert buckets(desk) == ["taken-already"]
    s3.delete_bucket(Bucket="taken-already")


def test_a_resource_that_fails_half_way_is_taken_away_again(desk):
    wrong = changed(ROLE, ManagedPolicyArns=["arn:aws:iam::222233334444:policy/nobody-made-this"])
    assert desk.create("half", template(R=wrong))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "nobody-made-this does not exist" in desk.reasons("half")["R"]
    assert [event["ResourceStatus"] for event in desk.events("half") if event["LogicalResourceId"] == "R"] == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        desk.client("iam").get_role(RoleName="role-of-a-stack")


def test_a_rolled_back_stack_cannot_be_updated_and_can_be_deleted(desk):
    desk.create("failed", template(R=changed(BUCKET, Foo=1)))
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        desk.update("failed", template(R=BUCKET))
    assert desk.delete("failed")["StackStatus"] == "DELETE_COMPLETE"
    assert desk.create("failed", template(R=BUCKET))["StackStatus"] == "CREATE_COMPLETE"


def test_a_failed_stack_is_kept_when_asked_for(desk):
    kept = desk.create("kept", template(B=BUCKET, R=changed(GROUP, Foo=1)), OnFailure="DO_NOTHING")
    assert kept["StackStatus"] == "CREATE_FAILED"


def test_a_retained_resource_outlives_its_stack(desk):
    desk.create("retaining", template(B={**BUCKET, "DeletionPolicy": "Retain"}, G=GROUP))
    deleted = desk.delete("retaining")
    resources = desk.api.describe_stack_resources(StackName=deleted["StackId"])["StackResources"]
    assert {one["LogicalResourceId"]: one["ResourceStatus"] for one in resources} == {
        "B": "DELETE_SKIPPED",
        "G": "DELETE_COMPLETE",
    }
    desk.client("s3").delete_bucket(Bucket="bucket-of-a-stack")


def test_retain_except_on_create_is_deleted_by_a_rollback(desk):
    kept = {**BUCKET, "DeletionPolicy": "RetainExceptOnCreate"}
    desk.create("except", template(B=kept, R={**changed(GROUP, Foo=1), "DependsOn": "B"}))
    assert buckets(desk) == []


def test_what_somebody_deleted_by_hand_is_no_obstacle(desk):
    desk.create("by-hand", template(B=BUCKET, R=ROLE, G=GROUP, V=VPC))
    desk.client("s3").delete_bucket(Bucket="bucket-of-a-stack")
    desk.client("iam").delete_role(RoleName="role-of-a-stack")
    desk.client("logs").delete_log_group(logGroupName="group-of-a-stack")
    desk.client("ec2").delete_vpc(VpcId=desk.physical("by-hand", "V"))
    assert desk.delete("by-hand")["StackStatus"] == "DELETE_COMPLETE"


def test_a_deleted_stack_is_found_by_its_id_only(desk):
    stack = desk.create("once", template(G=GROUP))
    desk.delete("once")
    assert desk.api.describe_stacks(StackName=stack["StackId"])["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Stack with id once does not exist"):
        desk.api.describe_stacks(StackName="once")
    desk.api.delete_stack(StackName="once")  # to delete what is not there is no error
    listed = desk.api.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    assert stack["StackId"] in [one["StackId"] for one in listed]


def test_a_name_is_taken_while_its_stack_is_there(desk):
    desk.create("taken", template(G=GROUP))
    with pytest.raises(ClientError, match=r"AlreadyExistsException.*Stack \[taken\] already exists"):
        desk.create("taken", template(B=BUCKET))


def test_a_stack_that_is_deleted_while_it_is_made_leaves_nothing(desk):
    groups = {f"G{number}": changed(GROUP, LogGroupName=f"group-{number}") for number in range(30)}
    told = desk.api.create_stack(StackName="hurried", TemplateBody=template(**groups))
    desk.api.delete_stack(StackName="hurried")
    assert desk.ended(told["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert desk.client("logs").describe_log_groups(logGroupNamePrefix="group-")["logGroups"] == []


def test_a_stack_is_not_deleted_while_it_is_updated(desk):
    desk.create("busy", template(G=GROUP))
    groups = {f"G{number}": changed(GROUP, LogGroupName=f"group-{number}") for number in range(30)}
    desk.api.update_stack(StackName="busy", TemplateBody=template(**groups))
    with pytest.raises(ClientError, match="cannot be deleted while in status UPDATE_IN_PROGRESS"):
        desk.api.delete_stack(StackName="busy")
    assert desk.ended("busy")["StackStatus"] == "UPDATE_COMPLETE"


def test_a_protected_stack_is_not_deleted(desk):
    desk.create("protected", template(G=GROUP), EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        desk.api.delete_stack(StackName="protected")
    desk.api.update_termination_protection(StackName="protected", EnableTerminationProtection=False)
    assert desk.delete("protected")["StackStatus"] == "DELETE_COMPLETE"


def test_a_deleted_stack_frees_its_export(desk):
    body = json.dumps(
        {"Resources": {"B": BUCKET}, "Outputs": {"Name": {"Value": {"Ref": "B"}, "Export": {"Name": "the-bucket"}}}}
    )
    for _ in range(2):
        desk.create("export", body)
        assert desk.outputs("export") == {"Name": "bucket-of-a-stack"}
        assert [one["Name"] for one in desk.api.list_exports()["Exports"]] == ["the-bucket"]
        desk.delete("export")
    assert desk.api.list_exports()["Exports"] == []


def test_generated_names_say_where_they_come_from(desk):
    desk.create("a-long-stack-name", template(TheBucket={"Type": "AWS::S3::Bucket"}, R=changed(ROLE, RoleName=None)))
    bucket, role = (desk.physical("a-long-stack-name", name) for name in ("TheBucket", "R"))
    assert bucket.startswith("a-long-stack-name-thebucket-")
    assert role.startswith("a-long-stack-name-R-")
    name = "n" * 128
    desk.create(name, template(**{"B" * 60: {"Type": "AWS::S3::Bucket"}, "R" * 60: changed(ROLE, RoleName=None)}))
    assert len(desk.physical(name, "B" * 60)) == 63
    assert len(desk.physical(name, "R" * 60)) == 64


def test_the_stacks_tags_reach_its_resources(desk):
    own = [{"Key": "mine", "Value": "1"}]
    tags = [{"Key": "workshop", "Value": "fl"}, {"Key": "mine", "Value": "0"}]
    desk.create("tags", template(R=changed(ROLE, Tags=own), V=VPC, B=BUCKET), Tags=tags)
    assert {
        tag["Key"]: tag["Value"] for tag in desk.client("iam").list_role_tags(RoleName="role-of-a-stack")["Tags"]
    } == {
        "workshop": "fl",
        "mine": "1",
    }
    (vpc,) = desk.client("ec2").describe_vpcs(VpcIds=[desk.physical("tags", "V")])["Vpcs"]
    told = {tag["Key"]: tag["Value"] for tag in vpc["Tags"]}
    assert (told["workshop"], told["aws:cloudformation:stack-name"], told["aws:cloudformation:logical-id"]) == (
        "fl",
        "tags",
        "V",
    )
    desk.update("tags", template(R=changed(ROLE, Tags=own), V=VPC, B=BUCKET), Tags=[{"Key": "workshop", "Value": "x"}])
    s3_tags = desk.client("s3").get_bucket_tagging(Bucket="bucket-of-a-stack")["TagSet"]
    assert s3_tags == [{"Key": "workshop", "Value": "x"}]


@pytest.mark.parametrize(
    "request_", [{"RoleARN": "arn:aws:iam::222233334444:role/deployer"}, {"NotificationARNs": ["arn:aws:sns:::t"]}]
)
def test_what_is_not_done_is_refused_by_name(desk, request_):
    with pytest.raises(ClientError, match=f"NotImplemented.*{next(iter(request_))}"):
        desk.create("not-done", template(G=GROUP), **request_)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [("detect_stack_drift", {"StackName": "x"}), ("list_stack_sets", {}), ("list_types", {})],
)
def test_an_operation_that_is_not_done_says_so_at_once(desk, operation, request_):
    with pytest.raises(ClientError, match="NotImplemented"):
        getattr(desk.api, operation)(**request_)


def test_a_value_of_the_wrong_kind_is_refused_by_name(desk):
    desk.create("kinds", template(R=changed(ROLE, Description=["a", "list"])))
    assert desk.reasons("kinds")["R"] == "Value of property Description must be of type String"


def test_resources_are_made_with_the_callers_rights_only(desk):
    iam = desk.client("iam")
    iam.create_user(UserName="small")
    allowed = {"Effect": "Allow", "Action": ["cloudformation:*", "logs:*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="small", PolicyName="logs-only", PolicyDocument=policy)
    key = iam.create_access_key(UserName="small")["AccessKey"]
    small = desk.session.client(
        "cloudformation", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    told = small.create_stack(StackName="small", TemplateBody=template(G=GROUP, B={**BUCKET, "DependsOn": "G"}))
    assert desk.ended(told["StackId"])["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "AccessDenied" in desk.reasons("small")["B"]
    iam.delete_access_key(UserName="small", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="small", PolicyName="logs-only")
    iam.delete_user(UserName="small")


def test_a_role_deploys_with_its_session(aws, desk):
    iam = desk.client("iam")
    statement = {"Effect": "Allow", "Principal": {"AWS": aws.accounts["client-3"]}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName="deployer", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": ["cloudformation:*", "logs:*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="deployer", PolicyName="logs-only", PolicyDocument=policy)
    taken = desk.client("sts").assume_role(RoleArn=arn, RoleSessionName="deploying")["Credentials"]
    deployer = desk.session.client(
        "cloudformation",
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )
    told = deployer.create_stack(StackName="by-role", TemplateBody=template(G=GROUP))
    assert desk.ended(told["StackId"])["StackStatus"] == "CREATE_COMPLETE"
    zones = json.dumps(
        {"Resources": {"G": GROUP}, "Outputs": {"Z": {"Value": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}}}}
    )
    deployer.update_stack(StackName="by-role", TemplateBody=zones)
    assert desk.ended("by-role")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    told = [event.get("ResourceStatusReason", "") for event in desk.events("by-role")]
    assert any("DescribeAvailabilityZones" in reason for reason in told)
    iam.delete_role_policy(RoleName="deployer", PolicyName="logs-only")
    iam.delete_role(RoleName="deployer")
