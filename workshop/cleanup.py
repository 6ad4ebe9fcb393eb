"""Delete what the workshop created, in every account, and show what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import boto3
import pandas as pd
from botocore.exceptions import ClientError, WaiterError

from workshop import stacks
from workshop.jobs import LOG_GROUP

PREFIX = "fl-"


def delete_jobs(session: boto3.Session) -> int:
    """Stop the ``fl-*`` training jobs that are running, wait for their end, delete all; return how many there were."""
    client = session.client("sagemaker")
    jobs = _jobs(client)
    for name, status in jobs.items():
        if status == "InProgress":
            client.stop_training_job(TrainingJobName=name)
    waiter = client.get_waiter("training_job_completed_or_stopped")
    for name, status in jobs.items():
        if status in ("InProgress", "Stopping"):
            with contextlib.suppress(WaiterError):  # it failed instead of stopping: that is an end too
                waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
        client.delete_training_job(TrainingJobName=name)
    return len(jobs)


def delete_all(sessions: Mapping[str, boto3.Session]) -> pd.DataFrame:
    """Delete jobs, logs, buckets and stacks, the server's before the clients'; doing it twice is harmless.

    Returns
    -------
    DataFrame
        One line per account: how many jobs it had, its stack, and whether there was one.
    """
    lines = []
    for name in sorted(sessions, reverse=True):  # server before clients: it refers to their roles
        session, template = sessions[name], _template(name)
        jobs = delete_jobs(session)
        _delete_logs(session)
        lines.append((name, jobs, f"fl-{template}", stacks.delete(session, template, account=name)))
    return pd.DataFrame(lines, columns=["account", "jobs", "stack", "deleted"]).set_index("account")


def left_over(sessions: Mapping[str, boto3.Session]) -> pd.DataFrame:
    """List what is still there of the workshop, one line per resource; an empty table is what you want."""
    lines = []
    for name, session in sessions.items():
        lines += [(name, "stack", stack) for stack in _stacks(session)]
        buckets = session.client("s3").list_buckets()["Buckets"]
        lines += [(name, "bucket", bucket["Name"]) for bucket in buckets if bucket["Name"].startswith(PREFIX)]
        roles = session.client("iam").list_roles()["Roles"]
        lines += [(name, "role", role["RoleName"]) for role in roles if role["RoleName"].startswith("FL-")]
        policies = session.client("iam").list_policies(Scope="Local")["Policies"]
        lines += [
            (name, "policy", policy["PolicyName"]) for policy in policies if policy["PolicyName"].startswith("FL-")
        ]
        lines += [(name, "training job", job) for job in sorted(_jobs(session.client("sagemaker")))]
        lines += [(name, "log stream", stream) for stream in _log_streams(session)]
    return pd.DataFrame(lines, columns=["account", "kind", "name"])


def _template(name: str) -> str:
    return "server-access" if name == "server" else "client-access"


def _jobs(client) -> dict[str, str]:
    pages = client.get_paginator("list_training_jobs").paginate(NameContains=PREFIX)
    found = [job for page in pages for job in page["TrainingJobSummaries"]]
    return {
        job["TrainingJobName"]: job["TrainingJobStatus"] for job in found if job["TrainingJobName"].startswith(PREFIX)
    }


def _stacks(session: boto3.Session) -> list[str]:
    pages = session.client("cloudformation").get_paginator("describe_stacks").paginate()
    names = [stack["StackName"] for page in pages for stack in page["Stacks"]]
    return [name for name in names if name.startswith(PREFIX)]


def _log_streams(session: boto3.Session) -> list[str]:
    pages = session.client("logs").get_paginator("describe_log_streams")
    try:
        found = [
            s for page in pages.paginate(logGroupName=LOG_GROUP, logStreamNamePrefix=PREFIX) for s in page["logStreams"]
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    return [stream["logStreamName"] for stream in found]


def _delete_logs(session: boto3.Session) -> None:
    client = session.client("logs")
    for stream in _log_streams(session):
        client.delete_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
