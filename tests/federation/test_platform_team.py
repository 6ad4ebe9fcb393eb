"""What docs/platform-team.md says: the kit under control policies and a boundary, deployed by a role with less rights.

The platform team of every account makes the role of ``platform/deployer.yaml`` and nothing else; its owners do all with
that role. The embedded AWS decides, under ``platform/control-policy.json``.
"""

import json
import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, WaiterError

from embedded_aws.accounts import accounts as account_ids
from workshop import state
from workshop.aws import accounts, blueprint, cleanup
from workshop.aws.choices import Choices, choose
from workshop.files import TEMPLATES
from workshop.lessons import rehearsal
from workshop.owners import doctor

PLATFORM = TEMPLATES / "platform"
OURS = {"NamePrefix": "app-fl-", "RolePath": "/federated/"}
RULES = {**OURS, "PermissionsBoundary": "federation-boundary", "LogDays": "90", "MaxRuntimeSeconds": "1800"}
TAGS = {"cost-centre": "4711"}
IDS = account_ids(["server", "client-1", "client-2"])
TRUST_ME = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
}
ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}


def control_policy() -> str:
    """Return the policy of the page, whose platform team is the embedded AWS's administrator here."""
    text = (PLATFORM / "control-policy.json").read_text()
    assert text.count(":role/platform-team") == 3
    return text.replace(":role/platform-team", ":user/workshop-admin")


@pytest.fixture(scope="module")
def platform(own_accounts, tmp_path_factory):
    """Let the platform team of every account make its owner's role; return the team's sessions."""
    path = tmp_path_factory.mktemp("organisation") / "control-policy.json"
    path.write_text(control_policy())
    team = own_accounts(2, EMBEDDED_AWS_CONTROL_POLICIES=str(path))
    for name, session in team.items():
        cloud, given = session.client("cloudformation"), {
            **OURS,
            "OwnerArn": session.client("sts").get_caller_identity()["Arn"],
            "Part": "server" if name == "server" else "client",
        }  # fmt: skip
        cloud.create_stack(
            StackName="federation-deployer",
            TemplateBody=(PLATFORM / "deployer.yaml").read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        cloud.get_waiter("stack_create_complete").wait(
            StackName="federation-deployer", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    return team


@pytest.fixture(scope="module")
def owners(platform):
    """Return sessions of the owners, whose profiles take the role; the workshop finds them as it finds any others."""
    config = state.home() / "embedded" / "aws-config"
    kept = config.read_text()
    team = re.sub(r"^\[profile fl-", "[profile team-", kept, flags=re.MULTILINE)
    common = [line for line in kept.splitlines() if line.startswith(("region", "endpoint", "services", "embedded_"))]
    roles = [
        "\n".join([
            f"[profile fl-{name}]", f"role_arn = arn:aws:iam::{account}:role/federation-deployer",
            f"source_profile = team-{name}", "role_session_name = owner", *dict.fromkeys(common),
        ])
        for name, account in IDS.items()
    ]  # fmt: skip
    config.write_text("\n".join([team, *roles, ""]))
    yield {name: accounts.session(name) for name in IDS}
    config.write_text(kept)


@pytest.fixture(scope="module")
def stage(owners):
    choose(parameters=RULES, tags=TAGS)
    stage = rehearsal.connect_accounts(n_clients=2, choices=Choices(parameters=RULES, tags=TAGS))
    yield stage
    rehearsal.clean_up(stage)


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value)


def test_a_federation_stands_and_trains_under_all_of_it(stage):
    result, _ = rehearsal.federate(stage, rounds=2)
    assert [entry.round for entry in result.history] == [1, 2]
    found = doctor.examine(stage.accounts)
    assert found["ok"].all(), found[~found["ok"]].to_string()


def test_every_role_has_its_name_path_and_boundary_and_all_that_costs_its_tag(stage, platform):
    for session in platform.values():
        iam, ec2 = session.client("iam"), session.client("ec2")
        roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"] != "federation-deployer"]
        assert roles
        for name in roles:
            role = iam.get_role(RoleName=name)["Role"]
            assert role["Arn"].split(":role")[1].startswith("/federated/app-fl-")
            boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
            assert boundary.endswith(":policy/federation-boundary")
            assert TAGS.items() <= {tag["Key"]: tag["Value"] for tag in role["Tags"]}.items()
        own = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["fl-network"]}])["Vpcs"]
        assert {"Key": "cost-centre", "Value": "4711"} in own[0]["Tags"]
        (group,) = session.client("logs").describe_log_groups(logGroupNamePrefix="/fl/")["logGroups"]
        assert group["retentionInDays"] == 90


