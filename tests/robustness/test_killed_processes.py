"""Processes that are killed in the middle, twenty times in a row: jobs of the embedded AWS, and the server itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import numpy as np
import pytest

from workshop import federation
from workshop.aws import jobs
from workshop.errors import FederationError
from workshop.federation import tls
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.words import narrate
from workshop.lessons import rehearsal

TIMES = int(os.environ.get("TIMES", "5"))  # `make reliability`: 20


@pytest.fixture(scope="module")
def stage(aws):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(aws.home))
        connected = rehearsal.connect_accounts(n_clients=3, seed=0)
        yield connected
        rehearsal.clean_up(connected)


@pytest.fixture(scope="module")
def undisturbed(stage):
    return rehearsal.federate(stage, rounds=3)[0]


def stopped(started) -> None:
    give_up = time.monotonic() + 30
    while any(job.describe()["TrainingJobStatus"] not in jobs.FINISHED for job in started):
        assert time.monotonic() < give_up, "a job is still running"
        time.sleep(0.1)


@pytest.mark.promise("F-01", "A client whose process is killed in round 2 ends nothing: the others finish all rounds")
@pytest.mark.timeout(400)
def test_a_client_is_killed_in_round_2(stage, kill_job, figure):
    took = []
    for time_and_again in range(TIMES):
        place, certificates = rehearsal.stand(stage)
        started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
        victim, killed = started[time_and_again % 3], threading.Event()

        def strike(message, history, victim=victim, killed=killed):
            if message.startswith("round 2 of 3: ") and not killed.is_set():
                killed.set()
                kill_job(victim.job_name)

        result = rehearsal.lead(
            stage, started, place=place, certificates=certificates, sinks=[narrate(strike)], round=30
        )
        assert [entry.clients for entry in result.history] in ([3, 2, 2], [3, 3, 2])  # it may just have answered
        assert victim.name in result.history[-1].left_out
        took.append(max(entry.seconds for entry in result.history))
        assert took[-1] < 30 + 10
        stopped(started)
    figure(f"{TIMES} of {TIMES} runs finish; the longest round took {max(took):.1f} s")


@pytest.mark.promise("F-01", "With a quorum of all clients the run ends at once instead and names the client")
def test_a_client_is_killed_and_everybody_is_needed(stage, kill_job, figure):
    place, certificates = rehearsal.stand(stage)
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    began = []

    def strike(message, history):
        if message.startswith("round 2 of 3: ") and not began:
            began.append(time.monotonic())
            kill_job(started[1].job_name)

    with pytest.raises(FederationError, match=r"client-2: no answer \(its job has ended\)") as error:
        rehearsal.lead(stage, started, place=place, certificates=certificates, sinks=[narrate(strike)], quorum=3)
    figure(f"{time.monotonic() - began[0]:.1f} s from the kill to the error")
    assert "Failed" in str(error.value)
    stopped(started)


SERVER = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from workshop import federation
from workshop.aws import accounts, jobs
from workshop.federation import tls
from workshop import problems
from workshop.federation.checkpoints import Checkpoints

told = json.loads(sys.stdin.read())
folder = Path(told["folder"])
rows = np.load(folder / "test.npz")
certificates = tls.Authority.load(folder).issue(told["host"])
started = [
    jobs.TrainingJob(jobs.ClientAccount.of(entry), name, accounts.session(entry["name"]))
    for entry, name in told["jobs"]
]

def strike(message, history):
    if told["die"] and message.startswith(told["die"]):
        os.kill(os.getpid(), signal.SIGKILL)

result = federation.run(
    started, listen=told["listen"], certificates=certificates,
    caller=federation.Verifier(accounts.session("server"), certificates.fingerprint).caller,
    test=(rows["features"], rows["labels"]), problem=problems.load(), checkpoints=Checkpoints(folder, "run"),
    sinks=[federation.narrate(strike)],
)
parameters = [array.tolist() for array in result.parameters]
print(json.dumps({"parameters": parameters, "resumed": result.resumed, "seconds": [e.seconds for e in result.history]}))
"""


def serve(told: dict, *, die: str = "") -> subprocess.CompletedProcess:
    """Be the server in a process of its own; if told so, die by SIGKILL when a message comes."""
    return subprocess.run(
        [sys.executable, "-c", SERVER], input=json.dumps(told | {"die": die}), env=os.environ, capture_output=True,
        text=True, timeout=100,
    )  # fmt: skip


@pytest.mark.promise(
    "F-03", "A server that is killed in round 2 resumes after round 1, and the model is the same bit by bit"
)
@pytest.mark.timeout(600)
def test_the_server_is_killed_in_round_2(stage, undisturbed, tmp_path, figure):
    np.savez(tmp_path / "test.npz", features=stage.test[0], labels=stage.test[1])
    authority = tls.Authority.make()
    authority.save(tmp_path)
    took = []
    for _ in range(TIMES):
        place = federation.place(stage.server_host, stage.port)
        started = rehearsal.kick_off(stage, certificates=authority.issue(stage.server_host), address=place.address)
        names = [(asdict(job.client), job.job_name) for job in started]
        told = {"folder": str(tmp_path), "host": stage.server_host, "listen": place.listen, "jobs": names}
        assert serve(told, die="round 2 of 3: ").returncode == -signal.SIGKILL
        began = time.monotonic()
        second = serve(told)
        took.append(time.monotonic() - began)
        assert second.returncode == 0, second.stderr[-2000:]
        answer = json.loads(second.stdout.splitlines()[-1])
        assert answer["resumed"] == 1
        for ours, theirs in zip(answer["parameters"], undisturbed.parameters, strict=True):
            np.testing.assert_array_equal(np.array(ours), theirs)
        assert (jobs.wait(started)["status"] == "Completed").all()  # the very same jobs, which had dialled again
        Checkpoints(tmp_path, "run").forget()
    assert max(took) < 30
    figure(f"{TIMES} of {TIMES} runs end bit-equal; {max(took):.1f} s at most from the new start to the model")
