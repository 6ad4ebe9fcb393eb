"""Jobs that are stopped, kernels that are killed and disks that are full: what was done is kept and taken up again."""

import contextlib
import io
import os
import re
import subprocess
import sys
import tarfile
import time

import checkpoint
import joblib
import kernel
import numpy as np
import pytest
import task
from cohort import Cohort, unpacked

from workshop import state
from workshop.aws import cleanup, jobs, kickoff
from workshop.errors import FederationError, JobError
from workshop.federation.checkpoints import Checkpoints
from workshop.lessons import rehearsal

ROUNDS = 4
SETTINGS = {"rounds": ROUNDS}
TIME = 12  # seconds that some jobs get
MODEL = task.GlobalModel([np.ones((1, 49)), np.ones(1)], task.Scaler(np.zeros(49), np.ones(49)))


@pytest.fixture(scope="module")
def stage(serve_aws, tmp_path_factory):
    """Return connected accounts on an AWS that gives a stopped job as long as it needs."""
    home = tmp_path_factory.mktemp("ends")
    process, _ = serve_aws(home, n_clients=3, EMBEDDED_AWS_STOP_GRACE="60")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(home))
        try:
            connected = rehearsal.connect_accounts(n_clients=3)
            kernel.prepare(connected)
            yield connected
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def undisturbed(stage):
    return rehearsal.federate(stage, rounds=ROUNDS)[0]


@contextlib.contextmanager
def _machines_give(stage, seconds):
    """Let every owner's state machine give its jobs less time while the block runs."""
    before = {}
    for client in stage.clients:
        states = stage.sessions[client.name].client("stepfunctions")
        before[client] = states.describe_state_machine(stateMachineArn=client.machine)["definition"]
        definition = before[client].replace('"MaxRuntimeInSeconds": 3600', f'"MaxRuntimeInSeconds": {seconds}')
        assert definition != before[client]
        states.update_state_machine(stateMachineArn=client.machine, definition=definition)
    yield
    for client, definition in before.items():
        states = stage.sessions[client.name].client("stepfunctions")
        states.update_state_machine(stateMachineArn=client.machine, definition=definition)


@pytest.fixture(scope="module", params=["StopTrainingJob", "MaxRuntimeInSeconds"])
def cut_off(request, stage, undisturbed):
    """Return how a job ended that was cut off after round 2, in what time, and what came of the next attempt."""
    short = request.param == "MaxRuntimeInSeconds"
    with _machines_give(stage, TIME) if short else contextlib.nullcontext():
        first = kernel.start(SETTINGS | {"how": request.param})
    job, seconds = first.started[1], []

    def end(message, history):
        if message.startswith(f"round 3 of {ROUNDS}: clients are training") and not seconds:
            if not short:
                job.stop()
            began = time.monotonic()
            _wait_for(job)
            seconds.append(time.monotonic() - began)

    with pytest.raises(FederationError, match=f"round 3 of {ROUNDS} has . usable answers and needs 3"):
        kernel.lead(first, progress=end, rounds=ROUNDS, quorum=3)
    for each in first.started:
        _wait_for(each)
    second = kernel.start(SETTINGS | {"how": request.param})
    result = kernel.lead(second, rounds=ROUNDS)
    jobs.wait(second.started)
    second.run.finish()
    return job.describe(), seconds[0], second, result


@pytest.mark.promise(
    "F-06",
    "A job that is stopped or runs out of time while the server leads is let go and ends within 5 s (on AWS 15 s); "
    "where no server leads, AWS kills it after 120 s, with the checkpoint of its last round in its bucket and no model",
)
def test_the_server_lets_go_of_a_job_that_is_cut_off(cut_off):
    description, seconds, *_ = cut_off
    expected = "MaxRuntimeExceeded" if description["StoppingCondition"]["MaxRuntimeInSeconds"] == TIME else "Stopped"
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", expected)
    assert "FailureReason" not in description
    if expected == "Stopped":
        assert seconds < 5
    else:
        steps = {step["Status"]: step for step in description["SecondaryStatusTransitions"]}
        assert TIME <= (description["TrainingEndTime"] - steps["Training"]["StartTime"]).total_seconds() < TIME + 5


@pytest.mark.promise("F-06", "It leaves its model and its checkpoint in its own bucket")
def test_it_leaves_its_model_and_its_checkpoint_in_its_own_bucket(stage, cut_off):
    description, _, second, _ = cut_off
    storage, bucket = stage.sessions["client-2"].client("s3"), stage.clients[1].bucket
    artefact = description["ModelArtifacts"]["S3ModelArtifacts"]
    assert artefact == f"s3://{bucket}/artefacts/{description['TrainingJobName']}/output/model.tar.gz"
    packed = storage.get_object(Bucket=bucket, Key=artefact.removeprefix(f"s3://{bucket}/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["model.joblib"]
        model = joblib.load(io.BytesIO(tar.extractfile("model.joblib").read())).named_steps["model"]
    folder = f"artefacts/checkpoints/{second.run.id}/"
    assert [item["Key"] for item in storage.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]] == [
        f"{folder}global.npz"
    ]
    versions = storage.list_object_versions(Bucket=bucket, Prefix=folder)["Versions"]
    oldest = min(versions, key=lambda version: version["LastModified"])["VersionId"]
    kept = storage.get_object(Bucket=bucket, Key=f"{folder}global.npz", VersionId=oldest)["Body"].read()
    with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["coef"], model.coef_)
        assert arrays["coef"].any()


