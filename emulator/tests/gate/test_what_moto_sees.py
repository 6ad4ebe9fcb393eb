"""What moto carries out is what the gate has judged: account, region, operation and parameters have one meaning."""

import gzip
import json
from urllib.parse import urlencode

import pytest
from botocore.config import Config
from callers import FORM, OTHER, OWNER, Keyed, allow, deny, refusal, send, trusting

CREATE = "Action=CreateUser&Version=2010-05-08&UserName=hopped"
ABROAD = {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}


@pytest.fixture
def other_key(aws):
    return aws.session("client-2").get_credentials().access_key


@pytest.fixture
def admin(aws):
    keys = aws.session("client-1").get_credentials()
    told = {"AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    return Keyed(aws, "client-1", told, f"arn:aws:iam::{OWNER}:user/workshop-admin")


@pytest.fixture
def rows(aws):
    """Return a bucket of client-1 and one of client-2, each with a secret."""
    made = []
    for account in ("client-1", "client-2"):
        s3 = aws.session(account).client("s3")
        s3.create_bucket(Bucket=f"rows-{account}")
        s3.put_object(Bucket=f"rows-{account}", Key="secret.csv", Body=b"secret")
        made.append((s3, f"rows-{account}"))
    yield [name for _, name in made]
    for s3, name in made:
        for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=item["Key"])
        s3.delete_bucket(Bucket=name)


def presigned(who, operation="list_buckets", **request):
    s3 = who.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    expires = request.pop("ExpiresIn", 600)
    return s3.generate_presigned_url(operation, Params=request, ExpiresIn=expires).removeprefix(who.aws.endpoint)


def users(aws, account):
    return {one["UserName"] for one in aws.session(account).client("iam").list_users()["Users"]}


def test_a_presigned_url_lends_its_name_to_no_other_request(aws, user, other_key):
    ann = user(allow("s3:ListAllMyBuckets"))
    target = presigned(ann)
    forged = f"AWS4-HMAC-SHA256 Credential={other_key}/20260101/us-east-1/iam/aws4_request"
    headers = {"Authorization": f"{forged}, SignedHeaders=host, Signature={'0' * 64}", "Content-Type": FORM}
    assert send(aws, "GET", target, headers, CREATE.encode())[0] == 400
    assert "hopped" not in users(aws, "client-2")
    status, text = send(aws, "GET", target, {"X-Amz-Target": "AWSCognitoIdentityProviderService.ListUserPools"}, b"{}")
    assert (status, "not signed" in text) == (403, True)
    # Without them, the url lists the buckets, of its own account.
    status, text = send(aws, "GET", target, {"Content-Type": FORM}, CREATE.encode())
    assert (status, "<Buckets" in text) == (200, True)
    assert "hopped" not in users(aws, "client-1") | users(aws, "client-2")


def test_a_presigned_url_acts_in_the_account_of_who_signed_it(aws, admin):
    url = presigned(admin, "create_bucket", Bucket="by-url")
    assert send(aws, "PUT", url, {})[0] == 200
    s3 = aws.session("client-1").client("s3")
    assert "by-url" in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    s3.delete_bucket(Bucket="by-url")


@pytest.mark.parametrize(
    "change", [("Expires=600", "Expires=5184000"), ("Expires=600", "Expires=x"), ("Expires=600", "Expires=0")]
)
def test_a_presigned_url_is_good_for_a_week_at_most(aws, admin, change):
    assert send(aws, "GET", presigned(admin).replace(*change), {})[0] == 400


def test_a_date_that_there_is_not_is_refused(aws, admin):
    headers = admin.signed("GET", "/")
    headers["X-Amz-Date"] = "20261399T000000Z"
    headers["Authorization"] = headers["Authorization"].replace(headers["X-Amz-Date"][:8], "20261399")
    assert send(aws, "GET", "/", headers)[0] in (400, 403)


@pytest.mark.parametrize("region", ["mars-1", "xx-nowhere-1", "A" * 20, "", "us-east-1x"])
def test_a_region_that_there_is_not_is_refused(aws, admin, region):
    status, text = admin.form("ec2", b"Action=DescribeVpcs&Version=2016-11-15", region=region)
    assert status in (400, 401)
    assert "AuthFailure" in text or "IncompleteSignature" in text


def test_a_key_in_place_of_the_region_does_not_choose_the_account(aws, admin, other_key):
    assert admin.form("iam", CREATE.encode(), region=other_key)[0] == 400
    assert "hopped" not in users(aws, "client-1") | users(aws, "client-2")


