"""AWS that throttles, fails or does not answer: tried again a few times, then said in a sentence; nothing by halves.

A proxy stands in front of the embedded AWS (``fault_proxy.py``); the jobs of the accounts go around it.
"""

import contextlib
import json
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import kernel
import numpy as np
import pytest
import task
from cohort import wait_until
from fault_proxy import FaultProxy

from workshop import federation, problems, state
from workshop.aws import accounts, cleanup, jobs, kickoff, uploads
from workshop.errors import AccountError, FederationError, JobError
from workshop.federation.checkpoints import Checkpoints, Progress
from workshop.federation.events import NotCopied
from workshop.federation.participants import stop_all
from workshop.federation.rounds import Round
from workshop.lessons import rehearsal
from workshop.science import model

TRIES = 4  # once, and three times more


@pytest.fixture(scope="module")
def stage(aws):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(aws.home))
        connected = rehearsal.connect_accounts(n_clients=2)
        kernel.prepare(connected)
        yield connected
        rehearsal.clean_up(connected)


@pytest.fixture(scope="module")
def undisturbed(stage):
    return rehearsal.federate(stage)[0]


@pytest.fixture
def proxy(aws, stage, tmp_path, monkeypatch):
    """Return a proxy through which every session leads that is made from here on."""
    between = FaultProxy(aws.endpoint)
    (tmp_path / "embedded").mkdir()
    between.write_config(aws.config, tmp_path / "embedded" / "aws-config")
    for name in ("state.json", "agreement.json"):
        shutil.copy(aws.home / name, tmp_path)
    (tmp_path / "data").symlink_to(aws.home / "data")
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    try:
        yield between
    finally:
        between.close()


@dataclass(frozen=True)
class Desk:
    """What the calls of these tests need; every session leads through the proxy."""

    proxy: FaultProxy
    client: jobs.ClientAccount
    server: boto3.Session  # of the notebook role
    bucket: str  # the server's
    folder: Path  # holds a model
    job: jobs.TrainingJob  # of client-1, not started
    machine: kickoff.OwnersMachine  # which starts it
    run: str  # whose checkpoint is in the bucket

    def checkpoints(self) -> Checkpoints:
        """Return the run's, of which there are none in the folder."""
        return Checkpoints(self.folder / "none", self.run, session=self.server, bucket=self.bucket)


@pytest.fixture
def desk(stage, proxy, tmp_path):
    (known,) = state.load("accounts")
    server, client = accounts.notebook_session(known["server_role"]), stage.clients[0]
    zeros = [np.zeros((1, 49)), np.zeros(1)], task.Scaler(np.zeros(49), np.ones(49))
    folder = tmp_path / "model"
    model.save(folder, *zeros, problems.load(), threshold=0.5, about={})
    run = tmp_path.name
    Checkpoints(tmp_path / "first", run, session=server, bucket=known["server_bucket"]).save(Progress(*zeros, {}))
    lent, attempt = accounts.borrow(server, client, session_name="faults"), secrets.token_hex(4)
    job = jobs.TrainingJob(client, kickoff.job_name("client-1", attempt), lent)
    given = kickoff.machine_input(
        run=attempt, attempt=1, server_address="127.0.0.1:9999", ca_certificate="M" * 200, join_deadline=60
    )
    machine = kickoff.OwnersMachine(job, given)
    yield Desk(proxy, client, server, known["server_bucket"], folder, job, machine, run)
    if machine.known() is kickoff.Known.SAME:
        job.stop()


def running(desk):
    desk.machine.ask()
    return desk.job


