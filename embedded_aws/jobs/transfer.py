"""Move a job's files between S3 and its folders, with the credentials of its execution role."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError


class TransferError(Exception):
    """S3 refused, or there is nothing where the request says there is something."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI.

    >>> split_uri("s3://rows/data/")
    ('rows', 'data/')
    """
    parts = urlsplit(uri)
    return parts.netloc, parts.path.removeprefix("/")


def relative_path(key: str, prefix: str) -> str:
    """Say where an object lands below its channel's folder.

    A prefix that names a folder stands for its content, with or without the last slash; any other prefix is the
    beginning of names.

    >>> relative_path("data/train/x.csv", "data/train/"), relative_path("data/train/x.csv", "data/train")
    ('x.csv', 'x.csv')
    >>> relative_path("data/train-1/x.csv", "data/train"), relative_path("data/x.csv", "data/x.csv")
    ('train-1/x.csv', 'x.csv')
    """
    below = key.removeprefix(prefix)
    if below.startswith("/"):
        return below[1:]
    return key[prefix.rfind("/") + 1 :]


def download_prefix(s3: Any, uri: str, folder: Path, *, empty: bool = False) -> int:
    """Fetch every object below a prefix; return how many bytes there were.

    With ``empty`` there may be none.

    Raises
    ------
    TransferError
        If there is no object, the bucket is missing or closed, or a key points out of the folder.
    """
    bucket, prefix = split_uri(uri)
    folder.mkdir(parents=True, exist_ok=True)
    n_objects = n_bytes = 0
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                n_objects += 1
                n_bytes += _download(s3, bucket, item["Key"], folder, prefix)
    except ClientError as error:
        raise TransferError(f"{_told(error)} under S3 URL {uri}") from error
    except (BotoCoreError, OSError) as error:
        raise TransferError(f"{error} under S3 URL {uri}") from error
    if not n_objects and not empty:
        raise TransferError(
            f"No S3 objects found under S3 URL {uri} given in input data source. Please ensure that the bucket exists "
            "in the selected region, that objects exist under that S3 prefix, and that the role may list them"
        )
    return n_bytes


def download_file(s3: Any, uri: str, file: Path) -> None:
    """Fetch one object.

    Raises
    ------
    TransferError
        If there is none, or S3 refuses.
    """
    bucket, key = split_uri(uri)
    try:
        file.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        raise TransferError(f"{_told(error)} for {uri}") from error


def upload_archive(s3: Any, folder: Path, uri: str, *, also: Path | None = None) -> None:
    """Pack the content of a folder, and one file more if there is one, and store it as one object: all or nothing.

    Raises
    ------
    TransferError
        If S3 refuses.
    """
    bucket, key = split_uri(uri)
    with tempfile.TemporaryFile(dir=folder.parent) as packed:
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as tar:
            for path in [*sorted(folder.iterdir()), *([also] if also else [])]:
                tar.add(path, arcname=path.name, filter=_nobody)
        packed.seek(0)
        _put(s3, bucket, key, packed)


def upload_folder(s3: Any, folder: Path, uri: str) -> None:
    """Store every file of a folder below a prefix.

    Raises
    ------
    TransferError
        If S3 refuses.
    """
    bucket, prefix = split_uri(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as content:
                _put(s3, bucket, f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}", content)


def _put(s3: Any, bucket: str, key: str, content: Any) -> None:
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content)
    except ClientError as error:
        raise TransferError(f"{_told(error)} for s3://{bucket}/{key}") from error


def _download(s3: Any, bucket: str, key: str, folder: Path, prefix: str) -> int:
    relative = relative_path(key, prefix)
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise TransferError(f"the key {key!r} points out of the channel")
    if not relative or relative.endswith("/"):  # what consoles store as a folder
        (folder / relative).mkdir(parents=True, exist_ok=True)
        return 0
    (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    n_bytes = 0
    with (folder / relative).open("wb") as file:
        for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
            n_bytes += file.write(chunk)
    return n_bytes


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _told(error: ClientError) -> str:
    return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
