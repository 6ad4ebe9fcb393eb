"""What users and roles may do is decided by their policies, through real calls."""

import json

import pytest
from callers import OTHER, OWNER, allow, as_arguments, document, refusal, trusting


@pytest.fixture(scope="module")
def bucket(aws):
    s3 = aws.session("client-1").client("s3")
    s3.create_bucket(Bucket="decided")
    for key in ("data/a.csv", "code/b.tar.gz"):
        s3.put_object(Bucket="decided", Key=key, Body=b"x")
    yield s3
    s3.delete_bucket_policy(Bucket="decided")
    found = s3.list_objects_v2(Bucket="decided")["Contents"]
    s3.delete_objects(Bucket="decided", Delete={"Objects": [{"Key": item["Key"]} for item in found]})
    s3.delete_bucket(Bucket="decided")


def test_without_a_policy_only_one_s_own_name_is_told(aws, user):
    nobody = user()
    assert nobody.client("sts").get_caller_identity()["Arn"] == nobody.arn
    for service, operation in (("s3", "list_buckets"), ("iam", "list_users"), ("sagemaker", "list_training_jobs")):
        assert (
            "because no identity-based policy allows" in refusal(getattr(nobody.client(service), operation))["Message"]
        )


def test_a_grant_reaches_as_far_as_its_prefix(user, bucket):
    s3 = user(
        allow("s3:GetObject", "arn:aws:s3:::decided/data/*"),
        allow("s3:ListBucket", "arn:aws:s3:::decided", Condition={"StringLike": {"s3:prefix": "data/*"}}),
    ).client("s3")
    assert s3.get_object(Bucket="decided", Key="data/a.csv")["Body"].read() == b"x"
    assert s3.list_objects_v2(Bucket="decided", Prefix="data/")["KeyCount"] == 1
    assert refusal(s3.get_object, Bucket="decided", Key="code/b.tar.gz")["Code"] == "AccessDenied"
    assert refusal(s3.list_objects_v2, Bucket="decided")["Code"] == "AccessDenied"
    assert refusal(s3.list_objects_v2, Bucket="decided", Prefix="code/")["Code"] == "AccessDenied"
    assert refusal(s3.put_object, Bucket="decided", Key="data/c", Body=b"")["Code"] == "AccessDenied"
    copy = {"Bucket": "decided", "Key": "data/c", "CopySource": "decided/data/a.csv"}
    assert "s3:PutObject" in refusal(s3.copy_object, **copy)["Message"]


def test_deleting_many_needs_leave_for_each(user, bucket):
    s3 = user(allow("s3:DeleteObject", "arn:aws:s3:::decided/tmp/*")).client("s3")
    objects = [{"Key": "tmp/1"}, {"Key": "data/a.csv"}]
    told = s3.delete_objects(Bucket="decided", Delete={"Objects": objects})
    assert [one["Key"] for one in told["Deleted"]] == ["tmp/1"]
    assert [(one["Key"], one["Code"]) for one in told["Errors"]] == [("data/a.csv", "AccessDenied")]
    assert bucket.head_object(Bucket="decided", Key="data/a.csv")


