"""Processes that a script leaves behind, in whatever way they have gone off, end with the job."""

import os
import signal
import textwrap
import time

import psutil
import pytest
from training_desk import Desk

# A daemon as in Stevens' book: fork, setsid, fork again, another folder, no descriptor of the job's.
DAEMON = """
import os, pathlib, signal, sys, time
def daemon(then):
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    then()
    os.closerange(0, 1000)
    while True:
        time.sleep(600)
def tell():
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.getpid()}\\n")
def told(number):
    while not os.path.exists(os.environ["PIDS"]) or len(open(os.environ["PIDS"]).readlines()) < number:
        time.sleep(0.01)
"""
LEAVE = {
    "a daemon": "daemon(tell); told(1)",
    "a daemon that is deaf": """
        def deaf():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            tell()
        daemon(deaf); told(1)
    """,
    "a daemon that is stopped": """
        def stop():
            tell()
            os.kill(os.getpid(), signal.SIGSTOP)
        daemon(stop); told(1)
    """,
    "a daemon with another environment": """
        def other():
            tell()
            os.execve("/bin/sleep", ["sleep", "600"], {})
        daemon(other); told(1)
    """,
    "a daemon of a daemon": """
        def two():
            tell()
            daemon(tell)
        daemon(two); told(2)
    """,
    "twenty daemons": "for _ in range(20): daemon(tell)\ntold(20)",
    "a session of its own": """
        import subprocess
        process = subprocess.Popen(["sleep", "600"], start_new_session=True, cwd="/", env={})
        open(os.environ["PIDS"], "w").write(f"{process.pid}\\n")
    """,
}
ENDS = {
    "Completed": "",
    "Failed": "sys.exit(3)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "its own group is told to end": "os.killpg(0, signal.SIGTERM)",
}


def script(leave, end):
    return DAEMON + textwrap.dedent(leave) + f"\nprint('ready', flush=True)\n{end}\n"


def alive(pids):
    """Return those of some processes that still do something."""
    there = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                there.append(pid)
        except psutil.NoSuchProcess:
            continue
    return there


@pytest.fixture
def pids(tmp_path):
    """Return a file for process ids; who is in it at the end is ended."""
    file = tmp_path / "pids"
    yield file
    for pid in alive(read(file)):
        os.kill(pid, signal.SIGKILL)


