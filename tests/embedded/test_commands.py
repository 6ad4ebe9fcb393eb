"""``python -m embedded_aws``: start, status, stop, run, serve."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SAY_PROFILES = """
import boto3, os
print(boto3.Session(profile_name="fl-client-1").client("sts").get_caller_identity()["Account"])
print(sorted(name for name in os.environ if name.startswith("AWS_")))
"""


def call(home, *arguments, **environment):
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "--clients", "1", *arguments]
    settings = {**os.environ, **environment}
    return subprocess.run(
        command, cwd=REPOSITORY, env=settings, capture_output=True, text=True, timeout=60, check=False
    )


def gone(pid, *, within):
    give_up = time.monotonic() + within
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    call(tmp_path, "stop")


def server_of(home):
    from embedded_aws import control

    return control.find(control.Files(home))


def test_start_status_and_stop(home):
    assert call(home, "status").stdout == "not running\n"
    assert call(home, "stop").stdout == "was not running\n"
    started = call(home, "start")
    assert started.returncode == 0
    assert str(home / "embedded" / "aws-config") in started.stdout
    first = server_of(home)
    assert call(home, "start").returncode == 0
    assert server_of(home) == first, "a second start is the first one"
    assert f"process {first.pid}" in call(home, "status").stdout
    assert call(home, "stop").stdout == "stopped\n"
    assert gone(first.pid, within=2)
    assert call(home, "status").returncode == 1
    assert not (home / "embedded" / "aws-config").exists()


def test_a_second_server_for_a_home_is_refused(home):
    call(home, "start")
    for command in (["serve"], ["run", "--", "true"]):
        refused = call(home, *command)
        assert refused.returncode == 1
        assert "already" in refused.stderr
    assert "running at" in call(home, "status").stdout


def test_nothing_fails_behind_the_scenes_while_it_warms_up(home):
    assert call(home, "run", "--", "sleep", "3").returncode == 0
    assert "Traceback" not in (home / "embedded" / "server.log").read_text()


def test_a_killed_server_is_not_in_the_way(home):
    call(home, "start")
    killed = server_of(home)
    os.kill(killed.pid, signal.SIGKILL)
    assert gone(killed.pid, within=2)
    assert call(home, "status").stdout == "not running\n"
    assert call(home, "start").returncode == 0
    assert server_of(home).pid != killed.pid


def test_stop_spares_a_process_that_is_not_the_server(home):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        call(home, "start")
        record = home / "embedded" / "server.json"
        server = server_of(home)
        record.write_text(record.read_text().replace(f'"pid": {server.pid}', f'"pid": {bystander.pid}'))
        assert call(home, "stop").stdout == "was not running\n"
        assert bystander.poll() is None
        os.kill(server.pid, signal.SIGTERM)
        assert gone(server.pid, within=2)
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_that_does_not_start_says_why(home):
    (home / "embedded").mkdir()
    (home / "embedded" / "jobs").mkdir()
    (home / "embedded" / "aws-config").mkdir()  # in the way of the config file
    failed = call(home, "start")
    assert failed.returncode == 1
    assert "ended with exit code 1" in failed.stderr
    assert "IsADirectoryError" in failed.stderr


def test_run_gives_the_command_the_profiles_and_no_other_aws(home):
    foreign = {"AWS_ACCESS_KEY_ID": "AKIAFOREIGN", "AWS_PROFILE": "mine", "AWS_ENDPOINT_URL": "http://elsewhere"}
    ran = call(home, "run", "--", sys.executable, "-c", SAY_PROFILES, HTTP_PROXY="http://127.0.0.1:9", **foreign)
    assert ran.stdout.splitlines() == [
        "444455556666",
        "['AWS_CONFIG_FILE', 'AWS_EC2_METADATA_DISABLED', 'AWS_SHARED_CREDENTIALS_FILE']",
    ], ran.stderr


def test_run_passes_the_exit_code_on_and_ends_the_server(home):
    script = (
        f"import json; print(json.load(open({str(home / 'embedded' / 'server.json')!r}))['pid']); raise SystemExit(7)"
    )
    ran = call(home, "run", "--", sys.executable, "-c", script)
    assert ran.returncode == 7
    assert gone(int(ran.stdout), within=1)


def test_run_without_such_a_command_says_so(home):
    ran = call(home, "run", "--", "no-such-command")
    assert (ran.returncode, ran.stderr) == (1, "cannot run no-such-command: No such file or directory\n")


@pytest.mark.parametrize("leak", [False, True])
def test_a_killed_command_takes_server_and_jobs_along(home, leak):
    # leak: a child of the command that has inherited the lifeline outlives it, as a shell's background jobs do.
    script = textwrap.dedent(f"""
        import boto3, subprocess, sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from training_desk import Desk
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds={not leak})
        desk = Desk.open(boto3.Session(profile_name="fl-client-1"), "jobs")
        desk.start("import time; print('ready'); time.sleep(600)", name="fl-job")
        desk.says("fl-job", "ready")
        print(child.pid, flush=True)
        time.sleep(600)
    """)
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "run", "--", sys.executable, "-c", script]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        child = int(process.stdout.readline())
        server = server_of(home)
        jobs = psutil.Process(server.pid).children(recursive=True)
        assert len(jobs) == 3  # fork server, supervisor and script
        process.kill()
        assert all(gone(pid, within=1) for pid in [server.pid, *(job.pid for job in jobs)])
        assert psutil.pid_exists(child), "the child was to hold the lifeline"
        os.kill(child, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_number_of_clients_is_asked_for(home):
    call(home, "start")
    profiles = (home / "embedded" / "aws-config").read_text()
    assert [line for line in profiles.splitlines() if line.startswith("[")] == [
        "[profile fl-server]",
        "[profile fl-client-1]",
    ]