BY_DEFAULT = {
    "BucketName": "fl-storage-x",
    "KeyArn": "arn:aws:kms:us-east-1:444455556666:key/x",
    "KickoffRoleArns": "arn:aws:iam::444455556666:role/FL-kickoff-client-job",
}


@pytest.mark.parametrize(
    ("template", "values", "action"),
    [("storage", {}, "kms:CreateKey"), ("server-access", BY_DEFAULT, "iam:CreateRole")],
)
def test_without_the_account_s_rules_nothing_is_made(owners, template, values, action):
    """The same policy refuses what the templates do by default."""
    cloud, name = owners["client-1"].client("cloudformation"), f"fl-by-default-{template}"
    cloud.create_stack(
        StackName=name,
        TemplateBody=(TEMPLATES / f"{template}.yaml").read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
    )
    quickly = {"Delay": 1, "MaxAttempts": 60}
    with pytest.raises(WaiterError):
        cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=quickly)
    events = cloud.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events]
    denied = [reason for reason in reasons if "with an explicit deny in a service control policy" in reason]
    assert any(f"not authorized to perform: {action}" in reason for reason in denied), reasons
    cloud.delete_stack(StackName=name)
    cloud.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=quickly)


def test_the_owner_s_role_makes_nothing_that_is_stronger_than_the_boundary(stage, owners, platform):
    iam = owners["client-1"].client("iam")
    account = IDS["client-1"]
    boundary = f"arn:aws:iam::{account}:policy/federation-boundary"
    free = {"AssumeRolePolicyDocument": json.dumps(TRUST_ME), "Path": "/federated/"}
    mine = "app-fl-client-job-execution"
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    for call, request in (
        (iam.create_role, {"RoleName": "app-fl-free", **free}),
        (iam.create_role, {"RoleName": "app-fl-free", **free, "PermissionsBoundary": admin}),
        (iam.create_role, {"RoleName": "other", **free, "PermissionsBoundary": boundary}),
        (iam.delete_role_permissions_boundary, {"RoleName": mine}),
        (iam.put_role_permissions_boundary, {"RoleName": mine, "PermissionsBoundary": admin}),
        (iam.attach_role_policy, {"RoleName": mine, "PolicyArn": admin}),
        (iam.attach_role_policy, {"RoleName": "federation-deployer", "PolicyArn": admin}),
        (
            iam.put_role_policy,
            {"RoleName": "federation-deployer", "PolicyName": "x", "PolicyDocument": json.dumps(ALL)},
        ),
        (iam.create_policy_version, {"PolicyArn": boundary, "PolicyDocument": json.dumps(ALL), "SetAsDefault": True}),
        (iam.update_assume_role_policy, {"RoleName": "federation-deployer", "PolicyDocument": json.dumps(TRUST_ME)}),
        (iam.create_user, {"UserName": "app-fl-me"}),
    ):
        assert "AccessDenied" in refused(call, **request), request
    iam.put_role_policy(RoleName=mine, PolicyName="more", PolicyDocument=json.dumps(ALL))  # within the boundary
    iam.delete_role_policy(RoleName=mine, PolicyName="more")


