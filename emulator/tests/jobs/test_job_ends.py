"""Every end of a job: stopped, killed, out of time, and with the server itself gone."""

import os
import signal
import time

import psutil
import pytest
from botocore.exceptions import ClientError
from training_desk import Desk

PATIENT = """
import signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, {handler})
print("ready")
while True:
    time.sleep(0.01)
"""
SAVES = """lambda *_: (open(__import__("os").environ["SM_MODEL_DIR"] + "/m", "w").write("saved"), sys.exit(0))"""
DEAF = "signal.SIG_IGN"


def processes_of(home):
    """Return every process that works below a folder, and every supervisor."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in process.cwd() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def nobody_left(home, *, within):
    give_up = time.monotonic() + within
    while processes_of(home):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("handler", [SAVES, DEAF])
def test_a_stopped_job_hears_nothing_of_it_and_is_killed_after_the_grace(desk, aws, name, handler):
    """SageMaker's toolkit is the container's first process and hands no signal on: see test_toolkit_conformance."""
    desk.start(PATIENT.format(handler=handler), name=name)
    desk.says(name, "ready")
    before = time.monotonic()
    desk.sagemaker.stop_training_job(TrainingJobName=name)
    assert desk.describe(name)["TrainingJobStatus"] == "Stopping"
    with pytest.raises(ClientError, match="is in status Stopping"):
        desk.sagemaker.stop_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="stop it first"):
        desk.sagemaker.delete_training_job(TrainingJobName=name)
    job = desk.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Stopping", "Stopped"]
    assert 1 <= time.monotonic() - before < 5  # the fixture's grace is one second
    assert desk.artefact(job["ModelArtifacts"]["S3ModelArtifacts"]) == {}
    assert "FailureReason" not in job
    assert nobody_left(aws.home / "embedded" / "jobs", within=2), "the script's own child is left"


def test_a_job_that_ends_by_itself_while_it_is_stopped_leaves_its_model(desk, name):
    script = """
import os, time
open(os.environ["SM_MODEL_DIR"] + "/m", "w").write("saved")
print("ready", flush=True)
time.sleep(0.5)
"""
    desk.start(script, name=name)
    desk.says(name, "ready")
    desk.sagemaker.stop_training_job(TrainingJobName=name)
    job = desk.ended(name)
    assert job["TrainingJobStatus"] == "Stopped"
    assert desk.artefact(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"m": b"saved"}


def test_a_job_out_of_time_is_stopped(desk, name):
    job = desk.run(PATIENT.format(handler=SAVES), name=name, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert 2 <= (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds() < 6  # and a second's grace
    assert job["BillableTimeInSeconds"] >= 2


def test_a_job_whose_supervisor_is_killed_fails_and_leaves_nobody(desk, aws, name):
    desk.start(PATIENT.format(handler=DEAF), name=name)
    desk.says(name, "ready")
    folder = aws.home / "embedded" / "jobs" / "000400040004" / name
    (supervisor,) = [process for process in processes_of(folder) if "supervisor of" in " ".join(process.cmdline())]
    supervisor.kill()
    assert desk.ended(name)["FailureReason"].endswith("exit code: 137")
    assert nobody_left(folder, within=2)


def test_what_a_script_leaves_running_ends_with_it(desk, aws, name):
    script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    assert desk.run(script, name=name)["TrainingJobStatus"] == "Completed"
    assert nobody_left(aws.home / "embedded" / "jobs" / "000400040004" / name, within=2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_job_outlives_the_server(serve_aws, tmp_path, number):
    process, own = serve_aws(tmp_path)
    try:
        desk = Desk.open(own.session("client-1"), "jobs")
        names = [desk.start(PATIENT.format(handler=DEAF), name=f"fl-{number}") for number in range(3)]
        for name in names:
            desk.says(name, "ready")
        assert len(processes_of(tmp_path)) >= 9  # supervisor, script and its child, three times
        os.kill(own.pid, number)
        assert nobody_left(tmp_path, within=1)
    finally:
        process.kill()
        process.wait()
