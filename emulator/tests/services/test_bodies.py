"""What a large object costs the embedded AWS of memory, and that its bytes, tags and checksums are what they were."""

import base64
import functools
import hashlib
import io
import json
import os
import time
import zlib
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

SIZE = 64_000_000
PART = 8 * 1024 * 1024  # of boto3's transfers
md5 = functools.partial(hashlib.md5, usedforsecurity=False)


@pytest.fixture(scope="module")
def s3(aws):
    client = aws.session("client-2").client("s3")
    client.create_bucket(Bucket="large-objects")
    client.put_object(Bucket="large-objects", Key="warm", Body=bytes(PART + 1))
    client.get_object(Bucket="large-objects", Key="warm")["Body"].read()
    return client


@pytest.fixture(scope="module")
def content():
    return os.urandom(1_000_000) * (SIZE // 1_000_000)


def memory(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


@pytest.fixture
def peak(aws):
    """Return a function that says by how many bytes the server's memory grew at most while something was done."""

    def measured(act):
        reset = Path(f"/proc/{aws.pid}/clear_refs")
        if not os.access(reset, os.W_OK):
            pytest.skip("the highest memory of a process can only be reset on Linux")
        reset.write_text("5")
        before = memory(aws.pid, "VmRSS")
        act()
        return memory(aws.pid, "VmHWM") - before

    return measured


def put(s3, content):
    s3.put_object(Bucket="large-objects", Key="put", Body=content)


def upload(s3, content):
    s3.upload_fileobj(io.BytesIO(content), "large-objects", "uploaded")


def copy(s3, content):
    s3.copy_object(Bucket="large-objects", Key="copy", CopySource={"Bucket": "large-objects", "Key": "put"})


def get(s3, content):
    assert s3.get_object(Bucket="large-objects", Key="put")["Body"].read() == content


@pytest.mark.parametrize("act", [put, upload, copy, get])
def test_a_large_object_is_in_memory_less_than_twice(s3, content, peak, figure, act):
    if act in (copy, get):
        put(s3, content)
        time.sleep(0.5)  # its request's end is not the end of what it needed
    grown = peak(lambda: act(s3, content))
    figure(f"{act.__name__}: {grown / SIZE:.2f} times the object")
    assert grown < 1.9 * SIZE


def test_objects_that_are_stored_one_after_another_cost_no_more_than_one(s3, content, peak):
    put(s3, content)
    assert peak(lambda: [put(s3, content) for _ in range(4)]) < 1.9 * SIZE


def test_an_uploaded_object_is_whole_and_has_the_tag_of_its_parts(s3, content):
    """Amazon S3 user guide, checking object integrity: the MD5 of the parts' MD5s, and how many there are."""
    upload(s3, content)
    answer = s3.get_object(Bucket="large-objects", Key="uploaded")
    assert answer["Body"].read() == content
    parts = [content[start : start + PART] for start in range(0, SIZE, PART)]
    digest = md5(b"".join(md5(part).digest() for part in parts)).hexdigest()
    assert answer["ETag"] == f'"{digest}-{len(parts)}"'


def test_a_stored_object_has_the_tag_and_the_checksum_of_its_content(s3, content):
    answer = s3.put_object(Bucket="large-objects", Key="put", Body=content, ChecksumAlgorithm="CRC32")
    assert answer["ETag"] == f'"{md5(content).hexdigest()}"'
    assert answer["ChecksumCRC32"] == base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def test_an_upload_is_not_completed_with_parts_that_are_wrong_missing_or_too_small(s3):
    """Amazon S3 API reference, CompleteMultipartUpload, errors."""
    where = {"Bucket": "large-objects", "Key": "parts"}
    upload_id = s3.create_multipart_upload(**where)["UploadId"]
    tags = [
        s3.upload_part(**where, UploadId=upload_id, PartNumber=number, Body=b"x" * size)["ETag"]
        for number, size in ((1, 5 * 1024 * 1024), (2, 10), (3, 10))
    ]

    def complete(*parts):
        listed = [{"PartNumber": number, "ETag": tag} for number, tag in parts]
        return s3.complete_multipart_upload(**where, UploadId=upload_id, MultipartUpload={"Parts": listed})

    for code, parts in (
        ("InvalidPart", [(1, tags[1])]),
        ("InvalidPart", [(1, tags[0]), (9, tags[1])]),
        ("EntityTooSmall", [(1, tags[0]), (2, tags[1]), (3, tags[2])]),
    ):
        with pytest.raises(ClientError) as refused:
            complete(*parts)
        assert refused.value.response["Error"]["Code"] == code
    complete((1, tags[0]), (2, tags[1]))
    assert s3.head_object(**where)["ContentLength"] == 5 * 1024 * 1024 + 10


def test_an_empty_body_and_a_body_in_chunks_arrive(s3, aws):
    import http.client

    s3.put_object(Bucket="large-objects", Key="empty")
    assert s3.get_object(Bucket="large-objects", Key="empty")["Body"].read() == b""
    signing = aws.session("client-2").client("s3", config=Config(signature_version="s3v4"))
    url = signing.generate_presigned_url("put_object", Params={"Bucket": "large-objects", "Key": "chunked"})
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("PUT", f"/{path}", body=iter([b"one", b"two"]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 200
    connection.close()
    assert s3.get_object(Bucket="large-objects", Key="chunked")["Body"].read() == b"onetwo"


def test_a_client_that_goes_in_the_middle_of_a_body_leaves_nothing(s3, aws):
    import socket

    record = json.loads((aws.home / "embedded" / "server.json").read_text())
    with socket.create_connection(("127.0.0.1", record["port"])) as connection:
        connection.sendall(b"PUT /large-objects/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
    with pytest.raises(ClientError):
        s3.head_object(Bucket="large-objects", Key="half")


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("s3", lambda client: client.get_object(Bucket="nobody-s-bucket", Key="x")),
        ("ec2", lambda client: client.delete_vpc(VpcId="vpc-0000000000000000f")),
        ("iam", lambda client: client.list_account_aliases()),  # not served
        ("sagemaker", lambda client: client.list_images()),
    ],
)
def test_every_refusal_has_a_request_id(aws, service, call):
    with pytest.raises(ClientError) as refused:
        call(aws.session("client-1").client(service))
    assert refused.value.response["ResponseMetadata"]["RequestId"]
