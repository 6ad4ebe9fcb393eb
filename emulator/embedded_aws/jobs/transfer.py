"""S3 transfers between buckets and a job's folders, with the credentials of its execution role."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.jobs import folders

KEY_BYTES = 1024  # S3 user guide, naming objects: so many bytes of UTF-8 at most
NAMED = 5  # files that a message names; more are counted


class TransferError(Exception):
    """S3 refused, or there is nothing where the request says there is something."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI: what stands before and after the first slash, whatever the key holds.

    >>> split_uri("s3://rows/set#2/a%20b?.csv"), split_uri("s3://rows")
    (('rows', 'set#2/a%20b?.csv'), ('rows', ''))
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def below(uri: str, name: str = "") -> str:
    """Return the URI of a name in the folder that a URI stands for, with or without its last slash.

    >>> below("s3://rows/out", "job/model.tar.gz"), below("s3://rows/out/"), below("s3://rows")
    ('s3://rows/out/job/model.tar.gz', 's3://rows/out/', 's3://rows/')
    """
    return f"{uri.removesuffix('/')}/{name}"


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
        raise TransferError(f"{_error_message(error)} under S3 URL {uri}") from error
    except (BotoCoreError, OSError) as error:
        raise TransferError(f"{_why(error)} under S3 URL {uri}") from error
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
        with file.open("wb") as out:
            shutil.copyfileobj(s3.get_object(Bucket=bucket, Key=key)["Body"], out, 1 << 20)
    except ClientError as error:
        raise TransferError(f"{_error_message(error)} for {uri}") from error
    except (BotoCoreError, OSError) as error:
        raise TransferError(f"{_why(error)} for {uri}") from error


def keys(s3: Any, uri: str) -> list[str]:
    """Return the keys of all objects below a prefix; what consoles store as a folder is none.

    Raises
    ------
    TransferError
        If there is no object, or the bucket is missing or closed.
    """
    bucket, prefix = split_uri(uri)
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]
    except ClientError as error:
        raise TransferError(f"{_error_message(error)} under S3 URL {uri}") from error
    except BotoCoreError as error:
        raise TransferError(f"{error} under S3 URL {uri}") from error
    if not found:
        raise TransferError(f"No S3 objects found under S3 URL {uri}")
    return found


def read(s3: Any, bucket: str, key: str) -> bytes:
    """Return an object.

    Raises
    ------
    TransferError
        If S3 refuses.
    """
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise TransferError(f"{_error_message(error)} for s3://{bucket}/{key}") from error
    except BotoCoreError as error:
        raise TransferError(f"{error} for s3://{bucket}/{key}") from error


def store(s3: Any, uri: str, content: bytes, *, key_id: str = "") -> None:
    """Store an object.

    Raises
    ------
    TransferError
        If S3 refuses.
    """
    _put(s3, *split_uri(uri), content, key_id)


def upload_archive(s3: Any, folder: Path, uri: str, *, base: Path, also: Path | None = None, key_id: str = "") -> None:
    """Pack the content of a folder, and one file more if there is one, and store it as one object: all or nothing.

    Sockets, pipes and devices are left out; a link stays a link. ``base`` stands for ``/opt/ml``. The object is
    encrypted with a KMS key, if one is given, else as the bucket is.

    Raises
    ------
    TransferError
        If S3 refuses, or a file cannot be read; names the file.
    """
    bucket, key = split_uri(uri)
    try:
        with tempfile.TemporaryFile(dir=base.parent.parent) as packed:
            with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as tar:
                for name in _contents(folder, base, stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK):
                    _pack(tar, folder / name, name, base=base)
                if also:
                    _pack(tar, also, also.name, base=base)
            packed.seek(0)
            _put(s3, bucket, key, packed, key_id)
    except OSError as error:  # the disk is full, or the job's folder is gone
        raise TransferError(
            f"/opt/ml/{folder.relative_to(base)} cannot be packed: {error.strerror or error}"
        ) from error


def upload_folder(s3: Any, folder: Path, uri: str, *, base: Path, key_id: str = "") -> None:
    """Store every plain file of a folder below a prefix, and then name those that could not be stored.

    Raises
    ------
    TransferError
        If S3 refuses, cannot have an object of such a name, or a file cannot be read.
    """
    complaints = []
    for name in _contents(folder, base, stat.S_ISREG, complaints=complaints):
        bucket, key = split_uri(below(uri, name))
        try:
            if len(key.encode()) > KEY_BYTES:
                complaints.append(f"{_shown(name)}: its key {key[:40]!r}... would have more than {KEY_BYTES} bytes")
                continue
            with (folder / name).open("rb") as content:
                _put(s3, bucket, key, content, key_id)
        except FileNotFoundError:
            continue
        except UnicodeEncodeError:
            complaints.append(f"{_shown(name)}: the name is not UTF-8, as S3's keys are")
        except OSError as error:
            complaints.append(f"{_shown(name)}: {error.strerror}")
    if complaints:
        more = len(complaints) - NAMED
        raise TransferError("; ".join(complaints[:NAMED]) + (f"; and {more} files more" if more > 0 else ""))


def _contents(folder: Path, base: Path, *kinds: Any, complaints: list[str] | None = None) -> Iterator[str]:
    """Yield the relative path of what is in a folder and of one of the kinds; complain of what cannot be looked at.

    A folder that does not exist is empty; anything else in its place is an error.
    """
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise TransferError(f"/opt/ml/{folder.relative_to(base)} is not a folder any more")
    for name, about in folders.walk(folder):
        if not isinstance(about, OSError):
            if any(is_kind(about.st_mode) for is_kind in kinds):
                yield name
        elif complaints is None:
            raise TransferError(f"{_shown(name)}: {about.strerror}")
        else:
            complaints.append(f"{_shown(name)}: {about.strerror}")


def _shown(name: str) -> str:
    """Spell a name, whatever it is, as ASCII and not too long."""
    return ascii(name if len(name) <= 120 else f"{name[:100]}...{name[-17:]}")


def _pack(tar: tarfile.TarFile, path: Path, name: str, *, base: Path) -> None:
    try:
        member = tar.gettarinfo(path, arcname=name)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        if member.issym():  # no path of this machine leaves it
            member.linkname = member.linkname.replace(str(base), "/opt/ml")
        if member.isreg():
            with path.open("rb") as content:
                tar.addfile(member, content)
        else:
            tar.addfile(member)
    except FileNotFoundError:
        return
    except OSError as error:
        raise TransferError(f"{_shown(name)}: {error.strerror or error}") from error


def _put(s3: Any, bucket: str, key: str, content: Any, key_id: str) -> None:
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content, **encryption)
    except ClientError as error:
        raise TransferError(f"{_error_message(error)} for s3://{bucket}/{key}") from error
    except BotoCoreError as error:
        raise TransferError(f"{error} for s3://{bucket}/{key}") from error


def _download(s3: Any, bucket: str, key: str, folder: Path, prefix: str) -> int:
    relative = relative_path(key, prefix)
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise TransferError(f"the key {key!r} points out of the channel")
    try:
        if not relative or relative.endswith("/"):  # what consoles store as a folder
            (folder / relative).mkdir(parents=True, exist_ok=True)
            return 0
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        n_bytes = 0
        with (folder / relative).open("xb") as file:
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
                n_bytes += file.write(chunk)
        return n_bytes
    except (OSError, ValueError) as error:
        raise TransferError(f"the key {key!r} cannot be a file of the channel: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Say what went wrong without the path of this machine that an OSError holds."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _error_message(error: ClientError) -> str:
    return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
