"""Bundles and requests for tests of training jobs."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
IMAGE = "777788889999.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def bundle(files: Mapping[str, str | bytes]) -> bytes:
    """Pack files as a tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member, data = tarfile.TarInfo(name), content.encode() if isinstance(content, str) else content
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _job_policy(bucket: str) -> dict[str, Any]:
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    grants = {
        "s3:*": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "s3:ListBucket": "*",
        "ec2:*": "*",
        "ecr:*": "*",
        "logs": "*",
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": logs if action == "logs" else action, "Resource": resource}
            for action, resource in grants.items()
        ],
    }


@dataclass(frozen=True)
class Desk:
    """Starts small jobs in one account, in a bucket of their own."""

    session: boto3.Session
    bucket: str
    role: str

    @classmethod
    def open(cls, session: boto3.Session, bucket: str) -> Desk:
        """Make bucket and role."""
        session.client("s3").create_bucket(Bucket=bucket)
        iam = session.client("iam")
        role = iam.create_role(RoleName=f"{bucket}-job", AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(RoleName=f"{bucket}-job", PolicyName="job", PolicyDocument=json.dumps(_job_policy(bucket)))
        desk = cls(session, bucket, role["Role"]["Arn"])
        desk.s3.put_object(Bucket=bucket, Key="data/rows.csv", Body=b"a,b\n1,2\n")
        return desk

    @cached_property
    def s3(self) -> Any:
        return self.session.client("s3")

    @cached_property
    def sagemaker(self) -> Any:
        return self.session.client("sagemaker")

    @cached_property
    def logs(self) -> Any:
        return self.session.client("logs")

    def request(
        self,
        script: str = "",
        *,
        name: str,
        files: Mapping[str, str] | None = None,
        archive: bytes = b"",
        **changes: Any,
    ) -> dict[str, Any]:
        """Store a bundle and write the request of a job that runs ``script``."""
        key = f"code/{name}.tar.gz"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=archive or bundle({"train.py": script, **(files or {})}))
        own = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{self.bucket}/{key}"}
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/data/"}
        return {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
            "HyperParameters": own | changes.get("HyperParameters", {}),
        }

    def start(self, script: str = "", *, name: str, **changes: Any) -> str:
        """Start a job."""
        self.sagemaker.create_training_job(**self.request(script, name=name, **changes))
        return name

    def run(self, script: str = "", *, name: str, **changes: Any) -> dict[str, Any]:
        """Start a job and return its description when it has ended."""
        return self.ended(self.start(script, name=name, **changes))

    def describe(self, name: str) -> dict[str, Any]:
        """Return a job's description."""
        return self.sagemaker.describe_training_job(TrainingJobName=name)

    def ended(self, name: str, *, within: float = 20) -> dict[str, Any]:
        """Return a job's description when it has ended."""
        give_up = time.monotonic() + within
        while (job := self.describe(name))["TrainingJobStatus"] in ("InProgress", "Stopping"):
            assert time.monotonic() < give_up, f"{name} is still {job['SecondaryStatus']}"
            time.sleep(0.01)
        return job

    def lines(self, name: str, group: str = LOG_GROUP) -> list[str]:
        """Return a job's log."""
        streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        if not streams:
            return []
        stream = streams[0]["logStreamName"]
        answer = self.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return [event["message"] for event in answer["events"]]

    def says(self, name: str, line: str, group: str = LOG_GROUP, *, within: float = 10) -> None:
        """Wait for a line in a job's log."""
        give_up = time.monotonic() + within
        while True:
            there = self.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
            if there and line in self.lines(name, group):
                return
            assert time.monotonic() < give_up, f"{name} has not said {line!r}"
            time.sleep(0.02)

    def artefact(self, uri: str) -> dict[str, bytes]:
        """Return the files of an archive in S3."""
        key = uri.removeprefix(f"s3://{self.bucket}/")
        body = io.BytesIO(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        with tarfile.open(fileobj=body, mode="r:gz") as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