@pytest.mark.promise("F-06", "The next attempt restores it, and the run goes on after its last round, bit by bit")
def test_the_next_attempt_restores_it_and_the_run_goes_on_after_its_last_round(stage, cut_off, undisturbed):
    description, _, second, result = cut_off
    assert second.run.rounds_done == result.resumed == 2
    names = [job.job_name for job in second.started]
    assert names == [f"fl-client-{number}-{second.run.id}-2" for number in (1, 2, 3)]
    assert description["TrainingJobName"] == f"fl-client-2-{second.run.id}-1"
    log = jobs.log_tail(stage.sessions["client-2"], second.started[1].job_name, 50)
    assert "carrying on with the global model of /opt/ml/checkpoints/global.npz" in log
    assert [entry.round for entry in result.history] == [1, 2, 3, 4]
    for ours, theirs in zip(result.parameters, undisturbed.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # bit by bit
    assert result.threshold == undisturbed.threshold


@pytest.mark.promise("F-08", "A kernel that was killed after the kick-off finds its jobs: none is started twice")
def test_a_kernel_that_was_killed_after_the_kick_off_finds_its_jobs(stage):
    kernel.killed("start", SETTINGS, at="started")
    before = _running(stage)
    again = kernel.start(SETTINGS)
    assert {job.name: [job.job_name] for job in again.started} == before == _running(stage)
    assert all(name.endswith("-1") for names in before.values() for name in names)


@pytest.mark.promise("F-08", "With other settings the jobs left behind are stopped before new ones start")
def test_with_other_settings_they_are_stopped_before_new_ones_start(stage):
    before = _running(stage)
    again = kernel.start(SETTINGS | {"seed": 1}, seed=1)
    assert again.run.before == tuple({name.split("-")[3] for names in before.values() for name in names})
    assert {job.name: [job.job_name] for job in again.started} == _running(stage)
    assert not {name for names in before.values() for name in names} & {job.job_name for job in again.started}
    again.run.finish()
    for job in again.started:
        job.stop()


def test_a_kernel_that_was_killed_in_a_round_carries_on_with_the_very_same_jobs(stage, undisturbed):
    kernel.killed("lead", SETTINGS, at=f"round 2 of {ROUNDS} is done")
    before = _running(stage)
    again = kernel.start(SETTINGS)
    assert {job.name: [job.job_name] for job in again.started} == before
    result = kernel.lead(again, rounds=ROUNDS)
    jobs.wait(again.started)
    again.run.finish()
    assert result.resumed >= 1
    for ours, theirs in zip(result.parameters, undisturbed.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(params=["full", "read-only"])
def no_room(request, tmp_path):
    """Return a folder of 1 MB, a function that lets nothing be written there any more, and the system's words."""
    if sys.platform != "linux":
        pytest.skip("needs Linux's tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("needs to be root, to make a file system of 1 MB")

    def spoil():
        if request.param == "full":
            with pytest.raises(OSError), (folder / "others").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    def mend():
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        (folder / "others").unlink(missing_ok=True)

    try:
        yield (
            folder,
            spoil,
            mend,
            {"full": "No space left on device", "read-only": "Read-only file system"}[request.param],
        )
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.promise("F-09", "A full disk fails the job with folder and reason and leaves no half a model")
def test_a_model_folder_without_room_fails_the_job_and_leaves_no_half_a_model(stage, no_room):
    folder, spoil, _, words = no_room
    spoil()
    before = {path.name for path in folder.iterdir()}
    place, certificates = rehearsal.stand(stage)
    started = []
    for client in stage.clients:
        request = kickoff.training_request(
            client, name=kickoff.job_name(client.name), image=rehearsal.IMAGE, server_address=place.address,
            ca_certificate=certificates.authority_hyperparameter(),
        )  # fmt: skip
        if client.name == "client-2":
            request["HyperParameters"]["model-dir"] = str(folder)
        started.append(kickoff.start(client, stage.sessions[client.name], request))
    result = rehearsal.lead(stage, started, place=place, certificates=certificates, rounds=2)
    assert len(result.history) == 2
    with pytest.raises(JobError) as error:
        jobs.wait(started)
    reason = started[1].describe()["FailureReason"]
    what = f"the global model cannot be written to the folder {folder.name}: {words}"
    assert reason == f"AlgorithmError: {what}, exit code: 1"  # the server reads it: the folder's name, not where it is
    assert reason in str(error.value)
    assert "client-1 (account" not in str(error.value)
    assert {path.name for path in folder.iterdir()} == before
    assert "ModelArtifacts" not in started[1].describe()


@pytest.mark.promise("F-09", "A full disk ends the run with what to do; with room again it carries on")
def test_a_checkpoint_folder_without_room_ends_the_run_and_one_with_room_carries_on(three, no_room, tmp_path):
    folder, spoil, mend, words = no_room
    whole = Cohort(three)
    whole.join()
    undisturbed = whole.run(rounds=3)

    cohort, checkpoints = Cohort(three, patience=20), Checkpoints(folder, "run")
    cohort.join()
    with pytest.raises(FederationError) as error:
        cohort.run(
            rounds=3, checkpoints=checkpoints,
            progress=lambda message, history: spoil() if message.startswith("round 2 of 3 is done") else None,
        )  # fmt: skip
    assert f"the checkpoint of round 2 cannot be written to {folder} ({words}): make room" in str(error.value)
    assert "carries on after the last round that was saved" in str(error.value)
    assert [path.suffix for path in folder.glob("round-*")] == [".npz"]
    assert len(checkpoints.latest().history) == 1
    cohort.leave()

    mend()
    later = Cohort(three)
    later.join()
    result = later.run(rounds=3, checkpoints=checkpoints)
    assert result.resumed == 1
    for ours, theirs in zip(result.parameters, undisturbed.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_client_without_room_for_its_checkpoint_goes_on_without(no_room, caplog):
    folder, spoil, _, words = no_room
    spoil()
    before = {path.name for path in folder.iterdir()}
    latest = checkpoint.Latest(folder)
    with caplog.at_level("INFO"):
        latest.keep(MODEL)
    assert latest.model is MODEL
    assert f"{folder / 'global.npz'} cannot be written ({words})" in caplog.text
    assert {path.name for path in folder.iterdir()} == before


def test_a_job_that_is_stopped_while_it_writes_a_checkpoint_keeps_the_one_before(tmp_path, monkeypatch):
    latest = checkpoint.Latest(tmp_path)
    latest.keep(MODEL)

    def stopped(*_):
        raise SystemExit(143)  # what SIGTERM does in a job

    monkeypatch.setattr(checkpoint.os, "fsync", stopped)
    with pytest.raises(SystemExit):
        latest.keep(MODEL)
    assert [path.name for path in tmp_path.iterdir()] == ["global.npz"]
    assert checkpoint.Latest(tmp_path).model is not None


STOPPED_WHILE_IT_SAVES = """
import os, signal, sys
import client, connection, joblib, numpy as np, task

dump = joblib.dump
def stopped(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    dump(*arguments)
task.joblib.dump = stopped
model = [np.zeros((1, 49)), np.zeros(1), np.zeros(49), np.ones(49)]
connection.stay = lambda member, *_, **__: member.numpy_client._keep(model)
sys.exit(client.main())
"""


def test_a_job_that_is_stopped_while_it_saves_its_model_saves_it(stage, tmp_path):
    options = ["--server-address=127.0.0.1:9", "--ca-certificate=MII=", "--bucket=none"]
    options.append(f"--train={state.home() / 'data' / 'client-1'}")
    environment = os.environ | {
        "TRAINING_JOB_NAME": "fl-x", "SM_OUTPUT_DIR": str(tmp_path), "SM_MODEL_DIR": str(tmp_path)
    }  # fmt: skip
    command = [sys.executable, "-c", STOPPED_WHILE_IT_SAVES, *options]
    subprocess.run(command, env=environment, cwd=unpacked(tmp_path / "code"), timeout=60)
    assert joblib.load(tmp_path / "model.joblib").named_steps["model"].coef_.shape == (1, 49)


@pytest.mark.promise("F-08", "Cleaning up stops every job, and twice is harmless")
def test_cleaning_up_stops_every_job_and_twice_is_harmless(stage):
    kernel.killed("start", SETTINGS, at="started")
    assert all(len(names) == 1 for names in _running(stage).values())
    first = cleanup.delete_all(stage.sessions)
    assert (first.loc[["client-1", "client-2", "client-3"], "jobs"] >= 1).all()
    assert not any(_running(stage).values())
    assert not cleanup.delete_all(stage.sessions).to_numpy().any()
    assert cleanup.left_over(stage.sessions).empty


def _running(stage) -> dict[str, list[str]]:
    """Return the names of the jobs that are in progress, by client."""
    found = {}
    for client in stage.clients:
        listed = stage.sessions[client.name].client("sagemaker").list_training_jobs(StatusEquals="InProgress")
        found[client.name] = [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]]
        assert all(re.match(r"fl-client-\d-", name) for name in found[client.name])
    return found


def _wait_for(job) -> None:
    give_up = time.monotonic() + 20
    while job.describe()["TrainingJobStatus"] not in jobs.FINISHED:
        assert time.monotonic() < give_up, f"{job.job_name}: {job.status()}"
        time.sleep(0.05)
