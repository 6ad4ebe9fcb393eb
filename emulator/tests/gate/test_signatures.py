"""Who signs a request is checked for real: requests that botocore signed, and what becomes of them on the way."""

import datetime
import http.client
import json
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

FORM = "application/x-www-form-urlencoded; charset=utf-8"
WHO = b"Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture
def keys(aws):
    return aws.session("client-1").get_credentials().get_frozen_credentials()


def signed(aws, keys, *, service="sts", body=WHO, path="/", headers=None, region="us-east-1", secret=None):
    request = AWSRequest("POST", aws.endpoint + path, data=body, headers={"Content-Type": FORM, **(headers or {})})
    credentials = Credentials(keys.access_key, secret or keys.secret_key, keys.token)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region).add_auth(request)
    return request.prepare()


def send(aws, request, *, body=None, path=None, **headers):
    url = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    target = path or request.url.removeprefix(aws.endpoint)
    connection.request(request.method, target, body or request.body, {**dict(request.headers.items()), **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_request_as_it_was_signed_is_heard(aws, keys):
    status, text = send(aws, signed(aws, keys))
    assert status == 200
    assert "<Account>444455556666</Account>" in text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": b"Action=GetCallerIdentity&Version=2011-06-16"}, "SignatureDoesNotMatch"),
        ({"path": "/?a=b"}, "SignatureDoesNotMatch"),
        ({"X-Amz-Date": "20200101T000000Z"}, "IncompleteSignature"),  # not the day of the credential scope
        ({"X-Amz-Security-Token": "somebody-else-s"}, "InvalidClientTokenId"),
        ({"Authorization": "Basic YTpi"}, "IncompleteSignature"),
    ],
)
def test_a_request_that_was_changed_on_the_way_is_refused(aws, keys, change, code):
    status, text = send(aws, signed(aws, keys), **change)
    assert status in (400, 403)
    assert f"<Code>{code}</Code>" in text


def test_a_header_that_was_signed_cannot_be_changed_or_left_out(aws, keys):
    request = signed(aws, keys, headers={"X-Fl-Nonce": "abc"})
    assert send(aws, request)[0] == 200
    assert "SignatureDoesNotMatch" in send(aws, request, **{"X-Fl-Nonce": "abd"})[1]
    del request.headers["X-Fl-Nonce"]
    assert "SignatureDoesNotMatch" in send(aws, request)[1]


def test_another_secret_does_not_do(aws, keys):
    assert "<Code>SignatureDoesNotMatch</Code>" in send(aws, signed(aws, keys, secret="guessed"))[1]


def test_a_signature_for_one_service_does_not_open_another(aws, keys):
    request = signed(aws, keys)
    other = request.headers["Authorization"].replace("/sts/", "/iam/")
    assert "SignatureDoesNotMatch" in send(aws, request, Authorization=other)[1]


