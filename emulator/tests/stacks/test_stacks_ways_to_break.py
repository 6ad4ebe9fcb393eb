"""Ways to break stacks: whatever a template or a request says, it is refused or rolled back, and nothing is left."""

import json

import pytest
from botocore.exceptions import ClientError
from stack_desk import BUCKET, GROUP, ROLE, VPC, StackDesk, changed, template

SUBNET = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "V"}, "CidrBlock": "10.9.1.0/24"}}
TABLE = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "V"}}}
SECURITY = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "d", "VpcId": {"Ref": "V"}}}
USES = {
    "Type": "AWS::EC2::SubnetRouteTableAssociation",
    "Properties": {"SubnetId": {"Ref": "S"}, "RouteTableId": {"Ref": "T"}},
}
GATEWAY = {
    "Type": "AWS::EC2::VPCEndpoint",
    "Properties": {
        "VpcId": {"Ref": "V"},
        "ServiceName": "com.amazonaws.us-east-1.s3",
        "RouteTableIds": [{"Ref": "T"}],
    },
}
INTERFACE = {
    "Type": "AWS::EC2::VPCEndpoint",
    "Properties": {
        "VpcId": {"Ref": "V"},
        "VpcEndpointType": "Interface",
        "ServiceName": "com.amazonaws.us-east-1.logs",
        "SubnetIds": [{"Ref": "S"}],
    },
}
READ = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
WRONG_DAYS = changed(GROUP, LogGroupName="another-group", RetentionInDays=2)  # refused only when it is made


@pytest.fixture
def desk(aws):
    desk = StackDesk(aws.session("client-3"))
    yield desk
    desk.clear()


def left(desk):
    """Return what there is of the things that these tests make."""
    return (
        [one["Name"] for one in desk.client("s3").list_buckets()["Buckets"]],
        [one["RoleName"] for one in desk.client("iam").list_roles()["Roles"] if "stack" in one["RoleName"]],
        [one["InstanceProfileName"] for one in desk.client("iam").list_instance_profiles()["InstanceProfiles"]],
        [one["logGroupName"] for one in desk.client("logs").describe_log_groups()["logGroups"]],
        [one["VpcId"] for one in desk.client("ec2").describe_vpcs()["Vpcs"] if not one["IsDefault"]],
    )


NOTHING = ([], [], [], [], [])


@pytest.fixture
def untellable(desk):
    """Return a template whose output turns out to be nothing only when everything is there."""
    return json.dumps(
        {
            "Parameters": {"P": {"Type": "CommaDelimitedList", "Default": "a"}},
            "Resources": {"G": changed(GROUP, RetentionInDays=14), "B": BUCKET},
            "Outputs": {"O": {"Value": {"Fn::Select": ["7", {"Ref": "P"}]}}},
        }
    )


def test_outputs_that_cannot_be_told_take_everything_back(desk, untellable):
    assert desk.create("outputs", untellable)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert left(desk) == NOTHING
    desk.delete("outputs")
    desk.create("outputs", template(G=GROUP))
    assert desk.update("outputs", untellable)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert desk.update("outputs", template(G=changed(GROUP, RetentionInDays=30)))["StackStatus"] == "UPDATE_COMPLETE"
    assert left(desk)[3] == ["group-of-a-stack"]


