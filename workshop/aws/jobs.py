"""SageMaker training jobs in the client accounts, as the server's account sees them once they are started."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
import pandas as pd
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws.pace import HERE_SECONDS, is_here
from workshop.errors import JobError
from workshop.federation.participants import Phase, Status, report, together

FINISHED = ("Completed", "Failed", "Stopped")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"  # its owner's alone
AWS_SECONDS = 3.0  # between two looks at a job
STOPPING_SECONDS = 240.0  # a job that is being stopped counts against the account's quota for minutes


@dataclass(frozen=True)
class ClientAccount:
    """What the server account knows of a client: outputs of its stack, nothing of its rows."""

    name: str
    account: str
    bucket: str
    key: str  # ARN of the account's own
    execution_role: str
    kickoff_role: str
    subnets: tuple[str, ...]
    security_group: str
    region: str
    instance_type: str  # of the job: the owner chooses it, and there is no other
    external_id: str = field(repr=False)
    kick_off: str = "owner"  # who writes the request of a job: the owner, or (published) the server
    machine: str = ""  # ARN of the owner's state machine, which holds it

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ClientAccount:
        """Read what ``connections.connection_data`` wrote down."""
        return cls(**{**entry, "subnets": tuple(entry["subnets"])})


@dataclass(frozen=True)
class TrainingJob:
    """Participant whose client is a SageMaker training job, seen through the kick-off role of its account."""

    client: ClientAccount
    job_name: str
    session: boto3.Session

    @property
    def name(self) -> str:
        """The client's name."""
        return self.client.name

    @property
    def account(self) -> str:
        """The client's account."""
        return self.client.account

    @property
    def role(self) -> str:
        """The name of the job's execution role."""
        return self.client.execution_role.rpartition("/")[2]

    @cached_property
    def _sagemaker(self) -> BaseClient:
        return self.session.client("sagemaker")

    @property
    def pace(self) -> float:
        """Seconds between two questions that an account is asked: SageMaker throttles them, this machine does not."""
        return HERE_SECONDS if is_here(self._sagemaker) else AWS_SECONDS

    def describe(self) -> dict[str, Any]:
        """Return SageMaker's description of the job.

        Raises
        ------
        JobError
            If the account does not answer, or knows no such job.
        """
        try:
            return self._sagemaker.describe_training_job(TrainingJobName=self.job_name)
        except (BotoCoreError, ClientError) as error:
            raise JobError(f"{self._where} says nothing about job {self.job_name}: {error}") from error

    def lookup(self) -> str | None:
        """Return SageMaker's word for the job's status; none if the account has no such job.

        Raises
        ------
        JobError
            If the account does not answer.
        """
        try:
            return self.describe()["TrainingJobStatus"]
        except JobError as error:
            answer = getattr(error.__cause__, "response", {}).get("Error", {})
            if "not found" in answer.get("Message", "").lower():
                return None
            raise

    def status(self) -> Status:
        """Return how the job stands; see ``Participant``."""
        job = self.describe()
        status, step = job["TrainingJobStatus"], job["SecondaryStatus"]
        if status in FINISHED:
            phase = Phase.ENDED
        elif status == "Stopping":
            phase = Phase.STOPPING
        else:
            phase = Phase.RUNNING if step in ("Training", "Uploading", "Interrupted") else Phase.WAITING
        return Status(phase, f"{status} ({step})", job.get("FailureReason", ""), job["CreationTime"])

    def stop(self) -> None:
        """Ask SageMaker to stop the job; a job that has ended already is left alone.

        Raises
        ------
        JobError
            If the account does not answer, or refuses.
        """
        if self.describe()["TrainingJobStatus"] != "InProgress":
            return
        try:
            self._sagemaker.stop_training_job(TrainingJobName=self.job_name)
        except (BotoCoreError, ClientError) as error:
            if self.describe()["TrainingJobStatus"] == "InProgress":  # else it has ended meanwhile
                raise JobError(f"{self._where} does not stop job {self.job_name}: {error}") from error

    @property
    def _where(self) -> str:
        return f"{self.name} (account {self.account})"


