"""SageMaker models and transform jobs: a version of the registry in the server's account, and tables through it."""

from __future__ import annotations

import gzip
import io
import secrets
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from workshop.errors import AccountError, ModelError
from workshop.packing.bundle import CLIENT_CODE
from workshop.science import model
from workshop.tracking.registry import Version

PROGRAM = Path(__file__).with_name("program.py")
TRAVELS = ("disclosure.py", "problem.py", "task.py")  # what the program needs of the clients' code
FOLDER = "model/serving"  # in the server's bucket: archives, tables to be scored and what came of them
ENVIRONMENT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
LOOK = 0.5  # seconds between two looks at a job


@dataclass(frozen=True)
class Served:
    """A model of SageMaker's, made of a version.

    Attributes
    ----------
    name : str
        SageMaker's.
    columns : tuple of str
        What it takes, in this order.
    """

    name: str
    bucket: str
    columns: tuple[str, ...]


def archive(version: Version) -> bytes:
    """Return ``model.tar.gz``: arrays, manifest and program; the same version gives the same bytes.

    Raises
    ------
    ModelError
        If the version is not what its manifest describes.
    """
    model.load_twin(version.folder)  # compares the checksums
    files = {name: (version.folder / name).read_bytes() for name in (model.TWIN, model.MANIFEST)}
    files |= {f"code/{name}": (CLIENT_CODE / name).read_bytes() for name in TRAVELS}
    files["code/inference.py"] = PROGRAM.read_bytes()
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w") as tar:
            for name, content in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def make(session: boto3.Session, bucket: str, version: Version, *, role: str, image: str) -> Served:
    """Make a version a model of SageMaker's, without a network: it needs none.

    Parameters
    ----------
    session : boto3.Session
        Of the server's account.
    role : str
        ARN of the role that the model's container has; it reads the archive, and tables in the same folder.
    image : str
        SageMaker's scikit-learn image of the region.

    Raises
    ------
    AccountError
        If the account refuses.
    """
    name = f"fl-{version.problem}-{version.number}-{secrets.token_hex(3)}"
    key = f"{FOLDER}/{name}/model.tar.gz"
    container = {"Image": image, "ModelDataUrl": f"s3://{bucket}/{key}", "Environment": ENVIRONMENT}
    try:
        session.client("s3").put_object(Bucket=bucket, Key=key, Body=archive(version))
        session.client("sagemaker").create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, EnableNetworkIsolation=True
        )
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account server: {version} does not become a model of SageMaker's: {error}") from error
    return Served(name, bucket, tuple(model.example(version.folder).columns))


def batch(
    session: boto3.Session,
    served: Served,
    table: pd.DataFrame,
    *,
    instance_type: str = "ml.m5.large",
    deadline: float = 900.0,
) -> np.ndarray:
    """Score a table by a transform job; return the probability of label 1 of every row, in its order.

    Parameters
    ----------
    table : DataFrame
        With the model's columns, and possibly others, which do not travel.
    deadline : float
        Seconds; a machine takes minutes to start.

    Raises
    ------
    AccountError
        If the account refuses.
    ModelError
        If the job fails, or is not over in time; it is stopped then.
    """
    name = f"{served.name}-{secrets.token_hex(3)}"
    given, taken = f"{FOLDER}/{served.name}/{name}/table.csv", f"{FOLDER}/{served.name}/{name}/scores"
    s3, sagemaker = session.client("s3"), session.client("sagemaker")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{served.bucket}/{given}"}
    try:
        s3.put_object(Bucket=served.bucket, Key=given, Body=to_csv(table, served).encode())
        sagemaker.create_transform_job(
            TransformJobName=name, ModelName=served.name, BatchStrategy="MultiRecord",
            TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={"S3OutputPath": f"s3://{served.bucket}/{taken}", "Accept": "text/csv"},
            TransformResources={"InstanceType": instance_type, "InstanceCount": 1},
        )  # fmt: skip
        _wait(sagemaker, name, deadline)
        body = s3.get_object(Bucket=served.bucket, Key=f"{taken}/table.csv.out")["Body"].read().decode()
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account server: the transform job {name} is refused: {error}") from error
    scores = np.array([float(line) for line in body.split()])
    if len(scores) != len(table):
        raise ModelError(f"the transform job {name} answers {len(scores)} rows, and {len(table)} were sent")
    return scores


def _wait(sagemaker, name: str, deadline: float) -> None:
    give_up = time.monotonic() + deadline
    while (told := sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        if time.monotonic() > give_up:
            sagemaker.stop_transform_job(TransformJobName=name)
            raise ModelError(f"the transform job {name} is not over after {deadline:.0f} s; it is stopped")
        time.sleep(LOOK)
    if told["TransformJobStatus"] != "Completed":
        raise ModelError(
            f"the transform job {name} is {told['TransformJobStatus']}: {told.get('FailureReason', '')}; its log is "
            "/aws/sagemaker/TransformJobs"
        )


def forget(session: boto3.Session, served: Served) -> None:
    """Delete the model, its archive, and the tables that were scored; what is gone already is left alone.

    Raises
    ------
    AccountError
        If the account refuses.
    """
    s3, sagemaker = session.client("s3"), session.client("sagemaker")
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=served.bucket, Prefix=f"{FOLDER}/{served.name}/")
        for key in [entry["Key"] for page in pages for entry in page.get("Contents", [])]:
            s3.delete_object(Bucket=served.bucket, Key=key)
        try:
            sagemaker.delete_model(ModelName=served.name)
        except ClientError as error:
            if "Could not find" not in str(error):
                raise
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account server: {served.name} is not deleted: {error}") from error


def to_csv(table: pd.DataFrame, served: Served) -> str:
    """Write the model's columns without a header: where a table is cut into requests, only the first would have it."""
    return table[list(served.columns)].to_csv(index=False, header=False)