def test_an_error_inside_the_engine_is_a_failure_with_rollback(monkeypatch):
    from embedded_aws.stacks import types
    from embedded_aws.stacks.engine import Deployment
    from embedded_aws.stacks.scope import Scope
    from embedded_aws.stacks.state import Book, Stack, Wanted
    from embedded_aws.stacks.template import Template

    text = template(G=GROUP, H=changed(GROUP, LogGroupName="h"))
    stack = Stack("s", "222233334444", "us-east-1", wanted=Wanted(Template.read(text, known_types=types.known()), {}))
    group = types.known()["AWS::Logs::LogGroup"]
    made, gone = [], []
    monkeypatch.setattr(type(group), "create", lambda self, scene, p: made.append(scene.made(p["LogGroupName"])))
    monkeypatch.setattr(type(group), "delete", lambda self, scene, p: gone.append(scene.resource.physical_id))
    properties = Scope.properties

    def broken(self, name, *, tagged):
        if made:
            raise ZeroDivisionError("a mistake of ours")
        return properties(self, name, tagged=tagged)

    monkeypatch.setattr(Scope, "properties", broken)
    Deployment(stack, None, Book()).create()
    assert stack.status == "ROLLBACK_COMPLETE"
    assert gone == made
    assert len(made) == 1
    assert any("a mistake of ours" in event.get("ResourceStatusReason", "") for event in stack.events)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_rollback_gives_the_subnet_its_route_table_back(desk, rounds):
    network = {"V": VPC, "S": SUBNET, "T": TABLE, "U": TABLE}
    body = template(**network, A=USES)
    desk.create("tables", body)
    other = changed(USES, RouteTableId={"Ref": "U"})
    for _ in range(rounds):
        now = template(**network, A=other, Z={**WRONG_DAYS, "DependsOn": "A"})
        assert desk.update("tables", now)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        tables = desk.client("ec2").describe_route_tables(
            Filters=[{"Name": "association.subnet-id", "Values": [desk.physical("tables", "S")]}]
        )["RouteTables"]
        assert [
            (one["RouteTableId"], one["RouteTableAssociationId"])
            for table in tables
            for one in table["Associations"]
            if one.get("SubnetId")
        ] == [(desk.physical("tables", "T"), desk.physical("tables", "A"))]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        desk.update("tables", body)
    assert desk.update("tables", template(**network, A=other))["StackStatus"] == "UPDATE_COMPLETE"


@pytest.mark.parametrize(
    ("endpoint", "change", "told"),
    [
        (GATEWAY, {"RouteTableIds": [{"Ref": "T"}, "rtb-00000000"]}, "InvalidRouteTableID.NotFound"),
        (INTERFACE, {"SubnetIds": [{"Ref": "S"}, "subnet-00000000"]}, "InvalidSubnetID.NotFound"),
        (INTERFACE, {"SecurityGroupIds": ["sg-00000000"]}, "InvalidGroup.NotFound"),
        (INTERFACE, {"SecurityGroupIds": "sg-00000000"}, "must be of type List"),
    ],
)
def test_an_endpoint_stays_as_it_was_when_its_change_is_refused(desk, endpoint, change, told):
    network = {"V": VPC, "S": SUBNET, "T": TABLE}
    desk.create("endpoint", template(**network, E=endpoint))
    ec2, mine = desk.client("ec2"), {"VpcEndpointIds": [desk.physical("endpoint", "E")]}
    (before,) = ec2.describe_vpc_endpoints(**mine)["VpcEndpoints"]
    ended = desk.update("endpoint", template(**network, E=changed(endpoint, **change)))
    assert ended["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert told in desk.reasons("endpoint")["E"]
    assert ec2.describe_vpc_endpoints(**mine)["VpcEndpoints"] == [before]
    assert desk.delete("endpoint")["StackStatus"] == "DELETE_COMPLETE"


def test_an_unknown_security_group_is_refused_wherever_it_is_named(desk):
    ec2 = desk.client("ec2")
    desk.create("groups", template(V=VPC, S=SUBNET, E=INTERFACE))
    vpc, subnet, endpoint = (desk.physical("groups", name) for name in "VSE")
    (told,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    (interface,) = told["NetworkInterfaceIds"]
    unknown = ["sg-00000000"]
    for call in (
        lambda: ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddSecurityGroupIds=unknown),
        lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=unknown),
        lambda: ec2.create_network_interface(SubnetId=subnet, Groups=unknown),
        lambda: ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.us-east-1.sts",
            VpcEndpointType="Interface",
            SecurityGroupIds=unknown,
        ),
    ):
        with pytest.raises(ClientError, match=r"InvalidGroup\.NotFound"):
            call()
    assert ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"] == [told]
    assert desk.delete("groups")["StackStatus"] == "DELETE_COMPLETE"
    assert left(desk) == NOTHING


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (changed(ROLE, Policies="x"), "Value of property Policies must be of type List"),
        (changed(ROLE, Policies=[{"PolicyName": "a"}]), "needs PolicyName and PolicyDocument"),
        (changed(ROLE, Policies=[{"PolicyName": "a", "PolicyDocument": READ}] * 2), "two policies of the name a"),
        (changed(ROLE, ManagedPolicyArns="arn"), "Value of property ManagedPolicyArns must be of type List"),
        (
            {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Other"}, {"Ref": "Own"}]}},
            "InstanceSessionsPerInstanceProfile: 1",
        ),
        (
            {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "p", "PolicyDocument": READ, "Roles": "abc"}},
            "Value of property Roles must be of type List",
        ),
    ],
)
def test_a_misshapen_property_is_refused_before_anything_is_made(desk, wrong, told):
    roles = {"Other": changed(ROLE, RoleName="other-role-of-a-stack"), "Own": changed(ROLE, RoleName="stack-own")}
    kept = {**roles, "R": changed(ROLE, Policies=[{"PolicyName": "a", "PolicyDocument": READ}])}
    assert desk.create("shape", template(**roles, R=wrong))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert told in desk.reasons("shape")["R"]
    assert left(desk) == NOTHING
    if wrong["Type"] == "AWS::IAM::Role":
        desk.create("changed", template(**kept))
        assert desk.update("changed", template(**roles, R=wrong))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert desk.client("iam").list_role_policies(RoleName="role-of-a-stack")["PolicyNames"] == ["a"]


