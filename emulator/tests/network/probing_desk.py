"""Start small jobs and read what they print, as tests of jobs do."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError
from training_desk import IMAGE

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@dataclass(frozen=True)
class Desk:
    """Starts jobs in one account."""

    session: boto3.Session
    bucket: str
    role: str
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a client of the account."""
        if service not in self.clients:
            self.clients[service] = self.session.client(service)
        return self.clients[service]

    def start(self, script: str, *, name: str, **request: Any) -> str:
        """Start a job that runs a script."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo("train.py")
            member.size = len(script.encode())
            tar.addfile(member, io.BytesIO(script.encode()))
        self.client("s3").put_object(Bucket=self.bucket, Key=f"{name}.tar.gz", Body=packed.getvalue())
        code = {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"s3://{self.bucket}/{name}.tar.gz",
        }
        self.client("sagemaker").create_training_job(
            TrainingJobName=name,
            RoleArn=request.pop("RoleArn", self.role),
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{self.bucket}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            HyperParameters=code,
            **{name: value for name, value in request.items() if value is not None},
        )
        return name

    def describe(self, name: str) -> dict[str, Any]:
        """Return a job's description."""
        return self.client("sagemaker").describe_training_job(TrainingJobName=name)

    def ended(self, name: str) -> dict[str, Any]:
        """Return a job's description when it has ended."""
        until(lambda: self.describe(name)["TrainingJobStatus"] not in ("InProgress", "Stopping"), f"{name} goes on")
        return self.describe(name)

    def lines(self, name: str) -> list[str]:
        """Return what a job has printed."""
        logs = self.client("logs")
        try:
            streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        except ClientError:
            return []
        found = [
            logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=one["logStreamName"], startFromHead=True)
            for one in streams
        ]
        return [event["message"] for answer in found for event in answer["events"]]


def open_desk(session: boto3.Session, account: str) -> Desk:
    """Make bucket and role in an account."""
    bucket = f"probes-of-{account}"
    session.client("s3").create_bucket(Bucket=bucket)
    iam = session.client("iam")
    role = iam.create_role(RoleName="probe", AssumeRolePolicyDocument=as_policy(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="probe", PolicyName="everything", PolicyDocument=as_policy(EVERYTHING))
    return Desk(session, bucket, role)


def until(is_so: Callable[[], Any], otherwise: str, *, within: float = 20) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.02)


def as_policy(statement: dict[str, Any]) -> str:
    """Return a policy of one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
