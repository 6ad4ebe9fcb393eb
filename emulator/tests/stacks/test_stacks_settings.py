"""Every property of a resource is seen through the service's own API, and an update changes it there."""

import json

import pytest
from botocore.exceptions import ClientError
from stack_desk import BUCKET, ROLE, TRUST, VPC, StackDesk, changed, template

OWNED = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
READ = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
WRITE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]}
ITS_ACCOUNT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "222233334444"}, "Action": "kms:*", "Resource": "*"}],
}


@pytest.fixture
def desk(aws):
    desk = StackDesk(aws.session("client-3"))
    yield desk
    desk.clear()


def policy(**properties):
    return {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": READ, **properties}}


def test_a_bucket_has_every_setting(desk):
    key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": ITS_ACCOUNT}}
    arn = {"Fn::GetAtt": ["K", "Arn"]}
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    rule = {
        "Id": "old",
        "Status": "Enabled",
        "Prefix": "artefacts/",
        "ExpirationInDays": 90,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    full = changed(
        BUCKET,
        BucketEncryption={
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": default, "BucketKeyEnabled": "true"}
            ]
        },
        LifecycleConfiguration={"Rules": [rule]},
        OwnershipControls=OWNED,
        Tags=[{"Key": "a", "Value": 1}],
    )
    desk.create("full", template(B=full, K=key))
    s3, named = desk.client("s3"), {"Bucket": "bucket-of-a-stack"}
    (encryption,) = s3.get_bucket_encryption(**named)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["BucketKeyEnabled"]
    key_arn = desk.client("kms").describe_key(KeyId=desk.physical("full", "K"))["KeyMetadata"]["Arn"]
    assert encryption["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn}
    (lifecycle,) = s3.get_bucket_lifecycle_configuration(**named)["Rules"]
    assert (lifecycle["Expiration"], lifecycle["Filter"]) == ({"Days": 90}, {"Prefix": "artefacts/"})
    assert lifecycle["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert lifecycle["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    (ownership,) = s3.get_bucket_ownership_controls(**named)["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
    assert s3.get_bucket_tagging(**named)["TagSet"] == [{"Key": "a", "Value": "1"}]
    # Without ownership controls lists would count again, which they do not here.
    assert desk.update("full", template(B=BUCKET))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "does not serve s3:DeleteBucketOwnershipControls" in desk.reasons("full")["B"]
    desk.update("full", template(B=changed(BUCKET, OwnershipControls=OWNED)))
    for call in (s3.get_bucket_lifecycle_configuration, s3.get_bucket_tagging):
        with pytest.raises(ClientError, match=r"NoSuch|NotFound"):
            call(**named)


def test_a_bucket_policy_comes_changes_and_goes(desk):
    def document(action):
        statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": {"Fn::Sub": "${B.Arn}/*"}}
        return {"Version": "2012-10-17", "Statement": [statement]}

    def body(action):
        properties = {"Bucket": {"Ref": "B"}, "PolicyDocument": document(action)}
        return template(B=BUCKET, P={"Type": "AWS::S3::BucketPolicy", "Properties": properties})

    s3 = desk.client("s3")

    def action():
        return json.loads(s3.get_bucket_policy(Bucket="bucket-of-a-stack")["Policy"])["Statement"][0]["Action"]

    desk.create("policy", body("s3:GetObjectTorrent"))
    assert action() == "s3:GetObjectTorrent"
    desk.update("policy", body("s3:PutObjectAcl"))
    assert action() == "s3:PutObjectAcl"
    desk.update("policy", template(B=BUCKET))
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        action()


def test_a_role_has_every_setting(desk):
    iam, named = desk.client("iam"), {"RoleName": "role-of-a-stack"}
    full = changed(
        ROLE,
        Path="/fl/",
        Description="first",
        MaxSessionDuration="7200",
        PermissionsBoundary={"Ref": "B"},
        ManagedPolicyArns=[{"Ref": "P"}],
        Policies=[{"PolicyName": "one", "PolicyDocument": READ}, {"PolicyName": "two", "PolicyDocument": READ}],
    )
    desk.create("role", template(R=full, P=policy(), B=policy()))
    role = iam.get_role(**named)["Role"]
    assert (role["Path"], role["Description"], role["MaxSessionDuration"]) == ("/fl/", "first", 7200)
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == desk.physical("role", "B")
    attached = iam.list_attached_role_policies(**named)["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == [desk.physical("role", "P")]
    assert iam.list_role_policies(**named)["PolicyNames"] == ["one", "two"]
    trust = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Sid": "New"}]}
    now = changed(
        full,
        Description="second",
        MaxSessionDuration=None,
        PermissionsBoundary=None,
        ManagedPolicyArns=None,
        Policies=[{"PolicyName": "two", "PolicyDocument": WRITE}],
        AssumeRolePolicyDocument=trust,
    )
    desk.update("role", template(R=now, P=policy(), B=policy()))
    role = iam.get_role(**named)["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("second", 3600)
    assert "PermissionsBoundary" not in role
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Sid"] == "New"
    assert iam.list_attached_role_policies(**named)["AttachedPolicies"] == []
    assert iam.list_role_policies(**named)["PolicyNames"] == ["two"]
    assert iam.get_role_policy(**named, PolicyName="two")["PolicyDocument"] == WRITE


def test_policies_reach_users_and_roles_and_leave_them(desk):
    iam = desk.client("iam")
    iam.create_user(UserName="operator")
    shared = {"PolicyName": "shared", "PolicyDocument": READ, "Users": ["operator"], "Roles": [{"Ref": "R"}]}
    own = {"PolicyName": "own", "PolicyDocument": READ, "UserName": "operator"}
    both = {
        "S": {"Type": "AWS::IAM::Policy", "Properties": shared},
        "U": {"Type": "AWS::IAM::UserPolicy", "Properties": own},
        "M": policy(Users=["operator"], ManagedPolicyName="managed", Path="/fl/"),
        "I": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "R"}]}},
    }
    desk.create("policies", template(R=ROLE, **both))
    assert sorted(iam.list_user_policies(UserName="operator")["PolicyNames"]) == ["own", "shared"]
    assert iam.list_role_policies(RoleName="role-of-a-stack")["PolicyNames"] == ["shared"]
    (managed,) = iam.list_attached_user_policies(UserName="operator")["AttachedPolicies"]
    assert managed["PolicyArn"] == desk.physical("policies", "M") == "arn:aws:iam::222233334444:policy/fl/managed"
    told = iam.get_instance_profile(InstanceProfileName=desk.physical("policies", "I"))["InstanceProfile"]
    assert [role["RoleName"] for role in told["Roles"]] == ["role-of-a-stack"]
    fewer = {**shared, "PolicyName": "renamed", "Users": []}
    desk.update("policies", template(R=ROLE, S={"Type": "AWS::IAM::Policy", "Properties": fewer}, M=policy(**{
        "ManagedPolicyName": "managed", "Path": "/fl/"})))  # fmt: skip
    assert iam.list_user_policies(UserName="operator")["PolicyNames"] == []
    assert iam.list_role_policies(RoleName="role-of-a-stack")["PolicyNames"] == ["renamed"]
    assert iam.list_attached_user_policies(UserName="operator")["AttachedPolicies"] == []
    desk.delete("policies")
    iam.delete_user(UserName="operator")


def test_a_key_has_every_setting_and_waits_before_it_goes(desk):
    kms = desk.client("kms")
    key = {
        "Type": "AWS::KMS::Key",
        "Properties": {"Description": "first", "EnableKeyRotation": True, "PendingWindowInDays": 7},
    }
    alias = {"Type": "AWS::KMS::Alias", "Properties": {"AliasName": "alias/of-a-stack", "TargetKeyId": {"Ref": "K"}}}
    desk.create("key", template(K=changed(key, KeyPolicy=ITS_ACCOUNT), A=alias))
    named = {"KeyId": "alias/of-a-stack"}
    told = kms.describe_key(**named)["KeyMetadata"]
    assert (told["KeyId"], told["Description"]) == (desk.physical("key", "K"), "first")
    assert kms.get_key_rotation_status(KeyId=told["KeyId"])["KeyRotationEnabled"]
    assert json.loads(kms.get_key_policy(KeyId=told["KeyId"], PolicyName="default")["Policy"]) == ITS_ACCOUNT
    other = changed(key, Description="second", EnableKeyRotation=False, KeyPolicy=ITS_ACCOUNT)
    to_other = changed(alias, TargetKeyId={"Ref": "L"})
    desk.update("key", template(K=other, L=changed(key, KeyPolicy=ITS_ACCOUNT), A=to_other))
    assert kms.describe_key(**named)["KeyMetadata"]["KeyId"] == desk.physical("key", "L")
    assert kms.describe_key(KeyId=told["KeyId"])["KeyMetadata"]["Description"] == "second"
    assert not kms.get_key_rotation_status(KeyId=told["KeyId"])["KeyRotationEnabled"]
    desk.delete("key")
    assert kms.describe_key(KeyId=told["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_key_is_never_replaced(desk):
    key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": ITS_ACCOUNT}}
    desk.create("never", template(K=key))
    desk.update("never", template(K=changed(key, KeySpec="RSA_2048")))
    assert desk.reasons("never")["K"].startswith("You cannot change KeySpec of a KMS key")


def test_a_log_group_and_a_flow_log_have_every_setting(desk):
    logs = {"Service": {"Fn::Sub": "logs.${AWS::Region}.amazonaws.com"}}
    lent = {"Effect": "Allow", "Principal": logs, "Action": "kms:*", "Resource": "*"}
    policy = {**ITS_ACCOUNT, "Statement": [*ITS_ACCOUNT["Statement"], lent]}
    key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy}}
    group = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"KmsKeyId": {"Fn::GetAtt": ["K", "Arn"]}, "RetentionInDays": 30},
    }
    flow_log = {
        "ResourceId": {"Ref": "V"},
        "ResourceType": "VPC",
        "TrafficType": "REJECT",
        "LogDestinationType": "cloud-watch-logs",
        "LogDestination": {"Fn::GetAtt": ["L", "Arn"]},
        "DeliverLogsPermissionArn": {"Fn::GetAtt": ["R", "Arn"]},
        "MaxAggregationInterval": "60",
        "LogFormat": "${srcaddr} ${dstaddr} ${action}",
    }
    # The format is EC2's own: CloudFormation must not read it as a Sub.
    desk.create(
        "logs", template(K=key, L=group, V=VPC, R=ROLE, F={"Type": "AWS::EC2::FlowLog", "Properties": flow_log})
    )
    name = desk.physical("logs", "L")
    (told,) = desk.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert told["retentionInDays"] == 30
    assert told["kmsKeyId"].endswith(desk.physical("logs", "K"))
    (log,) = desk.client("ec2").describe_flow_logs()["FlowLogs"]
    assert (log["TrafficType"], log["MaxAggregationInterval"], log["LogFormat"]) == (
        "REJECT",
        60,
        flow_log["LogFormat"],
    )
    assert (log["LogGroupName"], log["DeliverLogsStatus"]) == (name, "SUCCESS")
