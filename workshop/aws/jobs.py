"""SageMaker training jobs in the client accounts: the request, its start, and what is known of it afterwards."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, repeat
from typing import Any

import boto3
import pandas as pd
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws.pace import HERE_SECONDS, is_here
from workshop.errors import JobError
from workshop.federation.participants import Phase, Status, report, stop_all, together

FINISHED = ("Completed", "Failed", "Stopped")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
AWS_SECONDS = 3.0  # between two looks at a job
STOPPING_SECONDS = 240.0  # a job that is being stopped counts against the account's quota for minutes

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "GRPC_VERBOSITY": "NONE"}


@dataclass(frozen=True)
class ClientAccount:
    """What the server account knows of a client: outputs of its stack, nothing of its rows."""

    name: str
    account: str
    bucket: str
    execution_role: str
    kickoff_role: str
    subnets: tuple[str, ...]
    security_group: str
    region: str
    instance_type: str  # of the job: the owner chooses it, and the kick-off policy allows no other
    external_id: str = field(repr=False)

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

    def log_tail(self, most: int = 5) -> list[str]:
        """Return the last lines of the job's log; none when it has not written any.

        Raises
        ------
        JobError
            If the account does not show them.
        """
        logs = self.session.client("logs")
        try:
            streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self.job_name}/")
            if not streams["logStreams"]:
                return []
            stream = streams["logStreams"][0]["logStreamName"]
            events = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, limit=most, startFromHead=False)
        except logs.exceptions.ResourceNotFoundException:
            return []
        except (BotoCoreError, ClientError) as error:
            raise JobError(f"{self._where} does not show the log of job {self.job_name}: {error}") from error
        return [event["message"].rstrip() for event in events["events"]][-most:]

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


def job_name(client: str, run: str = "", attempt: int = 1) -> str:
    """Return the name of a client's job in a run of the federation, one that the kick-off policy allows (``fl-*``).

    The name follows from the run: who starts a run again finds the jobs that are there already.
    """
    return f"fl-{client}-{run or secrets.token_hex(4)}-{attempt}"


def training_request(
    client: ClientAccount,
    *,
    name: str,
    image: str,
    server_address: str,
    ca_certificate: str,
    run: str = "",
    max_iter: int = 10,
    penalty: str = "l2",
    seed: int = 0,
    join_deadline: int = 120,
    max_seconds: int = 3600,
) -> dict[str, Any]:
    """Write the ``CreateTrainingJob`` request that one client account receives.

    Parameters
    ----------
    client : ClientAccount
        Whose bucket, code and execution role the request names.
    name, image, server_address, ca_certificate
        The job's name, the SageMaker scikit-learn image, ``host:port`` of the Flower server, and its authority.
    run : str
        Id of the federation's run: under it SageMaker keeps the job's checkpoints, for the job that follows it.
    max_iter, penalty, seed
        Hyperparameters of the local training, as in the original sample.
    join_deadline, max_seconds : int
        Seconds without a server after which the job gives up, and seconds after which SageMaker stops it.

    Source: AWS, SageMaker API reference, CreateTrainingJob.
    """
    bucket = f"s3://{client.bucket}"
    hyperparameters = {
        "sagemaker_program": "client.py",
        "sagemaker_submit_directory": f"{bucket}/code/source.tar.gz",
        "sagemaker_region": client.region,  # else the toolkit leaves the script without one
        "penalty": penalty,
        "max-iter": max_iter,
        "seed": seed,
        "server-address": server_address,
        "ca-certificate": ca_certificate,
        "join-deadline": join_deadline,
    }
    rows = {"S3DataType": "S3Prefix", "S3Uri": f"{bucket}/data/", "S3DataDistributionType": "FullyReplicated"}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": client.execution_role,
        "HyperParameters": {key: str(value) for key, value in hyperparameters.items()},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": rows}, "ContentType": "text/csv"}],
        "OutputDataConfig": {"S3OutputPath": f"{bucket}/artefacts/"},
        "CheckpointConfig": {"S3Uri": f"{bucket}/artefacts/checkpoints/{run or name}/"},
        "ResourceConfig": {"InstanceType": client.instance_type, "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": max_seconds},
        "VpcConfig": {"Subnets": list(client.subnets), "SecurityGroupIds": [client.security_group]},
        # One BLAS thread: the same sums on every machine. What client.py sets for itself is set here, too, for
        # libraries that read it before the script runs: gRPC's own lines would push the job's out of the log's end.
        "Environment": dict.fromkeys(threads, "1") | QUIET,
        "EnableNetworkIsolation": False,  # it would cut the link to the server; subnet and group do that job
    }


def start(
    client: ClientAccount, session: boto3.Session, request: dict[str, Any], *, patience: float = 0.0
) -> TrainingJob:
    """Start one job in a client account; if this very job runs there already, return it.

    Parameters
    ----------
    patience : float
        Seconds to try again for while the account's quota is used up: by a job that is being stopped, say.

    Raises
    ------
    JobError
        Names the account, the job and what AWS answered.
    """
    job = TrainingJob(client, request["TrainingJobName"], session)
    give_up = time.monotonic() + patience
    while True:
        try:
            session.client("sagemaker").create_training_job(**request)
        except (BotoCoreError, ClientError) as error:
            if _code(error) == "ResourceLimitExceeded" and time.monotonic() < give_up:
                time.sleep(job.pace)
                continue
            if not _runs(job, request):  # else only the answer was lost
                message = error.response["Error"]["Message"] if isinstance(error, ClientError) else error
                where = f"{client.name} (account {client.account})"
                remedy = f" - its owner asks for more: python -m workshop quotas {client.name} --request"
                limit = remedy if _code(error) == "ResourceLimitExceeded" else ""
                raise JobError(f"{where} did not start job {job.job_name}: {message}{limit}") from error
        return job


def _code(error: Any) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else ""


def _runs(job: TrainingJob, request: Mapping[str, Any]) -> bool:
    """Return whether a job runs that was asked for with these hyperparameters; they name the run's authority."""
    try:
        response = job.describe()
    except JobError:
        return False
    return response["TrainingJobStatus"] == "InProgress" and response["HyperParameters"] == request["HyperParameters"]