# What is asked of AWS: service and operation, words in the call, what does it, and what is said when it fails for good.
CALLS = {
    "a model is kept": (
        ("s3", "PUT", "model/model.joblib"),
        lambda desk: model.upload(desk.folder, desk.server, desk.bucket),
        lambda desk: (AccountError, f"account server: bucket {desk.bucket} does not take model/model.joblib"),
    ),
    "an owner's rows are kept": (
        ("s3", "PUT", "data/train.csv"),
        lambda desk: uploads.upload("client-1", accounts.session("client-1"), desk.client.bucket),
        lambda desk: (AccountError, f"account client-1: bucket {desk.client.bucket} refused data/train.csv"),
    ),
    "an owner's rows are read": (
        ("s3", "GET", "data/train.csv"),
        lambda desk: uploads.verify({"client-1": accounts.session("client-1")}, {"client-1": desk.client.bucket}),
        lambda desk: (AccountError, f"account client-1: bucket {desk.client.bucket} does not give data/train.csv"),
    ),
    "a checkpoint is read": (
        ("s3", "GET", "round-0000"),
        lambda desk: desk.checkpoints().latest().parameters,
        lambda desk: (FederationError, f"the checkpoints in bucket {desk.bucket} cannot be read"),
    ),
    "a role is borrowed": (
        ("sts", "AssumeRole", "kickoff"),
        lambda desk: accounts.borrow(desk.server, desk.client, session_name="faults"),
        lambda desk: (AccountError, f"client-1: {desk.client.kickoff_role} cannot be borrowed"),
    ),
    "somebody is asked who he is": (
        ("sts", "GetCallerIdentity", ""),
        lambda desk: accounts.identity("server", desk.server),
        lambda desk: (AccountError, "account server does not answer"),
    ),
    "a job is started": (
        ("states", "StartExecution", ""),
        running,
        lambda desk: (JobError, f"client-1 (account {desk.client.account}) did not start job {desk.job.job_name}"),
    ),
    "a job is described": (
        ("sagemaker", "DescribeTrainingJob", ""),
        lambda desk: running(desk).describe(),
        lambda desk: (JobError, f"client-1 (account {desk.client.account}) says nothing about job {desk.job.job_name}"),
    ),
    "a job is stopped": (
        ("sagemaker", "StopTrainingJob", ""),
        lambda desk: running(desk).stop(),
        lambda desk: (JobError, f"client-1 (account {desk.client.account}) does not stop job {desk.job.job_name}"),
    ),
    "jobs are cleaned up": (
        ("sagemaker", "ListTrainingJobs", ""),
        lambda desk: cleanup.left_over({"client-1": accounts.session("client-1")}),
        lambda desk: (AccountError, "account client-1: "),
    ),
}
THROTTLED = {
    "s3": "SlowDown", "sts": "Throttling", "sagemaker": "ThrottlingException", "states": "ThrottlingException",
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.promise("F-07", "What AWS throttles or fails three times is done the fourth time")
def test_what_fails_three_times_is_done_the_fourth_time(desk, call):
    (service, operation, about), do, _ = CALLS[call]
    with desk.proxy.failing(
        service, operation, THROTTLED[service], "InternalError", "answer lost", about=about
    ) as fault:
        do(desk)
    assert fault.met == TRIES


@pytest.mark.parametrize("how", ["InternalError", "call lost"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.promise("F-07", "What fails for good is said in a sentence with account, bucket or job")
def test_what_fails_for_good_is_said_in_a_sentence_with_names(desk, call, how):
    (service, operation, about), do, said = CALLS[call]
    kind, words = said(desk)
    with desk.proxy.failing(service, operation, how, always=True, about=about) as fault, pytest.raises(kind) as error:
        do(desk)
    assert words in str(error.value)
    assert fault.met == TRIES


def test_throttling_is_met_with_growing_pauses(desk):
    """The pauses are drawn from 0 to 1, 2 and 4 s, so that many who were turned away do not come back together."""
    began = time.monotonic()
    with desk.proxy.failing("s3", "PUT", "SlowDown", always=True) as fault, pytest.raises(AccountError):
        model.upload(desk.folder, desk.server, desk.bucket)
    assert fault.met == TRIES
    assert 0.1 < time.monotonic() - began < 10


@pytest.mark.promise("F-07", "A federation finishes whatever fails a few times")
def test_a_federation_finishes_whatever_fails_a_few_times(stage, proxy, undisturbed):
    with contextlib.ExitStack() as trouble:
        faults = [
            trouble.enter_context(proxy.failing(*which))
            for which in (
                ("sts", "AssumeRole", "Throttling", "InternalError", "answer lost"),
                ("sts", "GetCallerIdentity", "InternalError", "call lost"),  # the server asks three times
                ("states", "StartExecution", "ThrottlingException", "InternalError", "call lost"),
                ("states", "DescribeExecution", "ThrottlingException", "InternalError", "answer lost"),
                ("sagemaker", "DescribeTrainingJob", "InternalError", "ThrottlingException", "answer lost"),
                ("s3", "PUT", "SlowDown", "InternalError", "call lost"),
            )
        ]
        attempt = kernel.start({})
        result = kernel.lead(attempt)
        jobs.wait(attempt.started)
        model.upload(_saved(result), stage.sessions["server"], state.load("accounts")[0]["server_bucket"])
    assert all(fault.met > len(fault.how) for fault in faults)
    assert [entry.clients for entry in result.history] == [2, 2, 2]
    assert not result.notes
    for ours, theirs in zip(result.parameters, undisturbed.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_federation_goes_on_without_a_copy_of_its_checkpoints_and_says_so(proxy, undisturbed):
    with proxy.failing("s3", "PUT", "InternalError", always=True, about="model/checkpoints") as fault:
        attempt = kernel.start({})
        result = kernel.lead(attempt)
        jobs.wait(attempt.started)
    assert fault.met == TRIES * 3
    bucket = state.load("accounts")[0]["server_bucket"]
    reasons = [event.reason for event in result.events if isinstance(event, NotCopied)]
    assert [reason.partition(":")[0] for reason in reasons] == [f"no copy of the checkpoint in bucket {bucket}"] * 3
    assert result.notes == tuple(dict.fromkeys(reasons))
    assert attempt.run.checkpoints.latest().history == list(result.history)
    np.testing.assert_array_equal(result.parameters[0], undisturbed.parameters[0])


def test_when_sts_is_away_for_good_nobody_is_admitted_and_the_error_says_why(stage, proxy):
    attempt = kernel.start({}, join_deadline=60)
    with proxy.failing("sts", "GetCallerIdentity", "InternalError", always=True) as fault:
        with pytest.raises(FederationError, match="client-1, client-2 did not join within 8 s") as error:
            kernel.lead(attempt, join=8)
    assert "STS does not answer" in str(error.value)
    assert fault.met >= 3
    _ended(attempt.started)


def test_an_account_that_starts_no_job_is_named_and_the_others_are_stopped(stage, proxy):
    with proxy.failing("states", "StartExecution", "InternalError", always=True, about="fl-client-2-"):
        with pytest.raises(JobError, match=r"client-2 \(account 777788889999\) did not start job fl-client-2-\w+-1: "):
            kernel.start({})
    jobs_of = {client.name: _jobs(stage, client, run=_run(proxy)) for client in stage.clients}
    assert list(jobs_of["client-1"].values()) in (["Stopping"], ["Stopped"])
    assert jobs_of["client-2"] == {}


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
@pytest.mark.promise("F-07", "A job whose start was not confirmed is found and not started twice")
def test_a_job_whose_start_was_not_confirmed_is_found_and_not_started_twice(stage, proxy, always):
    with (
        proxy.failing("states", "StartExecution", "answer lost", always=always, about="fl-client-1-") as one,
        proxy.failing("states", "StartExecution", "answer lost", always=always, about="fl-client-2-"),
    ):
        attempt = kernel.start({})
    assert one.met == (TRIES if always else 2)
    for client, job in zip(stage.clients, attempt.started, strict=True):
        assert _jobs(stage, client, run=attempt.run.id) == {job.job_name: "InProgress"}
        assert job.job_name.endswith("-1")
    stop_all(attempt.started)
    _ended(attempt.started)


def test_another_job_of_the_same_name_is_no_success(desk):
    running(desk)
    other = kickoff.OwnersMachine(desk.job, desk.machine.asks | {"seed": 7})
    with pytest.raises(JobError, match=f"did not start job {desk.job.job_name}: Execution Already Exists"):
        other.ask()


@pytest.mark.parametrize("how", ["call cut off", "call lost", "InternalError"])
@pytest.mark.promise("F-07", "A model in the bucket is never half a model")
def test_a_model_in_the_bucket_is_never_half_a_model(desk, how):
    storage = desk.server.client("s3")
    model.upload(desk.folder, desk.server, desk.bucket)
    before = (desk.folder / model.TWIN).read_bytes()
    ones = [np.ones((1, 49)), np.ones(1)], task.Scaler(*np.ones((2, 49)))
    model.save(desk.folder, *ones, problems.load(), threshold=0.5, about={})
    with desk.proxy.failing("s3", "PUT", how, always=True, about=model.TWIN), pytest.raises(AccountError):
        model.upload(desk.folder, desk.server, desk.bucket)

    def there(name):
        return storage.get_object(Bucket=desk.bucket, Key=f"model/{name}")["Body"].read()

    assert there(model.MODEL) == (desk.folder / model.MODEL).read_bytes()
    assert there(model.TWIN) == before != (desk.folder / model.TWIN).read_bytes()
    model.upload(desk.folder, desk.server, desk.bucket)
    assert there(model.TWIN) == (desk.folder / model.TWIN).read_bytes()


def test_a_checkpoint_that_arrives_by_halves_is_not_taken_for_one(desk):
    with desk.proxy.failing("s3", "GET", "answer cut off", always=True, about="round-0000"):
        with pytest.raises(FederationError, match=f"the checkpoints in bucket {desk.bucket} cannot be read"):
            desk.checkpoints().latest()
    assert desk.checkpoints().latest() is not None


@pytest.mark.promise("F-03", "A run is only resumed with the settings that it had, and only if there is one")
def test_a_run_is_only_resumed_with_the_settings_that_it_had(desk):
    def opened(settings, resume=""):
        return federation.open_run("127.0.0.1", settings, session=desk.server, bucket=desk.bucket, resume=resume)

    zeros = [np.zeros((1, 49)), np.zeros(1)], task.Scaler(np.zeros(49), np.ones(49))
    done = Round(1, 0.5, 0.1, 0.7, 1.0, 1, 1, 3, {})
    first = opened({"max_iter": 10})
    first.checkpoints.save(Progress(*zeros, {}, [done]))
    first.finish()
    with pytest.raises(FederationError, match=f"run {first.id} had other data, training parameters or terms"):
        opened({"max_iter": 1}, resume=first.id)
    with pytest.raises(FederationError, match=r"RESUME is nobody, and bucket fl-storage-.* has no checkpoint"):
        opened({"max_iter": 10}, resume="nobody")
    assert opened({"max_iter": 10}, resume=first.id).rounds_done == 1
    assert opened({"max_iter": 10}).id == first.id


def test_a_checkpoint_that_is_damaged_here_is_taken_from_the_bucket(desk):
    zeros = [np.zeros((1, 49)), np.zeros(1)], task.Scaler(np.zeros(49), np.ones(49))
    kept = Checkpoints(desk.folder / "run", "twice", session=desk.server, bucket=desk.bucket)
    for number in (1, 2):
        newest = kept.save(Progress(*zeros, {}, [Round(n, 0.5, 0.1, 0.7, 1.0, 1, 1, 3, {}) for n in range(number)]))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert len(kept.latest().history) == 2


@pytest.mark.promise("F-07", "A borrowed role is borrowed again before it ends")
def test_a_borrowed_role_is_borrowed_again_before_it_ends(desk):
    with desk.proxy.failing("sts", "AssumeRole", about="kickoff") as counted:
        assert desk.machine.known() is kickoff.Known.NEVER
        assert counted.met == 0
        before = _ends_in(desk.job.session, minutes=5)
        assert desk.machine.known() is kickoff.Known.NEVER
        assert desk.machine.known() is kickoff.Known.NEVER
        assert counted.met == 1
    after = desk.job.session.get_credentials()
    assert after.get_frozen_credentials().access_key != before
    assert after._expiry_time - datetime.now(UTC) > timedelta(minutes=50)


def test_a_role_that_cannot_be_borrowed_again_serves_as_long_as_it_lasts(desk):
    running(desk)
    with desk.proxy.failing("sts", "AssumeRole", "InternalError", always=True, about="kickoff") as fault:
        before = _ends_in(desk.job.session, minutes=12)
        assert desk.job.lookup() == "InProgress"
        assert fault.met == TRIES
        assert desk.job.session.get_credentials().get_frozen_credentials().access_key == before
        _ends_in(desk.job.session, minutes=5)
        with pytest.raises(JobError, match=f"says nothing about job {desk.job.job_name}: .*AssumeRole"):
            desk.job.describe()


def _ends_in(session, *, minutes):
    """Let a session's credentials end soon; return their key."""
    credentials = session.get_credentials()
    credentials._expiry_time = datetime.now(UTC) + timedelta(minutes=minutes)
    return credentials._frozen_credentials.access_key


def _saved(result):
    return model.save(
        state.home() / "model", result.parameters, result.scaler, problems.load(), threshold=result.threshold, about={}
    ).parent


def _run(proxy):
    return json.loads((state.home() / "federation" / "run.json").read_text())["id"]


def _jobs(stage, client, *, run):
    """Return the status of a run's jobs in an account, by name."""
    listed = stage.sessions[client.name].client("sagemaker").list_training_jobs(NameContains=run)
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in listed["TrainingJobSummaries"]}


def _ended(started):
    wait_until(lambda: all(job.lookup() in jobs.FINISHED for job in started))
