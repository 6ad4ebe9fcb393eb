"""Users, policies and requests made by hand, for the tests of this folder."""

import http.client
import json
from itertools import count
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

OWNER, OTHER = "444455556666", "777788889999"
NUMBERS = count()
FORM = "application/x-www-form-urlencoded; charset=utf-8"
ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


def document(*statements):
    numbered = [{"Sid": f"S{number}"} | statement for number, statement in enumerate(statements, start=1)]
    return json.dumps({"Version": "2012-10-17", "Statement": numbered})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def trusting(principal, **more):
    return {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}


def as_arguments(keys):
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    given = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {argument: keys[name] for argument, name in zip(given, names, strict=True)}


def refusal(call, **request):
    with pytest.raises(ClientError) as refused:
        call(**request)
    return refused.value.response["Error"]


class Keyed:
    """Somebody with an access key; ``raw`` signs and sends whatever it is told."""

    def __init__(self, aws, account, keys, arn):
        self.aws, self.arn, self.name = aws, arn, arn.rpartition("/")[2]
        self.keys = as_arguments({"SessionToken": None, **keys})
        self._session = aws.session(account)

    def client(self, service, **more):
        return self._session.client(service, **{"config": ONCE, **self.keys, **more})

    def signed(self, method, target, *, service="s3", body=b"", region="us-east-1", **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, self.aws.endpoint + target, data=body, headers=given)
        credentials = Credentials(*self.keys.values())
        (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region).add_auth(request)
        return dict(request.headers.items())

    def raw(self, method, target, *, body=b"", more=None, **how):
        headers = self.signed(method, target, body=body, **how)
        return send(self.aws, method, target, {**headers, **(more or {})}, body)

    def form(self, service, body, **how):
        return self.raw("POST", "/", service=service, body=body, content_type=FORM, **how)

    def json(self, service, target, body, **how):
        return self.raw("POST", "/", service=service, body=body, x_amz_target=target, **how)


def send(aws, method, target, headers, body=b""):
    """Send a request as it is; return status and text of the answer."""
    url = urlsplit(aws.endpoint)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.request(method, target, body or None, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text