def kick_off(
    clients: Sequence[ClientAccount],
    sessions: Mapping[str, boto3.Session],
    *,
    run: str,
    before: Sequence[str] = (),
    **settings: Any,
) -> list[TrainingJob]:
    """Have one job running per client account; those that run already for this very run are kept.

    Parameters
    ----------
    sessions : mapping
        The borrowed kick-off role of every client's account, by client name.
    run, before : str
        Id of this run, and of earlier ones whose jobs are stopped first.
    **settings
        Passed on to :func:`training_request`.

    Raises
    ------
    JobError
        Names the first account that did not start its job; those that started are stopped again.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        for earlier in before:
            list(pool.map(lambda client, run: stop_run(client, sessions[client.name], run), clients, repeat(earlier)))
        patience = STOPPING_SECONDS if before else 0.0
        starts = [
            pool.submit(_keep_or_start, client, sessions[client.name], run, settings, patience) for client in clients
        ]
    if failed := [error for start in starts if (error := start.exception())]:
        try:
            stop_all([start.result() for start in starts if not start.exception()])
        except JobError as error:
            failed[0].add_note(f"The other jobs may still be running: {error}")
        raise failed[0]
    return [start.result() for start in starts]


def stop_run(client: ClientAccount, session: boto3.Session, run: str) -> None:
    """Stop whatever a run has left running in a client's account."""
    for attempt in count(1):
        job = TrainingJob(client, job_name(client.name, run, attempt), session)
        if (status := job.lookup()) is None:
            return
        if status == "InProgress":
            job.stop()


def _keep_or_start(
    client: ClientAccount, session: boto3.Session, run: str, settings: Mapping[str, Any], patience: float
) -> TrainingJob:
    for attempt in count(1):
        job = TrainingJob(client, job_name(client.name, run, attempt), session)
        request = training_request(client, name=job.job_name, run=run, **settings)
        status = job.lookup()
        if status is None:
            return start(client, session, request, patience=patience)
        if status == "InProgress":
            if job.describe()["HyperParameters"] == request["HyperParameters"]:
                return job
            job.stop()
        if status not in FINISHED:
            patience = STOPPING_SECONDS
    raise AssertionError("there is always a next attempt")


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
