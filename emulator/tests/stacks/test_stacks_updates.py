"""Updates and change sets: added, changed, replaced, removed, and brought back when something fails."""

import json

import pytest
from botocore.exceptions import ClientError
from stack_desk import BUCKET, GROUP, ROLE, VPC, StackDesk, changed, template

SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "V"}, "CidrBlock": "10.9.1.0/24"}}
UNKNOWN = {"Type": "AWS::S3::Bucket", "Properties": {"Foo": 1}}


@pytest.fixture
def desk(aws):
    desk = StackDesk(aws.session("client-3"))
    yield desk
    desk.clear()


def groups(desk):
    return {
        one["logGroupName"]: one.get("retentionInDays")
        for one in desk.client("logs").describe_log_groups()["logGroups"]
    }


def vpcs(desk):
    told = desk.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]
    return {vpc["VpcId"]: vpc["CidrBlock"] for vpc in told}


def changes(change_set):
    told = [one["ResourceChange"] for one in change_set["Changes"]]
    return {one["LogicalResourceId"]: (one["Action"], one.get("Replacement")) for one in told}


def test_an_update_without_a_change_is_refused(desk):
    desk.create("same", template(G=GROUP))
    with pytest.raises(ClientError, match=r"ValidationError.*No updates are to be performed\."):
        desk.update("same", template(G=changed(GROUP, RetentionInDays="7")))  # 7 by another spelling


def test_an_update_adds_changes_and_removes(desk):
    desk.create("three", template(G=GROUP, B=BUCKET))
    assert (
        desk.update("three", template(G=changed(GROUP, RetentionInDays=14), R=ROLE))["StackStatus"] == "UPDATE_COMPLETE"
    )
    assert groups(desk) == {"group-of-a-stack": 14}
    assert desk.client("iam").get_role(RoleName="role-of-a-stack")
    assert desk.client("s3").list_buckets()["Buckets"] == []
    told = desk.api.list_stack_resources(StackName="three")["StackResourceSummaries"]
    assert sorted(one["LogicalResourceId"] for one in told) == ["G", "R"]


def test_a_property_that_is_taken_away_goes_back_to_the_default(desk):
    desk.create("default", template(G=GROUP, B=BUCKET))
    desk.update(
        "default",
        template(G=changed(GROUP, RetentionInDays=None), B=changed(BUCKET, PublicAccessBlockConfiguration=None)),
    )
    assert groups(desk) == {"group-of-a-stack": None}
    with pytest.raises(ClientError, match="NoSuchPublicAccessBlockConfiguration"):
        desk.client("s3").get_public_access_block(Bucket="bucket-of-a-stack")


def test_a_replaced_resource_takes_its_dependents_along(desk):
    desk.create("replaced", template(V=VPC, S=SUBNET))
    old = {name: desk.physical("replaced", name) for name in "VS"}
    now = template(V=changed(VPC, CidrBlock="10.7.0.0/16"), S=changed(SUBNET, CidrBlock="10.7.1.0/24"))
    assert desk.update("replaced", now)["StackStatus"] == "UPDATE_COMPLETE"
    new = {name: desk.physical("replaced", name) for name in "VS"}
    assert vpcs(desk) == {new["V"]: "10.7.0.0/16"}
    with pytest.raises(ClientError, match=r"InvalidSubnetID\.NotFound"):
        desk.client("ec2").describe_subnets(SubnetIds=[old["S"]])
    # The old ones went only after everything new was there.
    ends = [
        (e["LogicalResourceId"], e["ResourceStatus"])
        for e in desk.events("replaced")
        if e["LogicalResourceId"] != "replaced"
    ]
    assert (
        ends.index(("S", "UPDATE_COMPLETE"))
        < ends.index(("S", "DELETE_COMPLETE"))
        < ends.index(("V", "DELETE_COMPLETE"))
    )


def test_a_named_resource_is_not_replaced_under_its_name(desk):
    desk.create("named", template(R=ROLE))
    assert desk.update("named", template(R=changed(ROLE, Path="/p/")))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Rename role-of-a-stack and update the stack again" in desk.reasons("named")["R"]


