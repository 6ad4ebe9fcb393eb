"""Training jobs in the client accounts: the request, its start, and what is known of it afterwards."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, repeat
from typing import Any
from urllib.parse import urlsplit

import boto3
import pandas as pd
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from workshop.errors import JobError

FINISHED = ("Completed", "Failed", "Stopped")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
HERE_SECONDS, AWS_SECONDS = 0.2, 3.0  # between two looks at a job
STOPPING_SECONDS = 240.0  # a job that is being stopped counts against the account's quota for minutes


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
        """Read what ``connect.connection_data`` wrote down."""
        return cls(**{**entry, "subnets": tuple(entry["subnets"])})


@dataclass(frozen=True)
class TrainingJob:
    """One client's job, seen through the kick-off role of its account."""

    client: ClientAccount
    name: str
    session: boto3.Session

    @cached_property
    def _sagemaker(self) -> BaseClient:
        return self.session.client("sagemaker")

    @property
    def pace(self) -> float:
        """Seconds between two questions that an account is asked: SageMaker throttles them, this machine does not."""
        host = urlsplit(self._sagemaker.meta.endpoint_url).hostname
        return HERE_SECONDS if host in ("localhost", "127.0.0.1") else AWS_SECONDS

    @property
    def _where(self) -> str:
        return f"{self.client.name} (account {self.client.account})"

    def describe(self) -> dict[str, Any]:
        """Return SageMaker's description of the job.

        Raises
        ------
        JobError
            If the account does not answer, or knows no such job.
        """
        try:
            return self._sagemaker.describe_training_job(TrainingJobName=self.name)
        except (BotoCoreError, ClientError) as error:
            raise JobError(f"{self._where} says nothing about job {self.name}: {error}") from error

    def status(self) -> str | None:
        """Return the job's status; none if the account has no such job.

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

    def log_lines(self, most: int = 5) -> list[str]:
        """Return the last lines of the job's log; none when it has not written any.

        Raises
        ------
        JobError
            If the account does not show them.
        """
        logs = self.session.client("logs")
        try:
            streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self.name}/")
            if not streams["logStreams"]:
                return []
            stream = streams["logStreams"][0]["logStreamName"]
            events = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, limit=most, startFromHead=False)
        except logs.exceptions.ResourceNotFoundException:
            return []
        except (BotoCoreError, ClientError) as error:
            raise JobError(f"{self._where} does not show the log of job {self.name}: {error}") from error
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
            self._sagemaker.stop_training_job(TrainingJobName=self.name)
        except (BotoCoreError, ClientError) as error:
            if self.describe()["TrainingJobStatus"] == "InProgress":  # else it has ended meanwhile
                raise JobError(f"{self._where} does not stop job {self.name}: {error}") from error

    def account_of_failure(self) -> str:
        """Say in a few lines who this job is, how it stands, why, and what it wrote last."""
        description = self.describe()
        lines = [
            f"{self.client.name} (account {self.client.account}), job {self.name}: "
            f"{description['TrainingJobStatus']} ({description['SecondaryStatus']})"
        ]
        if reason := description.get("FailureReason"):
            lines.append(f"  reason: {reason}")
        try:
            lines += [f"  log: {line}" for line in self.log_lines()]
        except JobError as error:  # how it stands is worth telling all the same
            lines.append(f"  log: {error}")
        return "\n".join(lines)


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
        # One BLAS thread: the same sums on every machine.
        "Environment": dict.fromkeys(threads, "1") | {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"},
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
                raise JobError(f"{where} did not start job {job.name}: {message}{limit}") from error
        return job


def _code(error: Exception) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else ""


def _runs(job: TrainingJob, request: Mapping[str, Any]) -> bool:
    """Return whether a job runs that was asked for with these hyperparameters; they name the run's authority."""
    try:
        found = job.describe()
    except JobError:
        return False
    return found["TrainingJobStatus"] == "InProgress" and found["HyperParameters"] == request["HyperParameters"]


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
    if failed := [start.exception() for start in starts if start.exception()]:
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
        if (status := job.status()) is None:
            return
        if status == "InProgress":
            job.stop()


def _keep_or_start(
    client: ClientAccount, session: boto3.Session, run: str, settings: Mapping[str, Any], patience: float
) -> TrainingJob:
    for attempt in count(1):
        job = TrainingJob(client, job_name(client.name, run, attempt), session)
        request = training_request(client, name=job.name, run=run, **settings)
        status = job.status()
        if status is None:
            return start(client, session, request, patience=patience)
        if status == "InProgress":
            if job.describe()["HyperParameters"] == request["HyperParameters"]:
                return job
            job.stop()
        if status not in FINISHED:
            patience = STOPPING_SECONDS
    raise AssertionError("there is always a next attempt")


def stop_all(jobs: Sequence[TrainingJob], *, seconds: float = 30.0) -> None:
    """Stop every job that is still running.

    Raises
    ------
    JobError
        If an account refuses, or does not answer in time; the others' jobs are stopped all the same.
    """

    def stop(job: TrainingJob) -> str:
        try:
            job.stop()
        except JobError as error:
            return str(error)
        return ""

    if complaints := [told for told in together(stop, jobs, seconds=seconds) if told]:
        raise JobError("; ".join(complaints))


def together(act: Callable[[TrainingJob], str], jobs: Sequence[TrainingJob], *, seconds: float) -> list[str]:
    """Do something with all jobs at the same time; return what is to be told of each.

    An account that is silent holds up nobody for longer than ``seconds``: then that is what is told of its job.
    """
    told = {job.name: f"{job.client.name} (account {job.client.account}), job {job.name}: no answer" for job in jobs}
    threads = [threading.Thread(target=lambda job=job: told.update({job.name: act(job)}), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.join(timeout=max(0.0, give_up - time.monotonic()))
    return list(told.values())


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
    while True:
        statuses = [job.describe()["TrainingJobStatus"] for job in jobs]
        if all(status in FINISHED for status in statuses):
            break
        if clock() > give_up:
            late = [job for job, status in zip(jobs, statuses, strict=True) if status not in FINISHED]
            told = "\n".join(job.account_of_failure() for job in late)
            raise JobError(f"still running after {deadline:.0f} s:\n{told}")
        sleep(max(job.pace for job in jobs))
    failed = [job for job, status in zip(jobs, statuses, strict=True) if status != "Completed"]
    if len(jobs) - len(failed) < (len(jobs) if needed is None else needed):
        raise JobError("\n".join(job.account_of_failure() for job in failed))
    return table(jobs)


def table(jobs: Sequence[TrainingJob]) -> pd.DataFrame:
    """Return one line per job: client, account, status, seconds billed, model artefact."""
    lines = []
    for job in jobs:
        description = job.describe()
        artefact = description.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
        lines.append(
            {
                "client": job.client.name,
                "account": job.client.account,
                "status": description["TrainingJobStatus"],
                "step": description["SecondaryStatus"],
                "billable seconds": description.get("BillableTimeInSeconds"),
                "artefact": artefact.rpartition("/")[2],
            }
        )
    return pd.DataFrame(lines).set_index("client")
