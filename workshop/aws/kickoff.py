"""Kick-off of training jobs in the client accounts: by each owner's state machine, or by a request of the server's own.

An owner's machine (``owner``) holds the whole request; the server fills in where it is and how to train. In AWS's
published sample (``published``) the server writes the request, and with it what runs beside the rows.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import count, repeat
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.aws.choices import KICK_OFFS
from workshop.aws.jobs import FINISHED, STOPPING_SECONDS, ClientAccount, TrainingJob
from workshop.aws.pace import pauses
from workshop.errors import JobError
from workshop.federation.participants import stop_all

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "GRPC_VERBOSITY": "NONE"}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_STARTING_SECONDS = 60.0  # a machine checks its input and makes one call
_NO_MACHINE_LEFT = "ResourceLimitExceeded"
REFUSED = "FL.InputRefused"  # how an owner's machine ends that is given what was not agreed on


class Known(StrEnum):
    """What is known of a job by its name: nothing, that it runs as asked for or otherwise, is stopped, or is over."""

    NEVER = "never"
    SAME = "same"
    OTHER = "other"
    STOPPING = "stopping"
    OVER = "over"


class Kickoff(Protocol):
    """A way to have one job started."""

    @property
    def asks(self) -> Mapping[str, Any]:
        """All that the client's account receives."""
        ...

    def known(self) -> Known:
        """Say what is known of a job of this name; ``JobError`` if the account does not answer."""
        ...

    def ask(self) -> None:
        """Start it; ``JobError`` if that fails, ``NoMachineLeft`` if the account's quota is used up."""


class NoMachineLeft(JobError):
    """The account's quota for the job's machine is used up, by a job that is being stopped, say."""


def job_name(client: str, run: str = "", attempt: int = 1) -> str:
    """Return the name of a client's job in a run of the federation, one that the kick-off policy allows (``fl-*``).

    The name follows from the run: who starts a run again finds the jobs that are there already.
    """
    return f"fl-{client}-{run or secrets.token_hex(4)}-{attempt}"


def machine_input(
    *,
    run: str,
    attempt: int,
    server_address: str,
    ca_certificate: str,
    max_iter: int = 10,
    penalty: str = "l2",
    seed: int = 0,
    join_deadline: int = 120,
) -> dict[str, Any]:
    """Return what an owner's machine takes from the server; it checks every value (``client-access.yaml``).

    Parameters
    ----------
    run, attempt
        From which the machine makes the job's name and the place of its checkpoints.
    server_address, ca_certificate
        ``host:port`` of the Flower server, and the federation's authority, DER in base64.
    max_iter, penalty, seed
        Hyperparameters of the local training, as in the original sample.
    join_deadline : int
        Seconds without a server after which the job gives up.
    """
    return {
        "run": run,
        "attempt": attempt,
        "server": server_address,
        "authority": ca_certificate,
        "seed": seed,
        "penalty": penalty,
        "max_iter": max_iter,
        "join_deadline": join_deadline,
    }


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
    """Write the ``CreateTrainingJob`` request of the published way.

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
        "bucket": client.bucket,
        "penalty": penalty,
        "max-iter": max_iter,
        "seed": seed,
        "server-address": server_address,
        "ca-certificate": ca_certificate,
        "join-deadline": join_deadline,
    }
    rows = {"S3DataType": "S3Prefix", "S3Uri": f"{bucket}/data/", "S3DataDistributionType": "FullyReplicated"}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": client.execution_role,
        "HyperParameters": {key: str(value) for key, value in hyperparameters.items()},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": rows}, "ContentType": "text/csv"}],
        "OutputDataConfig": {"S3OutputPath": f"{bucket}/artefacts/", "KmsKeyId": client.key},
        "CheckpointConfig": {"S3Uri": f"{bucket}/artefacts/checkpoints/{run or name}/"},
        "ResourceConfig": {"InstanceType": client.instance_type, "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": max_seconds},
        "VpcConfig": {"Subnets": list(client.subnets), "SecurityGroupIds": [client.security_group]},
        # One BLAS thread: the same sums on every machine. What client.py sets for itself is set here, too, for
        # libraries that read it before the script runs: gRPC's own lines would push the job's out of the log's end.
        "Environment": dict.fromkeys(_THREADS, "1") | QUIET,
        "EnableNetworkIsolation": False,  # it would cut the link to the server; subnet and group do that job
    }


class OwnersMachine:
    """Execution of the owner's state machine, named like the job that it starts."""

    def __init__(self, job: TrainingJob, asks: Mapping[str, Any]) -> None:
        self.job, self.asks = job, asks
        self._states = job.session.client("stepfunctions")
        self._execution = f"{job.client.machine.replace(':stateMachine:', ':execution:')}:{job.job_name}"

    def known(self) -> Known:
        """Say what is known of the execution, and of the job that it has started."""
        execution = self._ended()
        if execution is None:
            return Known.NEVER
        if execution["status"] != "SUCCEEDED":
            return Known.OVER
        return _standing(self.job, same=json.loads(execution["input"]) == self.asks)

    def ask(self) -> None:
        """Start the machine, and wait until the job is started."""
        words = {"name": self.job.job_name, "input": json.dumps(self.asks)}
        try:
            self._states.start_execution(stateMachineArn=self.job.client.machine, **words)
        except (BotoCoreError, ClientError) as error:
            try:
                lost = self.known() is Known.SAME  # only the answer was
            except JobError:
                lost = False
            if not lost:
                raise JobError(f"{_where(self.job)}: {_words(error)}") from error
        execution = self._ended()
        if execution is None:
            raise JobError(f"{_where(self.job)}: its state machine knows nothing of it")
        if execution["status"] != "SUCCEEDED":
            why = f"{execution.get('error', execution['status'])}: {execution.get('cause', 'no cause given')}"
            raise _failure(self.job, why, used_up=_NO_MACHINE_LEFT in why)

    def _ended(self) -> dict[str, Any] | None:
        """Return the execution when it has ended; None if there is none."""
        give_up = time.monotonic() + _STARTING_SECONDS
        for pause in pauses(self._states):
            try:
                execution = self._states.describe_execution(executionArn=self._execution)
            except self._states.exceptions.ExecutionDoesNotExist:
                return None
            except (BotoCoreError, ClientError) as error:
                raise JobError(f"{_where(self.job)}: {_words(error)}") from error
            if execution["status"] != "RUNNING":
                return execution
            if time.monotonic() > give_up:
                raise JobError(f"{_where(self.job)}: its state machine still runs after {_STARTING_SECONDS:.0f} s")
            time.sleep(pause)
        raise AssertionError("there is always a next look")