def test_a_failed_update_brings_everything_back(desk):
    desk.create("back", template(G=GROUP, V=VPC, B=BUCKET))
    before = {name: desk.physical("back", name) for name in "GVB"}
    wanted = template(
        G=changed(GROUP, RetentionInDays=14),
        V=changed(VPC, CidrBlock="10.7.0.0/16"),
        R=ROLE,
        X={**UNKNOWN, "DependsOn": ["G", "V", "R"]},
    )
    assert desk.update("back", wanted)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert desk.reasons("back")["X"] == "Encountered unsupported property Foo"
    assert groups(desk) == {"group-of-a-stack": 7}
    assert vpcs(desk) == {before["V"]: "10.9.0.0/16"}
    assert {name: desk.physical("back", name) for name in "GVB"} == before
    with pytest.raises(ClientError, match="NoSuchEntity"):
        desk.client("iam").get_role(RoleName="role-of-a-stack")
    # The stack is what it was, and can go on from there.
    with pytest.raises(ClientError, match="No updates are to be performed"):
        desk.update("back", template(G=GROUP, V=VPC, B=BUCKET))
    assert desk.update("back", template(G=changed(GROUP, RetentionInDays=30)))["StackStatus"] == "UPDATE_COMPLETE"


def test_a_failing_change_of_a_resource_is_undone_itself(desk):
    desk.create("undone", template(R=ROLE))
    wrong = changed(ROLE, Description="new", ManagedPolicyArns=["arn:aws:iam::222233334444:policy/nobody-made-this"])
    assert desk.update("undone", template(R=wrong))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert desk.client("iam").get_role(RoleName="role-of-a-stack")["Role"].get("Description", "") == ""


def test_the_type_of_a_resource_cannot_change(desk):
    desk.create("typed", template(X=GROUP))
    with pytest.raises(ClientError, match=r"Update of resource type is not permitted.*\[X\]"):
        desk.update("typed", template(X=BUCKET))