def read(file):
    return [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.mark.parametrize("leave", LEAVE)
def test_what_left_the_session_is_gone_when_the_job_has_ended(desk, name, pids, leave):
    job = desk.run(script(LEAVE[leave], ""), name=name, Environment={"PIDS": str(pids)})
    assert job["TrainingJobStatus"] == "Completed", job
    assert read(pids)
    assert alive(read(pids)) == []


@pytest.mark.parametrize("end", ENDS)
def test_it_is_gone_whatever_the_end(desk, name, pids, end):
    job = desk.run(script(LEAVE["a daemon"], ENDS[end]), name=name, Environment={"PIDS": str(pids)})
    assert job["TrainingJobStatus"] == ("Completed" if end == "Completed" else "Failed")
    if end == "its own group is told to end":
        assert job["FailureReason"].endswith("exit code: 143")  # 128 + SIGTERM
    assert len(read(pids)) == 1
    assert alive(read(pids)) == []


@pytest.mark.parametrize("how", ["stopped", "out of time"])
def test_it_is_gone_when_the_job_is_cut_off(desk, name, pids, how):
    limit = {"MaxRuntimeInSeconds": 2 if how == "out of time" else 60}
    environment = {"PIDS": str(pids)}
    endless = script(LEAVE["a daemon that is deaf"], "time.sleep(600)")
    desk.start(endless, name=name, Environment=environment, StoppingCondition=limit)
    desk.says(name, "ready")
    if how == "stopped":
        desk.sagemaker.stop_training_job(TrainingJobName=name)
    assert desk.ended(name)["TrainingJobStatus"] == "Stopped"
    assert len(read(pids)) == 1
    assert alive(read(pids)) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_it_is_gone_when_the_script_attacks_its_supervisor(desk, name, pids, number):
    end = f"os.kill(os.getppid(), {int(number)})\ntime.sleep(600)"
    desk.start(script(LEAVE["a daemon"], end), name=name, Environment={"PIDS": str(pids)})
    desk.says(name, "ready")
    if number == signal.SIGSTOP:
        desk.sagemaker.stop_training_job(TrainingJobName=name)
    desk.ended(name)
    assert len(read(pids)) == 1
    assert alive(read(pids)) == []


def test_another_job_s_processes_are_spared(desk, name, pids):
    desk.start(script(LEAVE["a daemon"], "time.sleep(600)"), name=name, Environment={"PIDS": str(pids)})
    desk.says(name, "ready")
    killed = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    assert desk.run(killed, name=f"{name}-killed")["TrainingJobStatus"] == "Failed"
    assert len(alive(read(pids))) == 1
    assert desk.describe(name)["TrainingJobStatus"] == "InProgress"
    desk.sagemaker.stop_training_job(TrainingJobName=name)
    desk.ended(name)
    assert alive(read(pids)) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_server(serve_aws, tmp_path, pids, number):
    process, own = serve_aws(tmp_path)
    try:
        desk = Desk.open(own.session("client-1"), "jobs")
        desk.start(script(LEAVE["a daemon"], "time.sleep(600)"), name="fl-job", Environment={"PIDS": str(pids)})
        desk.says("fl-job", "ready")
        assert len(alive(read(pids))) == 1
        os.kill(own.pid, number)
        give_up = time.monotonic() + 2
        while alive(read(pids)):
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def test_where_nobody_adopts_orphans_the_environment_tells_whose_a_process_is(tmp_path):
    """What is done on macOS, tried on any system."""
    import subprocess

    from embedded_aws.jobs import process

    arn = f"arn:aws:sagemaker:us-east-1:111122223333:training-job/{tmp_path.name}"
    marked = subprocess.Popen(["sleep", "600"], env={**os.environ, "TRAINING_JOB_ARN": arn}, start_new_session=True)
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, "TRAINING_JOB_ARN": f"{arn}-2"})
    try:
        give_up = time.monotonic() + 5
        while b"TRAINING" not in b"".join(part.encode() for part in psutil.Process(marked.pid).environ()):
            assert time.monotonic() < give_up
        process.end_marked(arn)
        assert marked.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for child in (marked, other):
            child.kill()
            child.wait()


def left_by_jobs(pid, jobs):
    """Return what a server has of what may grow: threads, descriptors, processes, files in its jobs' folder."""
    server = psutil.Process(pid)
    return {
        "threads": server.num_threads(),
        "descriptors": server.num_fds(),
        "processes": len(server.children(recursive=True)),
        "files": len(list(jobs.rglob("*"))),
    }


def test_thirty_jobs_leave_no_more_than_three(serve_aws, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process, own = serve_aws(tmp_path / "home", n_clients=1, TMPDIR=str(temporary))
    try:
        desk = Desk.open(own.session("client-1"), "jobs")
        jobs = own.home / "embedded" / "jobs" / "444455556666"
        config = {"S3Uri": f"s3://{desk.bucket}/checkpoints/"}
        talk = "print('x' * 100)\nopen('../checkpoints/c', 'w').write('1')\n"
        ends = {"": "Completed", "raise ValueError": "Failed", "import os; os.kill(os.getpid(), 9)": "Failed"}

        def run(number):
            end = list(ends)[number % 3]
            job = desk.run(talk + end, name=f"fl-job-{number}", CheckpointConfig=config)
            assert job["TrainingJobStatus"] == ends[end]

        def settled():
            """Requests' threads and sockets are gone soon after their answers."""
            give_up, now = time.monotonic() + 10, left_by_jobs(own.pid, jobs)
            while time.monotonic() < give_up:
                time.sleep(0.5)
                before, now = now, left_by_jobs(own.pid, jobs)
                if now == before:
                    break
            return now

        for number in range(3):
            run(number)
        few = settled()
        for number in range(3, 33):
            run(number)
        many = settled()
        assert all(many[what] <= few[what] + 2 for what in few), (few, many)
        assert many["files"] == 0
        assert [path for path in temporary.rglob("*") if path.is_file()] == []
    finally:
        process.kill()
        process.wait()