def test_the_owner_s_role_deletes_nothing_of_others(stage, owners, platform):
    ec2 = platform["client-1"].client("ec2")
    vpc = ec2.create_vpc(
        CidrBlock="10.99.0.0/24",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "cost-centre", "Value": "1"}]}],
    )["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="theirs", Description="x", VpcId=vpc)["GroupId"]
    mine = owners["client-1"].client("ec2")
    assert "UnauthorizedOperation" in refused(mine.delete_security_group, GroupId=group)
    assert "UnauthorizedOperation" in refused(mine.delete_vpc, VpcId=vpc)
    # Nor does it make them its own by a tag, and opens nothing in them.
    ours = [{"Key": "workshop", "Value": "federated-learning"}]
    assert "UnauthorizedOperation" in refused(mine.create_tags, Resources=[vpc, group], Tags=ours)
    door = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    assert "UnauthorizedOperation" in refused(mine.authorize_security_group_ingress, GroupId=group, IpPermissions=door)
    bucket = "others-rows-of-444455556666"
    platform["client-1"].client("s3").create_bucket(Bucket=bucket)
    assert "AccessDenied" in refused(owners["client-1"].client("s3").list_objects_v2, Bucket=bucket)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)
    platform["client-1"].client("s3").delete_bucket(Bucket=bucket)


def test_the_same_role_deletes_all_of_it(stage, owners):
    cleanup.delete_all(owners)
    assert cleanup.left_over(owners).empty


# Of what CloudFormation's handlers say they ask for: what only properties need that these templates do not have.
NOT_ASKED_FOR = (
    r"^(vpc-lattice|vpce|s3tables|firehose|autoscaling):",
    r"^s3:(Put|Get|Delete|Create|Update)(Bucket)?(Abac|Analytics|CORS|Cors|Inventory|Metrics|Notification|Replication)",
    r"^s3:(Put|Get|Delete|Create|Update)(Bucket)?(Website|Accelerate|Logging|Object|IntelligentTiering|Metadata|Acl)",
    r"^s3:REST|^s3:(DeleteBucketEncryption|DeleteBucketLifecycle|GetObjectVersion)$",
    r"^iam:(Attach|Detach)(User|Group)Policy$",
    r"^iam:(CreateServiceLinkedRole|DeleteRolePermissionsBoundary)$",
    r"^ec2:.*EncryptionControls?$|^ec2:(Dis)?[Aa]ssociateSubnetCidrBlock$|^ec2:ModifyVpcTenancy$",
    r"^ec2:AcceptVpcPeeringConnection$",  # with the client's role
    r"^kms:(DisableKey|EnableKey)$",
    r"^logs:(Put|Delete)(DataProtection|Index|Resource|Retention)Policy$|^logs:Put(BearerToken|LogGroupDeletion)",
    r"^logs:(Create|Delete)LogDelivery$",  # of S3 and Firehose
)


def test_it_may_do_what_cloudformation_says_that_it_does_for_each_type():
    """The schemas of AWS, as cfn-lint ships them, list per type what its handlers call."""
    import cfnlint

    from embedded_aws.stacks import documents

    schemas = {}
    for path in (Path(cfnlint.__file__).parent / "data" / "schemas" / "resources").glob("*.json"):
        schema = json.loads(path.read_text())
        if "handlers" in schema:
            schemas[schema["typeName"]] = schema["handlers"]
    types = {
        resource["Type"]
        for step in blueprint.of(
            Choices(platform="sagemaker", tracker="app", tables="built")
        )  # docs/platform-team.md: clusters
        for resource in documents.parse((TEMPLATES / f"{step.template}.yaml").read_text())["Resources"].values()
    }
    assert len(types & schemas.keys()) >= 20
    deployer = documents.parse((PLATFORM / "deployer.yaml").read_text())["Resources"]
    may = {
        action
        for name, policy in deployer.items()
        if name.endswith("Policy")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    lacking = {
        f"{type_}: {action}"
        for type_ in types & schemas.keys()
        for handler in ("create", "read", "update", "delete")
        for action in schemas[type_].get(handler, {}).get("permissions", [])
        if action not in may and not any(re.search(pattern, action) for pattern in NOT_ASKED_FOR)
    }
    assert not lacking
    sizes = {
        name: len(json.dumps(policy["Properties"]["PolicyDocument"], separators=(",", ":")))
        for name, policy in deployer.items()
        if policy["Type"] == "AWS::IAM::ManagedPolicy"
    }
    assert max(sizes.values()) < 6144  # IAM, quotas: of a managed policy, without white space