def test_an_update_keeps_what_it_is_told_to_keep(desk):
    parameters = {"Days": {"Type": "Number", "Default": 7}, "Name": {"Type": "String"}}
    group = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": {"Ref": "Name"}, "RetentionInDays": {"Ref": "Days"}},
    }
    text = json.dumps({"Parameters": parameters, "Resources": {"G": group}})
    desk.create("kept", text, Parameters=[{"ParameterKey": "Name", "ParameterValue": "kept-group"}])
    given = [{"ParameterKey": "Name", "UsePreviousValue": True}, {"ParameterKey": "Days", "ParameterValue": "30"}]
    desk.api.update_stack(StackName="kept", UsePreviousTemplate=True, Parameters=given)
    assert desk.ended("kept")["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(desk) == {"kept-group": 30}


def test_outputs_alone_can_be_updated(desk):
    desk.create("outputs", template(G=GROUP))
    text = json.dumps({"Resources": {"G": GROUP}, "Outputs": {"Group": {"Value": {"Ref": "G"}}}})
    assert desk.update("outputs", text)["StackStatus"] == "UPDATE_COMPLETE"
    assert desk.outputs("outputs") == {"Group": "group-of-a-stack"}


def test_a_change_set_tells_what_is_added_changed_replaced_and_removed(desk):
    desk.create("changing", template(G=GROUP, V=VPC, S=SUBNET, B=BUCKET))
    new_vpc = changed(VPC, CidrBlock="10.7.0.0/16")
    now = template(G=changed(GROUP, RetentionInDays=14), V=new_vpc, S=changed(SUBNET, CidrBlock="10.7.1.0/24"), R=ROLE)
    change_set = desk.change_set("changing", now)
    assert change_set["Status"] == "CREATE_COMPLETE"
    assert changes(change_set) == {
        "B": ("Remove", None),
        "G": ("Modify", "False"),
        "R": ("Add", None),
        "S": ("Modify", "True"),
        "V": ("Modify", "True"),
    }
    assert groups(desk) == {"group-of-a-stack": 7}  # nothing has happened yet
    assert desk.execute(change_set)["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(desk) == {"group-of-a-stack": 14}
    assert list(vpcs(desk).values()) == ["10.7.0.0/16"]
    told = desk.api.describe_change_set(ChangeSetName=change_set["ChangeSetId"])
    assert told["ExecutionStatus"] == "EXECUTE_COMPLETE"
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        desk.execute(change_set)


def test_a_change_set_says_which_property_and_why(desk):
    parameters = {"Days": {"Type": "Number"}}
    group = changed(GROUP, RetentionInDays={"Ref": "Days"})
    text = json.dumps({"Parameters": parameters, "Resources": {"G": group, "V": VPC, "S": SUBNET}})
    desk.create("why", text, Parameters=[{"ParameterKey": "Days", "ParameterValue": "7"}])
    now = json.dumps(
        {"Parameters": parameters, "Resources": {"G": group, "V": changed(VPC, CidrBlock="10.9.0.0/17"), "S": SUBNET}}
    )
    change_set = desk.change_set("why", now, Parameters=[{"ParameterKey": "Days", "ParameterValue": "14"}])
    told = {one["ResourceChange"]["LogicalResourceId"]: one["ResourceChange"] for one in change_set["Changes"]}
    assert told["G"]["Details"] == [
        {
            "Target": {"Attribute": "Properties", "Name": "RetentionInDays", "RequiresRecreation": "Never"},
            "Evaluation": "Static",
            "ChangeSource": "ParameterReference",
            "CausingEntity": "Days",
        }
    ]
    assert told["V"]["Details"] == [
        {
            "Target": {"Attribute": "Properties", "Name": "CidrBlock", "RequiresRecreation": "Always"},
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
    ]
    assert told["V"]["PhysicalResourceId"] == desk.physical("why", "V")
    assert told["S"]["Replacement"] == "Conditional"
    assert told["S"]["Details"] == [
        {
            "Target": {"Attribute": "Properties", "Name": "VpcId", "RequiresRecreation": "Always"},
            "Evaluation": "Dynamic",
            "ChangeSource": "ResourceReference",
            "CausingEntity": "V",
        }
    ]


def test_a_change_set_without_changes_fails(desk):
    desk.create("nothing", template(G=GROUP))
    change_set = desk.change_set("nothing", template(G=GROUP))
    assert change_set["Status"] == "FAILED"
    assert change_set["StatusReason"].startswith("The submitted information didn't contain changes.")
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        desk.execute(change_set)
    desk.api.delete_change_set(ChangeSetName="change", StackName="nothing")
    assert desk.api.list_change_sets(StackName="nothing")["Summaries"] == []
    with pytest.raises(ClientError, match="ChangeSetNotFound"):
        desk.api.describe_change_set(ChangeSetName="change", StackName="nothing")


def test_an_update_makes_older_change_sets_obsolete(desk):
    desk.create("older", template(G=GROUP))
    change_set = desk.change_set("older", template(G=changed(GROUP, RetentionInDays=14)))
    desk.update("older", template(G=changed(GROUP, RetentionInDays=30)))
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        desk.execute(change_set)


def test_a_stack_can_begin_as_a_change_set(desk):
    change_set = desk.change_set("begun", template(G=GROUP), kind="CREATE")
    assert desk.api.describe_stacks(StackName="begun")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert changes(change_set) == {"G": ("Add", None)}
    assert groups(desk) == {}
    assert desk.execute(change_set)["StackStatus"] == "CREATE_COMPLETE"
    assert groups(desk) == {"group-of-a-stack": 7}


def test_a_policy_update_makes_a_new_default_version_and_the_oldest_of_five_goes(desk):
    def policy(action):
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
        properties = {"ManagedPolicyName": "policy-of-a-stack", "PolicyDocument": document, "Roles": [{"Ref": "R"}]}
        return template(R=ROLE, P={"Type": "AWS::IAM::ManagedPolicy", "Properties": properties})

    iam = desk.client("iam")
    desk.create("versions", policy("s3:A0"))
    for number in range(1, 6):
        desk.update("versions", policy(f"s3:A{number}"))
    arn = desk.physical("versions", "P")
    assert arn == "arn:aws:iam::222233334444:policy/policy-of-a-stack"
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert sorted(one["VersionId"] for one in versions) == ["v2", "v3", "v4", "v5", "v6"]
    assert [one["VersionId"] for one in versions if one["IsDefaultVersion"]] == ["v6"]
    # Somebody else's attachment holds it; without that, stack and versions go.
    iam.create_role(
        RoleName="somebody-else", AssumeRolePolicyDocument=json.dumps(ROLE["Properties"]["AssumeRolePolicyDocument"])
    )
    iam.attach_role_policy(RoleName="somebody-else", PolicyArn=arn)
    assert desk.delete("versions")["StackStatus"] == "DELETE_FAILED"
    assert "DeleteConflict" in desk.reasons("versions")["P"]
    iam.detach_role_policy(RoleName="somebody-else", PolicyArn=arn)
    iam.delete_role(RoleName="somebody-else")
    assert desk.delete("versions")["StackStatus"] == "DELETE_COMPLETE"
    assert iam.list_policies(Scope="Local")["Policies"] == []