class Published:
    """``CreateTrainingJob``, called by the server with the kick-off role."""

    def __init__(self, job: TrainingJob, asks: Mapping[str, Any]) -> None:
        self.job, self.asks = job, asks

    def known(self) -> Known:
        """Say what is known of the job; its hyperparameters name the run's authority."""
        if self.job.lookup() is None:
            return Known.NEVER
        return _standing(self.job, same=self.job.describe()["HyperParameters"] == self.asks["HyperParameters"])

    def ask(self) -> None:
        """Start the job; if this very job runs already, that is as good."""
        try:
            self.job.session.client("sagemaker").create_training_job(**self.asks)
        except (BotoCoreError, ClientError) as error:
            used_up = isinstance(error, ClientError) and error.response["Error"]["Code"] == _NO_MACHINE_LEFT
            try:
                lost = not used_up and self.known() is Known.SAME  # only the answer was
            except JobError:
                lost = False
            if not lost:
                raise _failure(self.job, _words(error), used_up=used_up) from error


def _standing(job: TrainingJob, *, same: bool) -> Known:
    status = job.describe()["TrainingJobStatus"]
    if status in FINISHED:
        return Known.OVER
    if status == "Stopping":
        return Known.STOPPING
    return Known.SAME if same else Known.OTHER


def _where(job: TrainingJob) -> str:
    return f"{job.name} (account {job.account}) did not start job {job.job_name}"


def _words(error: Any) -> str:
    return error.response["Error"]["Message"] if isinstance(error, ClientError) else str(error)


def _failure(job: TrainingJob, why: str, *, used_up: bool) -> JobError:
    if not used_up:
        return JobError(f"{_where(job)}: {why}")
    remedy = f"its owner asks for more: python -m workshop quotas {job.name} --request"
    return NoMachineLeft(f"{_where(job)}: {why} - {remedy}")


def way(job: TrainingJob, *, run: str, attempt: int, image: str, **settings: Any) -> Kickoff:
    """Return how a client's job is started: as its owner has chosen.

    Parameters
    ----------
    **settings
        Those of :func:`machine_input`.
    """
    if job.client.kick_off == "owner":
        return OwnersMachine(job, machine_input(run=run, attempt=attempt, **settings))
    return Published(job, training_request(job.client, name=job.job_name, image=image, run=run, **settings))


def check(clients: Sequence[ClientAccount], wanted: str) -> None:
    """Return if every owner has chosen this way.

    Raises
    ------
    JobError
        Names the first that has not.
    """
    if wanted not in KICK_OFFS:
        raise JobError(f"KICKOFF {wanted!r}: choose {' or '.join(KICK_OFFS)}")
    for client in clients:
        if client.kick_off != wanted:
            raise JobError(
                f"{client.name} (account {client.account}) was connected for KICKOFF = {client.kick_off!r}, not "
                f"{wanted!r}: run 02_connect_accounts.ipynb with the one that its owner wants, and this with the same"
            )


def start(
    client: ClientAccount, session: boto3.Session, request: dict[str, Any], *, patience: float = 0.0
) -> TrainingJob:
    """Start one job by a request of one's own; if this very job runs there already, return it.

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
            Published(job, request).ask()
        except NoMachineLeft:
            if time.monotonic() > give_up:
                raise
            time.sleep(job.pace)
        else:
            return job


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
        Passed on to :func:`way`.

    Raises
    ------
    JobError
        Names the first account that did not start its job; those that started are stopped again.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        for earlier in before:
            stop = lambda client, run: stop_run(client, sessions[client.name], run, **settings)  # noqa: E731
            list(pool.map(stop, clients, repeat(earlier)))
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


def stop_run(client: ClientAccount, session: boto3.Session, run: str, **settings: Any) -> None:
    """Stop whatever a run has left running in a client's account."""
    for attempt in count(1):
        job = TrainingJob(client, job_name(client.name, run, attempt), session)
        known = way(job, run=run, attempt=attempt, **settings).known()
        if known is Known.NEVER:
            return
        if known in (Known.SAME, Known.OTHER):
            job.stop()


def _keep_or_start(
    client: ClientAccount, session: boto3.Session, run: str, settings: Mapping[str, Any], patience: float
) -> TrainingJob:
    attempt, give_up = 1, time.monotonic() + patience
    while True:
        job = TrainingJob(client, job_name(client.name, run, attempt), session)
        kickoff = way(job, run=run, attempt=attempt, **settings)
        known = kickoff.known()
        if known is Known.SAME:
            return job
        if known is Known.NEVER:
            try:
                kickoff.ask()
            except NoMachineLeft:
                if time.monotonic() > give_up:
                    raise
                time.sleep(job.pace)
                continue
            return job
        if known is Known.OTHER:
            job.stop()
        if known is not Known.OVER:
            give_up = time.monotonic() + STOPPING_SECONDS
        attempt += 1
