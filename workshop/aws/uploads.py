"""S3 uploads: every owner's files in the owner's bucket, and what the server's notebook takes over from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from client_code import ledger
from data_prep import owners
from workshop import problems, state
from workshop.aws import accounts
from workshop.errors import AccountError, BundleError
from workshop.packing import bundle, wheelhouse

STATE = "state/state.json"
PROBLEM = "state/problem.toml"


def upload(name: str, session: boto3.Session, bucket: str, *, tell_again: bool = False) -> pd.DataFrame:
    """Copy an owner's folder to ``data/`` of its bucket, and for a client the code to ``code/source.tar.gz``.

    Parameters
    ----------
    name : str
        ``"server"`` or a client's name; its folder was written by 01_prepare_data.
    session : boto3.Session
        The owner's own session: nobody else may write here.
    tell_again : bool
        Forget which sums this account's jobs have told: the owner knows that the rows differ by a few from others whose
        sums somebody has, and who has both can work these few out.

    Returns
    -------
    DataFrame
        One line per object but the owner's secret: key, kB, and the first characters of its SHA-256.

    Raises
    ------
    data_prep.owners.ManifestError
        If a file is not the one its manifest describes: nothing is uploaded then.
    AccountError
        If the bucket refuses; names the account.
    """
    objects = _objects(name)
    client = session.client("s3")
    for key, body in objects.items():
        try:
            client.put_object(Bucket=bucket, Key=key, Body=body)
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"account {name}: bucket {bucket} refused {key}: {error}") from error
    shown = {key: body for key, body in objects.items() if key != f"data/{owners.SALT}"}
    if tell_again:
        try:
            client.delete_object(Bucket=bucket, Key=ledger.KEY)
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"account {name}: bucket {bucket} does not forget {ledger.KEY}: {error}") from error
    lines = [(key, round(len(body) / 1000, 1), _sha256(body)[:12]) for key, body in shown.items()]
    return pd.DataFrame(lines, columns=["object", "kB", "sha256"], index=pd.Index([name] * len(lines), name="owner"))


def publish(session: boto3.Session, bucket: str) -> list[str]:
    """Put what the server's notebooks need to know into its own bucket; return the names of the entries.

    Raises
    ------
    AccountError
        If the bucket does not take it.
    """
    names = ["data", "accounts"]
    entries = dict(zip(names, state.load(*names), strict=True))
    try:
        session.client("s3").put_object(Bucket=bucket, Key=STATE, Body=json.dumps(entries).encode())
        session.client("s3").put_object(Bucket=bucket, Key=PROBLEM, Body=problems.path().read_bytes())
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account server: bucket {bucket} refused {STATE}: {error}") from error
    return names


def fetch(session: boto3.Session) -> list[str]:
    """On the server's notebook instance, take over what ``publish`` has put there; elsewhere do nothing.

    Returns
    -------
    list of str
        What was taken over: entries of the state, and files.

    Raises
    ------
    AccountError
        If the bucket does not give it.
    """
    note = state.home() / "server-bucket"  # cloudformation/install-on-notebook.sh wrote it
    if not note.exists():
        return []
    bucket, client = note.read_text().strip(), session.client("s3")
    folder = state.home() / "data" / "server"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        entries = json.loads(client.get_object(Bucket=bucket, Key=STATE)["Body"].read())
        test = client.get_object(Bucket=bucket, Key="data/test.csv")["Body"].read()
        described = client.get_object(Bucket=bucket, Key=PROBLEM)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise AccountError(
            f"account server: bucket {bucket} does not hold what this notebook needs ({error}): its owner runs "
            "`python -m workshop upload server` first"
        ) from error
    (folder / "test.csv").write_bytes(test)
    (state.home() / "problem.toml").write_bytes(described)
    state.save(**entries)
    return [*entries, "test.csv"]


def verify(sessions: Mapping[str, boto3.Session], buckets: Mapping[str, str]) -> bool:
    """Return whether every bucket gives back, byte for byte, what its owner uploaded.

    Raises
    ------
    AccountError
        If one does not answer.
    """
    for name, session in sessions.items():
        client = session.client("s3")
        for key, body in _objects(name).items():
            try:
                content = client.get_object(Bucket=buckets[name], Key=key)["Body"].read()
            except (BotoCoreError, ClientError) as error:
                raise AccountError(f"account {name}: bucket {buckets[name]} does not give {key}: {error}") from error
            if content != body:
                return False
    return True


def _objects(name: str) -> dict[str, bytes]:
    folder: Path = state.home() / "data" / name
    manifest = owners.verify_owner(folder)
    objects = {f"data/{file}": (folder / file).read_bytes() for file in sorted(manifest["files"])}
    if name != "server":
        objects[f"data/{owners.SALT}"] = (folder / owners.SALT).read_bytes()
        objects["code/source.tar.gz"] = bundle.source_archive(wheels=wheels())
    return objects


def wheels() -> Path | None:
    """Return the wheels that travel with the code: on AWS those for the image; here none, Flower is installed.

    Raises
    ------
    BundleError
        If they were not collected yet.
    """
    if accounts.target() == "embedded":
        return None
    folder = wheelhouse.FOLDER / wheelhouse.IMAGE.name
    if not any(folder.glob("*.whl")):
        raise BundleError("a job on AWS has no internet and brings its own wheels: run `make wheelhouse` first")
    return folder


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
