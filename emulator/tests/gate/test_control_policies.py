"""Service control policies: what an organisation forbids is refused to an administrator too, and to what acts for one.

Expected: AWS, Organizations user guide, "SCP evaluation": they hold for every user and role of a member account, grant
nothing, and the default FullAWSAccess stands beside those that only forbid.
"""

import json
import subprocess
import sys

import pytest
from callers import OWNER, Keyed, allow, deny, document, refusal, trusting

from embedded_aws.testing import end

REGIONS = deny(
    "*", Condition={"StringNotEquals": {"aws:RequestedRegion": ["us-east-1"]}, "Bool": {"aws:ViaAWSService": "false"}}
)
BOUNDED = deny("iam:CreateRole", Condition={"Null": {"iam:PermissionsBoundary": "true"}})
TRUST = document(trusting({"AWS": OWNER}))


@pytest.fixture(scope="module")
def governed(serve_aws, tmp_path_factory):
    """Return a function that serves accounts under some policies, once for each set of them."""
    running = {}

    def under(*policies):
        if policies not in running:
            home = tmp_path_factory.mktemp("governed")
            for number, policy in enumerate(policies):
                (home / f"{number}.json").write_text(policy)
            named = ":".join(str(home / f"{number}.json") for number in range(len(policies)))
            running[policies] = serve_aws(home, n_clients=1, EMBEDDED_AWS_CONTROL_POLICIES=named)
        return running[policies][1]

    yield under
    for process, _ in running.values():
        end(process)


def test_what_is_forbidden_is_refused_to_an_administrator(governed):
    admin = governed(document(REGIONS, BOUNDED)).session("client-1").client
    assert admin("s3").list_buckets()["Buckets"] == []  # FullAWSAccess stands beside it
    error = refusal(admin("iam").create_role, RoleName="free", AssumeRolePolicyDocument=TRUST)
    assert error["Code"] == "AccessDenied"
    assert error["Message"].endswith("with an explicit deny in a service control policy")
    error = refusal(admin("ec2", region_name="eu-west-1").describe_vpcs)
    assert error["Code"] == "UnauthorizedOperation"
    policy = admin("iam").create_policy(PolicyName="most", PolicyDocument=document(allow("s3:*")))["Policy"]["Arn"]
    admin("iam").create_role(RoleName="bounded", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=policy)


def test_a_stack_meets_what_its_owner_meets(governed):
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": json.loads(TRUST)}}
    cloud = governed(document(REGIONS, BOUNDED)).session("client-1").client("cloudformation")
    cloud.create_stack(
        StackName="free", TemplateBody=json.dumps({"Resources": {"Role": role}}), Capabilities=["CAPABILITY_IAM"]
    )
    with pytest.raises(Exception, match="ROLLBACK"):
        cloud.get_waiter("stack_create_complete").wait(StackName="free", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    reasons = [
        event.get("ResourceStatusReason", "") for event in cloud.describe_stack_events(StackName="free")["StackEvents"]
    ]
    assert any("explicit deny in a service control policy" in reason for reason in reasons)


def test_where_something_is_allowed_the_rest_is_not(governed):
    aws = governed(document(allow(["s3:*", "sts:*"])), document(deny("s3:CreateBucket")))
    admin = aws.session("client-1").client
    assert admin("s3").list_buckets()["Buckets"] == []
    error = refusal(admin("iam").list_users)
    assert error["Message"].endswith("because no service control policy allows the iam:ListUsers action")
    assert refusal(admin("s3").create_bucket, Bucket="forbidden-bucket")["Code"] == "AccessDenied"


def test_they_hold_for_a_role_and_grant_nothing(governed):
    aws = governed(document(REGIONS, BOUNDED))
    admin = aws.session("client-1").client
    policy = admin("iam").create_policy(PolicyName="all", PolicyDocument=document(allow("*")))["Policy"]["Arn"]
    role = admin("iam").create_role(RoleName="lent", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=policy)
    keys = admin("sts").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="me")["Credentials"]
    lent = Keyed(aws, "client-1", keys, role["Role"]["Arn"])
    assert "no identity-based policy allows" in refusal(lent.client("ec2").describe_vpcs)["Message"]
    admin("iam").attach_role_policy(RoleName="lent", PolicyArn=policy)
    assert lent.client("ec2").describe_vpcs()["Vpcs"]
    error = refusal(lent.client("iam").create_role, RoleName="other", AssumeRolePolicyDocument=TRUST)
    assert error["Message"].endswith("with an explicit deny in a service control policy")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "invalid Json"),
        (document(deny("s3:*", Principal="*")), "Principal"),
        (document({"Effect": "Deny", "Action": "s3:*"}), "Resource"),
        (None, "No such file"),
    ],
)
def test_what_is_no_such_policy_is_refused_at_the_start(tmp_path, text, complaint):
    path = tmp_path / "policy.json"
    if text is not None:
        path.write_text(text)
    command = [
        sys.executable,
        "-m",
        "embedded_aws",
        "--home",
        str(tmp_path),
        "--control-policy",
        str(path),
        "run",
        "--",
    ]
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"control policy {path}" in done.stderr
    assert complaint in done.stderr