def log_tail(owner: boto3.Session, job_name: str, most: int = 5) -> list[str]:
    """Return the last lines of a job's log, for the owner of its account; none when it has not written any.

    Raises
    ------
    JobError
        If the account does not show them.
    """
    logs = owner.client("logs")
    try:
        streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job_name}/")
        if not streams["logStreams"]:
            return []
        stream = streams["logStreams"][0]["logStreamName"]
        events = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, limit=most, startFromHead=False)
    except logs.exceptions.ResourceNotFoundException:
        return []
    except (BotoCoreError, ClientError) as error:
        raise JobError(f"the log of job {job_name} is not shown: {error}") from error
    return [event["message"].rstrip() for event in events["events"]][-most:]


def wait(
    jobs: Sequence[TrainingJob],
    *,
    deadline: float = 120.0,
    needed: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> pd.DataFrame:
    """Wait until every job has ended; return the table of :func:`table`.

    Parameters
    ----------
    deadline : float
        Seconds.
    needed : int
        How many must complete; by default all.

    Raises
    ------
    JobError
        If fewer completed, or one did not end before ``deadline`` seconds were over: says which, how it stands and why.
    """
    give_up = clock() + deadline
    needed = len(jobs) if needed is None else needed
    while True:
        known = described(jobs)
        statuses = {job.name: known[job.name].get("TrainingJobStatus") for job in jobs}
        completed = sum(status == "Completed" for status in statuses.values())
        # An account that does not answer counts as one whose job did not complete; it is waited for if it must.
        if all(status in FINISHED or (status is None and completed >= needed) for status in statuses.values()):
            break
        if clock() > give_up:
            late = [job for job in jobs if statuses[job.name] not in FINISHED]
            raise JobError("\n".join([f"still running after {deadline:.0f} s:", *_reports(late)]))
        sleep(max(job.pace for job in jobs))
    if completed < needed:
        raise JobError("\n".join(_reports([job for job in jobs if statuses[job.name] != "Completed"])))
    return _table(jobs, known)


def described(jobs: Sequence[TrainingJob], *, seconds: float = 10.0) -> dict[str, dict[str, Any]]:
    """Return SageMaker's descriptions by client, all asked at once; empty for an account that does not answer."""
    known: dict[str, dict[str, Any]] = {job.name: {} for job in jobs}

    def ask(job: TrainingJob) -> str:
        with contextlib.suppress(JobError):
            known[job.name] = job.describe()
        return ""

    together(ask, jobs, seconds=seconds)
    return dict(known)


def billed(jobs: Sequence[TrainingJob]) -> dict[str, int | None]:
    """Return the seconds that AWS charges for, by client; none where nobody says."""
    return {name: job.get("BillableTimeInSeconds") for name, job in described(jobs).items()}


def table(jobs: Sequence[TrainingJob]) -> pd.DataFrame:
    """Return one line per job: client, account, status, seconds billed, model artefact."""
    return _table(jobs, described(jobs))


def _table(jobs: Sequence[TrainingJob], known: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    lines = []
    for job in jobs:
        description = known[job.name]
        artefact = description.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
        lines.append(
            {
                "client": job.name,
                "account": job.account,
                "status": description.get("TrainingJobStatus", "no answer"),
                "step": description.get("SecondaryStatus", ""),
                "billable seconds": description.get("BillableTimeInSeconds"),
                "artefact": artefact.rpartition("/")[2],
            }
        )
    return pd.DataFrame(lines).set_index("client")


def _reports(jobs: Sequence[TrainingJob]) -> list[str]:
    """Report on jobs, all at once; of an account that does not answer, that."""

    def ask(job: TrainingJob) -> str:
        try:
            return report(job)
        except JobError as error:
            return str(error)

    return together(ask, jobs, seconds=20.0)
