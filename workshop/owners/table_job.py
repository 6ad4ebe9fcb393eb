"""SageMaker Processing job of Spark: an owner's table, built in the owner's account from the files in its bucket.

Nothing leaves the account: claims, list, program and table lie in the owner's bucket, and the job has no network.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from data_prep import cms
from data_prep.cms import files, plan
from data_prep.cms.recipe import Choices
from workshop.aws import images
from workshop.errors import AccountError, JobError

PREFIX = "cms"  # in the owner's bucket
LOCAL = "/opt/ml/processing"  # of the job
PROGRAM = "build_table.py"
START = "import sys\n\nfrom data_prep.cms.spark_job import main\n\nsys.exit(main())\n"
TRAVELS = (
    "__init__.py",
    "plan.py",
    "files.py",
    "layouts.py",
    "recipe.py",
    "spark.py",
    "spark_job.py",
    "layouts.toml",
    "exclusions.toml",
)
LOOK = 0.5  # seconds between two looks at a job
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"


@dataclass(frozen=True)
class Place:
    """Where a table is built.

    Attributes
    ----------
    account : str
        What the federation calls it.
    session : boto3.Session
        Of its owner.
    bucket, key : str
        Of its storage stack: name, and ARN of the key.
    role : str
        ARN of the job's role, ``TableJobRoleArn`` of the stack ``fl-table-job``.
    image : str
        SageMaker's Spark image of the region.
    """

    account: str
    session: boto3.Session
    bucket: str
    key: str
    role: str
    image: str


def place(account: str, session: boto3.Session, outputs: Mapping[str, Mapping[str, str]]) -> Place:
    """Return where an account builds its table, from what its stacks have told.

    Parameters
    ----------
    outputs : mapping
        Those of ``fl-storage`` and ``fl-table-job``, by stack.
    """
    storage = outputs["fl-storage"]
    return Place(
        account, session, bucket=storage["Bucket"], key=storage["KeyArn"],
        role=outputs["fl-table-job"]["TableJobRoleArn"], image=images.spark_image(session.region_name),
    )  # fmt: skip


def program() -> dict[str, bytes]:
    """Return the files that travel: the recipe and its Spark engine, no more."""
    package = Path(cms.__file__).parent
    travels = {f"data_prep/cms/{name}": (package / name).read_bytes() for name in TRAVELS}
    travels |= {f"data_prep/{name}": (package.parent / name).read_bytes() for name in ("__init__.py", "errors.py")}
    return travels | {PROGRAM: START.encode()}


def upload(place: Place, folder: Path, leie: Path, tell: Callable[[str, int, int], None] = lambda *_: None) -> None:
    """Copy claims, list and program into the owner's bucket; what is there with the same size and checksum stays.

    Raises
    ------
    files.FilesError, layouts.LayoutError
        If a file is none of the published ones; nothing is uploaded then.
    AccountError
        If the bucket refuses.
    """
    planned = plan.plan(folder, leie)
    paths = {f"{PREFIX}/files/{source.path.name}": source.path for source in planned.sources}
    paths[f"{PREFIX}/leie/UPDATED.csv"] = leie
    if planned.generated:
        paths[f"{PREFIX}/files/{files.STAMP}"] = folder / files.STAMP
    client = place.session.client("s3")
    try:
        for key, path in paths.items():
            _send(client, place.bucket, key, path, tell)
        for name, body in program().items():
            client.put_object(Bucket=place.bucket, Key=f"{PREFIX}/program/{name}", Body=body)
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise AccountError(
            f"account {place.account}: bucket {place.bucket} does not take the files: {error}"
        ) from error


def _send(client: Any, bucket: str, key: str, path: Path, tell: Callable[[str, int, int], None]) -> None:
    digest, size, sent = files.sha256(path), path.stat().st_size, 0
    try:
        if client.head_object(Bucket=bucket, Key=key)["Metadata"].get("sha256") == digest:
            tell(path.name, size, size)
            return
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise

    def count(more: int) -> None:
        nonlocal sent
        sent += more
        tell(path.name, sent, size)

    client.upload_file(str(path), bucket, key, ExtraArgs={"Metadata": {"sha256": digest}}, Callback=count)


def request(
    place: Place, name: str, choices: Choices, *, instance_type: str, instances: int, hours: float
) -> dict[str, Any]:
    """Return the request of a job, with every path as an argument."""

    def given(what: str) -> dict[str, Any]:
        source = {"S3Uri": f"s3://{place.bucket}/{PREFIX}/{what}/", "LocalPath": f"{LOCAL}/input/{what}"}
        return {"InputName": what, "S3Input": source | {"S3DataType": "S3Prefix", "S3InputMode": "File"}}

    told = {"files": f"{LOCAL}/input/files", "leie": f"{LOCAL}/input/leie/UPDATED.csv", "output": f"{LOCAL}/output"}
    arguments = [word for key, value in told.items() for word in (f"--{key}", value)]
    taken = {
        "S3Uri": f"s3://{place.bucket}/{PREFIX}/table/{name}",
        "LocalPath": told["output"],
        "S3UploadMode": "EndOfJob",
    }
    machines = {"InstanceType": instance_type, "InstanceCount": instances, "VolumeSizeInGB": 100}
    return {
        "ProcessingJobName": name,
        "RoleArn": place.role,
        "AppSpecification": {
            "ImageUri": place.image,
            "ContainerEntrypoint": ["smspark-submit", f"{LOCAL}/input/program/{PROGRAM}"],
            "ContainerArguments": [*arguments, "--choices", json.dumps(choices.told())],
        },
        "ProcessingInputs": [given(what) for what in ("program", "files", "leie")],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "table", "S3Output": taken}],
            "KmsKeyId": place.key,
        },
        "ProcessingResources": {"ClusterConfig": machines},
        # Machines of one job talk to each other; one alone talks to nobody.
        "NetworkConfig": {"EnableNetworkIsolation": instances == 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": int(hours * 3600)},
    }


def run(
    place: Place, choices: Choices, *, instance_type: str = "ml.m5.xlarge", instances: int = 1, hours: float = 4.0,
    tell: Callable[[str], None] = lambda status: None,
) -> str:  # fmt: skip
    """Run the job on what was uploaded; return the prefix of the table in the bucket.

    Parameters
    ----------
    instances : int
        Machines; the embedded AWS runs one.
    hours : float
        After which the job is ended.

    Raises
    ------
    AccountError
        If the account refuses.
    JobError
        If the job fails; says why, and where its log is.
    """
    name = f"fl-table-{secrets.token_hex(4)}"
    sagemaker = place.session.client("sagemaker")
    asked = request(place, name, choices, instance_type=instance_type, instances=instances, hours=hours)
    try:
        sagemaker.create_processing_job(**asked)
        give_up = time.monotonic() + hours * 3600 + 1800  # machines start and end
        while True:
            told = sagemaker.describe_processing_job(ProcessingJobName=name)
            tell(told["ProcessingJobStatus"])
            if told["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"):
                break
            if time.monotonic() > give_up:
                sagemaker.stop_processing_job(ProcessingJobName=name)
                raise JobError(f"account {place.account}: {name} is not over in time; it is being stopped")
            time.sleep(LOOK)
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {place.account}: the job {name} is refused: {error}") from error
    if told["ProcessingJobStatus"] != "Completed":
        said = told.get("ExitMessage", "").strip().splitlines()[:1]  # of Spark's image its first line says enough
        why = ": ".join(filter(None, (told.get("FailureReason"), *said)))
        raise JobError(f"account {place.account}: {name} is {told['ProcessingJobStatus']}: {why}; its log: {LOG_GROUP}")
    return f"{PREFIX}/table/{name}"


def fetch(place: Place, prefix: str, out: Path) -> dict[str, Any]:
    """Copy a table that was built into a folder of its owner's machine; return its manifest.

    Raises
    ------
    AccountError
        If the bucket does not give it.
    """
    client = place.session.client("s3")
    out.mkdir(parents=True, exist_ok=True)
    try:
        for name in (plan.TABLE, "wide.csv", plan.MANIFEST):
            client.download_file(place.bucket, f"{prefix}/{name}", str(out / f"{name}.part"))
            (out / f"{name}.part").replace(out / name)
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {place.account}: {prefix} is not there to fetch: {error}") from error
    return json.loads((out / plan.MANIFEST).read_text())