def test_no_header_chooses_account_or_region(aws, user):
    home = user(allow("*"), deny("*", Condition=ABROAD))
    body = b"Action=CreateVpc&Version=2016-11-15&CidrBlock=10.9.0.0/16"
    agent = {"User-Agent": "x region/eu-west-1", "X-Moto-Account-Id": OTHER}
    status, text = home.form("ec2", body, more=agent)
    assert status == 200
    assert f"<ownerId>{OWNER}</ownerId>" in text
    session = aws.session("client-1")
    abroad = session.client("ec2", region_name="eu-west-1").describe_vpcs()["Vpcs"]
    assert "10.9.0.0/16" not in [one["CidrBlock"] for one in abroad]
    ec2 = session.client("ec2", region_name="us-east-1")
    made = [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == "10.9.0.0/16"]
    assert made
    ec2.delete_vpc(VpcId=made[0])
    assert home.form("ec2", body, region="eu-west-1")[0] == 403


SOURCES = ["http://x/{0}/secret.csv", "{0}/secret.csv;x", "{0}/secret.csv#x", "{0}/secret.csv?x=1"]
SOURCES += ["{0}/secret.csv?a&versionId=", "//{0}/secret.csv", "{0}%2Fsecret.csv", "{0}", "{0}/", "/"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_source_of_a_copy_is_what_was_judged(aws, user, rows, source):
    own, foreign = rows
    careful = user(allow("s3:*"), deny("s3:GetObject", f"arn:aws:s3:::{own}/secret.csv"))
    for bucket in (own, foreign):
        told = careful.raw("PUT", f"/{own}/copy", x_amz_copy_source=source.format(bucket))
        assert told[0] in (403, 405)
    found = aws.session("client-1").client("s3").list_objects_v2(Bucket=own)["Contents"]
    assert [item["Key"] for item in found] == ["secret.csv"]


@pytest.mark.parametrize("source", ["{0}/secret.csv", "/{0}/secret.csv", "{0}/secret%2Ecsv"])
def test_a_copy_s_source_is_read_decoded(user, rows, source):
    anybody, careful = user(allow("s3:*")), user(allow("s3:*"), deny("s3:GetObject"))
    assert anybody.raw("PUT", f"/{rows[0]}/copy", x_amz_copy_source=source.format(rows[0]))[0] == 200
    assert careful.raw("PUT", f"/{rows[0]}/copy", x_amz_copy_source=source.format(rows[0]))[0] == 403


def test_a_header_that_was_not_signed_is_not_obeyed(aws, admin, rows):
    status, text = admin.raw("PUT", f"/{rows[0]}/dropped", more={"x-amz-copy-source": f"{rows[0]}/secret.csv"})
    assert (status, "not signed" in text) == (403, True)
    headers = admin.signed("PUT", f"/{rows[0]}/k")
    assert send(aws, "PUT", f"/{rows[0]}/k", {**headers, "x-amz-acl": "public-read"})[0] == 403


def test_a_parameter_that_the_operation_does_not_have_is_refused(aws, user):
    careful = user(allow("iam:*", f"arn:aws:iam::{OWNER}:role/fl-*"))
    ask = {"Action": "PutUserPolicy", "Version": "2010-05-08", "UserName": careful.name, "PolicyName": "x"}
    ask["PolicyDocument"] = json.dumps({"Statement": allow("*")})
    status, text = careful.form("iam", urlencode({**ask, "RoleName": "fl-x"}).encode())
    assert (status, "there is no parameter RoleName" in text) == (400, True)
    for odd in ("Tags.member.2.Key", "UserName.1", "PermissionsBoundary.x"):
        assert careful.form("iam", urlencode({**ask, odd: "x"}).encode())[0] == 400


@pytest.mark.parametrize(
    ("service", "target", "body"),
    [
        ("sagemaker", "SageMaker.StopTrainingJob", {"ModelName": "prod", "TrainingJobName": "mine"}),
        ("sagemaker", "SageMaker.StopTrainingJob", {"TrainingJobName": ["prod"]}),
        ("sagemaker", "SageMaker.CreateTrainingJob", {"TrainingJobName": "prod", "VpcConfig": {"Subnet": "s"}}),
        ("logs", "Logs_20140328.GetLogEvents", {"logGroupName": "a", "logGroup": "b", "logStreamName": "s"}),
        ("kms", "TrentService.DescribeKey", {"KeyId": 7}),
    ],
)
def test_json_of_another_shape_is_refused(admin, service, target, body):
    status, text = admin.json(service, target, json.dumps(body).encode())
    assert (status, "does not understand the request" in text) == (400, True)


def test_a_body_in_json_is_no_form(aws, user):
    """moto would find an Action, and a group's name, between the ampersands."""
    logs = aws.session("client-1").client("logs")
    logs.create_log_group(logGroupName="kept")
    ann = user(allow("logs:FilterLogEvents"), allow("logs:CreateLogGroup"))
    inside = json.dumps(
        {"logGroupName": "kept", "filterPattern": "&Action=DeleteLogGroup&logGroupName=kept&x="}
    ).encode()
    for kind in ("application/x-amz-json-1.1", FORM):
        status, text = ann.json("logs", "Logs_20140328.FilterLogEvents", inside, content_type=kind)
        assert (status, json.loads(text)["events"]) == (200, [])
    assert logs.describe_log_groups(logGroupNamePrefix="kept")["logGroups"]
    logs.delete_log_group(logGroupName="kept")


def test_an_object_s_body_is_no_form(aws, admin, rows):
    body = b"key=x&versionId=y&Action=z"
    assert admin.raw("PUT", f"/{rows[0]}/form", body=body, content_type=FORM)[0] == 200
    assert admin.client("s3").get_object(Bucket=rows[0], Key="form")["Body"].read() == body


def test_a_compressed_form_is_read_before_it_is_judged(aws, user, admin):
    ann = user(allow("iam:ListUsers"))
    packed = gzip.compress(CREATE.encode())
    headers = {"content_encoding": "gzip", "content_type": FORM}
    assert ann.raw("POST", "/", service="iam", body=packed, **headers)[0] == 403
    assert ann.raw("POST", "/?Action=ListUsers&Version=2010-05-08", service="iam", body=packed, **headers)[0] == 400
    assert admin.raw("POST", "/", service="iam", body=packed[:-4], **headers)[0] == 400
    assert "hopped" not in users(aws, "client-1")


@pytest.mark.parametrize(
    "target",
    [
        "//rows-client-1/secret.csv", "/rows-client-1%2Fsecret.csv", "/%72ows-client-1/secret.csv",
        "/rows-client-1/secret.csv;x", "/rows-client-1/secret.csv#x", "http://127.0.0.1/rows-client-1/secret.csv",
        "/rows-client-1/secret.csv?x=1", "/favicon.ico",
    ],
)  # fmt: skip
def test_a_path_has_one_meaning(aws, admin, rows, target):
    sent = target if target.startswith("/") else "/"
    assert send(aws, "GET", target, admin.signed("GET", sent))[0] in (400, 403, 405)


def test_s3_s_permissions_do_not_reach_s3_control(aws, admin):
    body = b"<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls></PublicAccessBlockConfiguration>"
    path = "/v20180820/configuration/publicAccessBlock"
    assert admin.raw("PUT", path, body=body, x_amz_account_id=OWNER)[0] == 405
    assert admin.raw("PUT", path, body=body, x_amz_account_id=OWNER, service="s3control")[0] == 405


def test_a_query_call_is_made_at_the_root(admin):
    for path in ("/cfnresponse", "/v2/email/identities"):
        body = b"Action=ListStacks&Version=2010-05-15"
        assert admin.raw("POST", path, service="cloudformation", body=body, content_type=FORM)[0] == 400


def test_metadata_keeps_its_underscores(admin, rows):
    s3 = admin.client("s3")
    s3.put_object(Bucket=rows[0], Key="meta", Body=b"x", Metadata={"my_key": "v"})
    assert s3.head_object(Bucket=rows[0], Key="meta")["Metadata"] == {"my_key": "v"}


def test_who_is_trusted_is_lent_a_session_in_the_role_s_account(aws, role, user):
    """The account of a call is that of who signs, the session's that of its role."""
    peer = user(allow("sts:AssumeRole"), account="client-2")
    arn = role(trusting({"AWS": peer.arn}), allow("s3:*"))
    lent = peer.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    session = Keyed(aws, "client-1", lent, arn)
    assert session.client("sts").get_caller_identity()["Account"] == OWNER
    assert refusal(session.client("iam").list_users)["Code"] == "AccessDenied"
