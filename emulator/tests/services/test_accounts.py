"""Accounts are apart: who a profile is, whose buckets and roles it reaches, and who can reach the server."""

import http.client
import json

import psutil
import pytest
from botocore.exceptions import ClientError

TRUST_SERVER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}],
}


def status(aws, path):
    connection = http.client.HTTPConnection(aws.endpoint.removeprefix("http://"))
    connection.request("GET", path)
    code = connection.getresponse().status
    connection.close()
    return code


@pytest.fixture(scope="module")
def rows(aws):
    s3 = aws.session("client-1").client("s3")
    s3.create_bucket(Bucket="rows-of-client-1")
    s3.put_object(Bucket="rows-of-client-1", Key="data/rows.csv", Body=b"secret")
    aws.session("client-2").client("s3").create_bucket(Bucket="rows-of-client-2")
    yield s3
    s3.delete_object(Bucket="rows-of-client-1", Key="data/rows.csv")
    s3.delete_bucket(Bucket="rows-of-client-1")
    aws.session("client-2").client("s3").delete_bucket(Bucket="rows-of-client-2")


def test_a_profile_is_the_first_user_of_its_account(aws):
    for name, account in aws.accounts.items():
        answer = aws.session(name).client("sts").get_caller_identity()
        assert answer["Account"] == account
        assert answer["Arn"] == f"arn:aws:iam::{account}:user/workshop-admin"


@pytest.mark.parametrize("service", ["s3", "sts", "sagemaker", "logs", "cloudformation", "iam"])
def test_a_profile_leads_every_service_to_loopback(aws, service):
    assert aws.session("server").client(service).meta.endpoint_url == aws.endpoint


def test_a_bucket_is_listed_in_its_account_only(aws, rows):
    names = [
        [bucket["Name"] for bucket in aws.session(name).client("s3").list_buckets()["Buckets"]]
        for name in ("client-1", "client-2")
    ]
    assert "rows-of-client-1" in names[0]
    assert "rows-of-client-1" not in names[1]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_object", {"Key": "data/rows.csv"}),
        ("head_object", {"Key": "data/rows.csv"}),
        ("list_objects_v2", {}),
        ("list_objects", {}),
        ("list_object_versions", {}),
        ("head_bucket", {}),
        ("get_bucket_location", {}),
        ("get_object_tagging", {"Key": "data/rows.csv"}),
        ("put_object", {"Key": "data/other.csv", "Body": b""}),
        ("delete_object", {"Key": "data/rows.csv"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": "data/rows.csv"}]}}),
        ("delete_bucket", {}),
        ("put_bucket_policy", {"Policy": "{}"}),
        ("create_multipart_upload", {"Key": "data/other.csv"}),
    ],
)
def test_a_bucket_is_closed_to_other_accounts(aws, rows, operation, arguments):
    with pytest.raises(ClientError) as refused:
        getattr(aws.session("client-2").client("s3"), operation)(Bucket="rows-of-client-1", **arguments)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize("owner", ["client-1", "client-2"])
def test_rows_cannot_be_copied_between_accounts(aws, rows, owner):
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.session(owner).client("s3").copy_object(
            Bucket="rows-of-client-2", Key="stolen", CopySource="rows-of-client-1/data/rows.csv"
        )


def test_a_bucket_name_is_taken_for_every_account(aws, rows):
    with pytest.raises(ClientError, match="BucketAlreadyExists"):
        aws.session("client-2").client("s3").create_bucket(Bucket="rows-of-client-1")


def test_a_bucket_is_closed_without_credentials(aws, rows):
    assert status(aws, "/rows-of-client-1/data/rows.csv") == 403


def test_moto_s_header_for_the_account_is_not_heard(aws, rows):
    s3 = aws.session("client-2").client("s3")
    s3.meta.events.register(
        "before-sign.s3", lambda request, **_: request.headers.add_header("x-moto-account-id", "444455556666")
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket="rows-of-client-1", Key="data/rows.csv")


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/", "/latest/meta-data/iam/"])
def test_moto_s_own_pages_are_closed(aws, path):
    assert status(aws, path) == 404


def test_a_role_is_assumed_in_its_own_account(aws):
    iam = aws.session("client-2").client("iam")
    role = iam.create_role(RoleName="kickoff", AssumeRolePolicyDocument=json.dumps(TRUST_SERVER))["Role"]["Arn"]
    keys = aws.session("server").client("sts").assume_role(RoleArn=role, RoleSessionName="server")["Credentials"]
    borrowed = aws.session("server").client(
        "sts",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert borrowed.get_caller_identity()["Arn"] == "arn:aws:sts::777788889999:assumed-role/kickoff/server"
    iam.delete_role(RoleName="kickoff")


@pytest.mark.parametrize("account", ["777788889999", "999999999999"])
def test_a_role_that_nobody_made_is_refused(aws, account):
    role = f"arn:aws:iam::{account}:role/nobody-made-me"
    with pytest.raises(ClientError, match=f"not authorized to perform: sts:AssumeRole on resource: {role}") as refused:
        aws.session("server").client("sts").assume_role(RoleArn=role, RoleSessionName="server")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("sagemaker", "describe_mlflow_tracking_server", {"TrackingServerName": "n"}),
        ("sts", "get_federation_token", {"Name": "somebody"}),
        ("ec2", "describe_fleet_history", {"FleetId": "fleet-" + "0" * 36, "StartTime": 0}),
    ],
)
def test_what_is_not_emulated_is_said_once(aws, service, operation, arguments):
    with pytest.raises(ClientError, match="the embedded AWS does not serve") as refused:
        getattr(aws.session("server").client(service), operation)(**arguments)
    metadata = refused.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (501, 0)


def test_only_loopback_listens(aws):
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(aws.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_the_config_file_is_private(aws):
    assert aws.config.stat().st_mode & 0o077 == 0
    assert aws.config.parent.stat().st_mode & 0o077 == 0