def test_a_key_that_nobody_has_is_refused_in_the_service_s_words(aws):
    unknown = aws.session("client-1")
    for service, operation, code in (
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("sagemaker", "list_training_jobs", "UnrecognizedClientException"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("ec2", "describe_vpcs", "AuthFailure"),
    ):
        client = unknown.client(service, aws_access_key_id="A" * 20, aws_secret_access_key="s" * 40)
        with pytest.raises(ClientError) as refused:
            getattr(client, operation)()
        assert refused.value.response["Error"]["Code"] == code


def test_an_old_signature_is_refused(aws, keys, monkeypatch):
    class Past(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - datetime.timedelta(minutes=6)

    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: Past.utcnow())
    status, text = send(aws, signed(aws, keys))
    assert status == 403
    assert "Signature expired" in text


def test_an_unsigned_request_is_refused(aws):
    url = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.request("POST", "/", WHO, {"Content-Type": FORM})
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"MissingAuthenticationToken" in answer.read()
    connection.close()


def test_a_presigned_url_opens_one_object_until_it_expires(aws):
    s3 = aws.session("client-1").client("s3", config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b/c.txt", Body=b"x")
    get = {"Bucket": "presigned", "Key": "a b/c.txt"}

    def status(url):
        connection = http.client.HTTPConnection(urlsplit(url).hostname, urlsplit(url).port, timeout=10)
        connection.request("GET", url.removeprefix(aws.endpoint))
        code = connection.getresponse().status
        connection.close()
        return code

    url = s3.generate_presigned_url("get_object", Params=get, ExpiresIn=60)
    assert status(url) == 200
    assert status(url.replace("c.txt", "d.txt")) == 403
    assert status(url + "&versionId=1") == 403
    s3.delete_object(**get)
    s3.delete_bucket(Bucket="presigned")


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        # moto would take the Action of the query, and the gate had judged the target's.
        ("/?Action=DeleteTrainingJob", {"X-Amz-Target": "SageMaker.ListTrainingJobs"}, b"{}"),
        ("/other", {"X-Amz-Target": "SageMaker.ListTrainingJobs"}, b"{}"),
        ("/", {"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}, b"{}"),
        ("/", {"X-Amz-Target": "SageMaker.NoSuchThing"}, b"{}"),
        ("/", {"X-Amz-Target": "SageMaker.ListTrainingJobs"}, b"[1]"),
        ("/", {"X-Amz-Target": "SageMaker.ListTrainingJobs"}, b"{"),
    ],
)
def test_a_request_that_means_two_things_is_refused(aws, keys, path, headers, body):
    status, text = send(aws, signed(aws, keys, service="sagemaker", path=path, headers=headers, body=body))
    assert status == 400
    assert json.loads(text)["__type"] == "UnknownOperationException"


@pytest.mark.parametrize("body", [b"Action=ListUsers&Action=DeleteUser&Version=2010-05-08", b"Version=2010-05-08"])
def test_a_form_with_two_actions_or_none_is_refused(aws, keys, body):
    assert "<Code>InvalidAction</Code>" in send(aws, signed(aws, keys, service="iam", body=body))[1]


@pytest.mark.parametrize("body", [b"&RoleArn=arn:aws:iam::444455556666:role/other", b"&RoleSessionName=x"])
def test_a_parameter_that_comes_twice_is_refused(aws, keys, body):
    """The gate would judge one of them and moto carry out the other."""
    ask = b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::444455556666:role/one&RoleSessionName=me"
    status, text = send(aws, signed(aws, keys, body=ask + body))
    assert (status, "a parameter is given twice" in text) == (400, True)


def test_a_bucket_s_name_in_the_host_is_not_heard(aws, keys):
    request = AWSRequest("GET", aws.endpoint + "/own/key", headers={"Host": "rows.s3.amazonaws.com"})
    S3SigV4Auth(Credentials(keys.access_key, keys.secret_key), "s3", "us-east-1").add_auth(request)
    assert send(aws, request.prepare(), Host="rows.s3.amazonaws.com")[0] == 404


def test_a_list_of_objects_that_is_no_xml_is_refused(aws, keys):
    s3 = aws.session("client-1").client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="no-xml")
    request = signed(aws, keys, service="s3", path="/no-xml?delete", body=b"<Delete>")
    assert send(aws, request)[0] == 405
    s3.delete_bucket(Bucket="no-xml")


def test_a_role_s_session_signs_urls_too(aws):
    admin = aws.session("client-1")
    trust = {"Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": "sts:AssumeRole"}
    grant = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    texts = [json.dumps({"Version": "2012-10-17", "Statement": [part]}) for part in (trust, grant)]
    iam = admin.client("iam")
    arn = iam.create_role(RoleName="signs", AssumeRolePolicyDocument=texts[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName="signs", PolicyName="p", PolicyDocument=texts[1])
    lent = admin.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    s3 = admin.client(
        "s3", aws_access_key_id=lent["AccessKeyId"], aws_secret_access_key=lent["SecretAccessKey"],
        aws_session_token=lent["SessionToken"], config=Config(signature_version="s3v4"),
    )  # fmt: skip
    s3.create_bucket(Bucket="signed-by-role")
    s3.put_object(Bucket="signed-by-role", Key="k", Body=b"x")
    url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": "signed-by-role", "Key": "k"}))
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.request("GET", f"{url.path}?{url.query}")
    assert connection.getresponse().status == 200
    connection.close()
    s3.delete_object(Bucket="signed-by-role", Key="k")
    s3.delete_bucket(Bucket="signed-by-role")
    iam.delete_role_policy(RoleName="signs", PolicyName="p")
    iam.delete_role(RoleName="signs")


def test_awkward_keys_and_payloads_are_signed_and_stored_alike(aws, tmp_path):
    s3 = aws.session("client-1").client("s3")
    s3.create_bucket(Bucket="awkward")
    content = bytes(range(256)) * 40_000  # 10 MB: a multipart upload
    (tmp_path / "f").write_bytes(content)
    for key in ("plain", "with space+plus", "ümlaut/ß", "a//b", "..", "q?x=1&y#z", "%2F", "trailing/"):
        s3.put_object(Bucket="awkward", Key=key, Body=key.encode())
        assert s3.get_object(Bucket="awkward", Key=key)["Body"].read() == key.encode()
    s3.upload_file(str(tmp_path / "f"), "awkward", "big")
    s3.copy_object(Bucket="awkward", Key="copy", CopySource={"Bucket": "awkward", "Key": "ümlaut/ß"})
    assert s3.get_object(Bucket="awkward", Key="big")["Body"].read() == content
    found = s3.list_objects_v2(Bucket="awkward")["Contents"]
    s3.delete_objects(Bucket="awkward", Delete={"Objects": [{"Key": item["Key"]} for item in found]})
    s3.delete_bucket(Bucket="awkward")