def test_a_bucket_opens_to_another_account_only_if_both_agree(aws, user, bucket):
    reader = user(allow("s3:GetObject", "arn:aws:s3:::decided/*"), account="client-2")
    stranger = user(account="client-2")
    get = {"Bucket": "decided", "Key": "data/a.csv"}
    assert "no resource-based policy" in refusal(reader.client("s3").get_object, **get)["Message"]
    grant = allow("s3:GetObject", "arn:aws:s3:::decided/*", Principal={"AWS": f"arn:aws:iam::{OTHER}:root"})
    bucket.put_bucket_policy(Bucket="decided", Policy=document(grant))
    assert reader.client("s3").get_object(**get)["Body"].read() == b"x"
    assert "no identity-based policy" in refusal(stranger.client("s3").get_object, **get)["Message"]
    only_own = {"StringNotEquals": {"aws:PrincipalAccount": OWNER}}
    deny = {"Sid": "Own", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": only_own}
    bucket.put_bucket_policy(Bucket="decided", Policy=document(grant, deny))
    assert "explicit deny in a resource-based policy" in refusal(reader.client("s3").get_object, **get)["Message"]
    bucket.delete_bucket_policy(Bucket="decided")


def test_an_encrypted_object_needs_its_key_too(aws, user, bucket):
    kms = aws.session("client-1").client("kms")
    key = kms.create_key(Policy=document(allow("kms:*", Principal={"AWS": OWNER})))["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    bucket.put_bucket_encryption(Bucket="decided", ServerSideEncryptionConfiguration={"Rules": [rule]})
    without = user(allow("s3:*")).client("s3")
    put = {"Bucket": "decided", "Key": "sealed", "Body": b"x"}
    assert f"kms:GenerateDataKey on resource: {key}" in refusal(without.put_object, **put)["Message"]
    bucket.put_object(**put)
    assert f"kms:Decrypt on resource: {key}" in refusal(without.get_object, Bucket="decided", Key="sealed")["Message"]
    via_s3 = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    with_key = user(allow("s3:*"), allow(["kms:Decrypt", "kms:GenerateDataKey"], key, Condition=via_s3))
    with_key.client("s3").put_object(**put)
    assert with_key.client("s3").get_object(Bucket="decided", Key="sealed")["Body"].read() == b"x"
    told = refusal(with_key.client("kms").generate_data_key, KeyId=key, KeySpec="AES_256")
    assert told["Code"] == "AccessDeniedException"
    bucket.delete_bucket_encryption(Bucket="decided")


def test_a_log_group_takes_a_key_that_the_logs_service_may_use_for_it(aws):
    session = aws.session("client-1")
    kms, logs = session.client("kms"), session.client("logs")
    manage = allow("kms:*", Principal={"AWS": OWNER})
    mine = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:us-east-1:{OWNER}:log-group:/mine/*"}}
    listed = ["kms:GenerateDataKey*", "kms:Decrypt*", "kms:Encrypt*", "kms:ReEncrypt*", "kms:Describe*"]

    def lent(actions=listed, service="logs.us-east-1.amazonaws.com"):
        statement = allow(actions, Principal={"Service": service}, Condition=mine)
        return kms.create_key(Policy=document(manage, statement))["KeyMetadata"]["Arn"]

    def refused(key, name="/mine/one"):
        told = refusal(logs.create_log_group, logGroupName=name, kmsKeyId=key)
        assert told["Code"] == "InvalidParameterException"
        assert "does not exist or is not allowed to be used with Arn" in told["Message"]
        return told["Message"]

    good = lent()
    logs.create_log_group(logGroupName="/mine/one", kmsKeyId=good)
    assert logs.describe_log_groups(logGroupNamePrefix="/mine/one")["logGroups"][0]["kmsKeyId"] == good
    assert "S2: condition" in refused(good, "/theirs/one")
    for missing in listed[:4]:
        told = refused(lent([action for action in listed if action != missing]), "/mine/two")
        assert missing.rstrip("*") in told
    assert "it trusts other principals" in refused(lent(service="s3.amazonaws.com"), "/mine/two")
    kms.disable_key(KeyId=good)
    assert "is disabled" in refused(good, "/mine/two")
    refused(f"arn:aws:kms:us-east-1:{OWNER}:key/11111111-2222-3333-4444-555555555555", "/mine/two")
    logs.delete_log_group(logGroupName="/mine/one")


def test_a_new_default_version_of_a_policy_counts_at_once(aws, user):
    iam, ann = aws.session("client-1").client("iam"), user()
    arn = iam.create_policy(PolicyName="turning", PolicyDocument=document(allow("s3:*")))["Policy"]["Arn"]
    iam.attach_user_policy(UserName=ann.arn.rpartition("/")[2], PolicyArn=arn)
    ann.client("s3").list_buckets()
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(allow("iam:*")), SetAsDefault=True)
    assert refusal(ann.client("s3").list_buckets)["Code"] == "AccessDenied"
    iam.detach_user_policy(UserName=ann.arn.rpartition("/")[2], PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)


def test_a_role_is_lent_to_whom_it_trusts_and_who_is_allowed_to_ask(user, role):
    friend, stranger = (user(allow("sts:AssumeRole"), account=account) for account in ("client-2", "client-3"))
    unasked = user(account="client-2")
    arn = role(trusting({"AWS": [friend.arn, unasked.arn]}, Condition={"StringEquals": {"sts:ExternalId": "agreed"}}))
    ask = {"RoleArn": arn, "RoleSessionName": "me"}
    assert friend.client("sts").assume_role(**ask, ExternalId="agreed")["Credentials"]
    agreed = {"ExternalId": "agreed"}
    attempts = [(friend, {}), (friend, {"ExternalId": "guess"}), (stranger, agreed), (unasked, agreed)]
    for who, extra in attempts:
        told = refusal(who.client("sts").assume_role, **ask, **extra)
        assert told["Code"] == "AccessDenied"
        assert told["Message"] == f"User: {who.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}"


def test_in_its_own_account_a_role_that_names_the_user_needs_no_more(user, role):
    named, other = user(), user()
    arn = role(trusting({"AWS": named.arn}))
    assert named.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")
    assert refusal(other.client("sts").assume_role, RoleArn=arn, RoleSessionName="me")["Code"] == "AccessDenied"
    whole = role(trusting({"AWS": f"arn:aws:iam::{OWNER}:root"}))
    assert refusal(named.client("sts").assume_role, RoleArn=whole, RoleSessionName="me")["Code"] == "AccessDenied"


def test_a_session_policy_narrows_and_chained_sessions_are_short(aws, user, role):
    ann = user()
    second = role(trusting({"AWS": f"arn:aws:iam::{OWNER}:root"}), allow("s3:*"), MaxSessionDuration=43200)
    first = role(trusting({"AWS": ann.arn}), allow("sts:*"), allow("s3:*"))
    policy = document(allow("sts:*"))
    keys = ann.client("sts").assume_role(RoleArn=first, RoleSessionName="me", Policy=policy)["Credentials"]
    session = as_arguments(keys)
    assert "session policy" in refusal(aws.session("client-1").client("s3", **session).list_buckets)["Message"]
    sts = aws.session("client-1").client("sts", **session)
    assert sts.assume_role(RoleArn=second, RoleSessionName="me", DurationSeconds=3600)
    long = refusal(sts.assume_role, RoleArn=second, RoleSessionName="me", DurationSeconds=3601)
    assert "role chaining" in long["Message"]
    longest = refusal(ann.client("sts").assume_role, RoleArn=first, RoleSessionName="me", DurationSeconds=3601)
    assert "MaxSessionDuration" in longest["Message"]


def test_a_boundary_takes_away_what_a_policy_gives(aws, role):
    admin = aws.session("client-1")
    arn = admin.client("iam").create_policy(PolicyName="edge", PolicyDocument=document(allow("s3:*")))["Policy"]["Arn"]
    bounded = role(trusting({"AWS": OWNER}), allow("*"), PermissionsBoundary=arn)
    keys = admin.client("sts").assume_role(RoleArn=bounded, RoleSessionName="me")["Credentials"]
    admin.client("s3", **as_arguments(keys)).list_buckets()
    assert "permissions boundary" in refusal(admin.client("iam", **as_arguments(keys)).list_users)["Message"]
    admin.client("iam").delete_policy(PolicyArn=arn)


def test_a_session_ends_with_its_role(aws, role):
    admin = aws.session("client-1")
    arn = role(trusting({"AWS": OWNER}), allow("s3:*"))
    keys = admin.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    s3 = admin.client("s3", **as_arguments(keys))
    s3.list_buckets()
    iam, name = admin.client("iam"), arn.rpartition("/")[2]
    iam.delete_role_policy(RoleName=name, PolicyName="granted")
    assert refusal(s3.list_buckets)["Code"] == "AccessDenied"
    iam.delete_role(RoleName=name)
    assert refusal(s3.list_buckets)["Code"] == "InvalidAccessKeyId"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trusting({"AWS": OWNER})))


def test_a_policy_that_cannot_be_evaluated_allows_nothing_and_says_why(user, bucket):
    ann = user(allow("s3:*", Condition={"StringEquals": {"aws:PhaseOfMoon": "full"}}), allow("s3:*"))
    told = refusal(ann.client("s3").list_buckets)["Message"]
    assert "aws:PhaseOfMoon" in told
    assert "granted: S1" in told


def test_every_decision_is_on_the_trail_of_both_accounts(aws, user, bucket):
    ann = user(account="client-2")
    refusal(ann.client("s3").get_object, Bucket="decided", Key="data/a.csv")
    for account in ("client-1", "client-2"):
        (event,) = (
            aws.session(account)
            .client("cloudtrail")
            .lookup_events(
                LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": ann.arn.rpartition("/")[2]}]
            )["Events"]
        )
        told = json.loads(event["CloudTrailEvent"])
        assert (told["eventName"], told["errorCode"]) == ("GetObject", "AccessDenied")
        assert told["userIdentity"]["arn"] == ann.arn
        assert told["resources"][0]["ARN"] == "arn:aws:s3:::decided/data/a.csv"
    elsewhere = (
        aws.session("client-3")
        .client("cloudtrail")
        .lookup_events(LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": ann.arn.rpartition("/")[2]}])
    )
    assert elsewhere["Events"] == []