POLICY = {
    "Type": "AWS::S3::BucketPolicy",
    "Properties": {
        "Bucket": {"Ref": "B"},
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::other/*"}],
        },
    },
}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (changed(BUCKET, BucketName="Bad_Name"), "InvalidBucketName"),
        (
            changed(BUCKET, BucketName="b-2", VersioningConfiguration={"Status": "enabled"}),
            "'versioningConfiguration.status'",
        ),
        (changed(GROUP, LogGroupName="no name!"), "Value 'no name!' at 'logGroupName' failed"),
        (changed(ROLE, MaxSessionDuration=999999), "must have value less than or equal to 43200"),
        (POLICY, "Policy has invalid resource"),
    ],
)
def test_a_value_that_aws_does_not_take_is_refused(desk, wrong, told):
    assert desk.create("value", template(B=BUCKET, R=wrong))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert told in desk.reasons("value")["R"]
    assert left(desk) == NOTHING


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"OnFailure": "WHATEVER"}, "'onFailure' failed to satisfy constraint"),
        ({"OnFailure": "DELETE", "DisableRollback": True}, "either OnFailure or DisableRollback"),
        ({"Capabilities": ["CAPABILITY_ANYTHING"]}, "'capabilities.1.member' failed to satisfy constraint"),
        ({"TemplateBody": "", "TemplateURL": "https://bucket.s3.amazonaws.com/"}, "must be a supported URL"),
    ],
)
def test_a_request_that_aws_does_not_take_is_refused(desk, asked, told):
    asked = {"TemplateBody": template(G=GROUP), **asked}
    with pytest.raises(ClientError, match=told):
        desk.client("cloudformation").create_stack(
            StackName="asked", **{name: value for name, value in asked.items() if value}
        )
    assert left(desk) == NOTHING


def test_a_client_of_the_engine_leaves_the_models_that_the_gate_reads_alone():
    from botocore.stub import Stubber

    from embedded_aws import models

    client = models.client("s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    with Stubber(client) as stub:
        stub.add_response("get_bucket_tagging", {"TagSet": []})
        client.get_bucket_tagging(Bucket="b")
    assert models.service_model("s3").operation_model("GetBucketTagging").http["requestUri"] == "/{Bucket}?tagging"
