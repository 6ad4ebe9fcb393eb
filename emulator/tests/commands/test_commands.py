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

SAY_PROFILES = """
import boto3, os
print(boto3.Session(profile_name="fl-client-1").client("sts").get_caller_identity()["Account"])
print(sorted(name for name in os.environ if name.startswith("AWS_")))
"""


def call(home, *arguments, **environment):
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "--clients", "1", *arguments]
    settings = {**os.environ, **environment}
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)


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


def test_stop_ends_the_server_and_spares_a_process_that_the_record_takes_for_it(home):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        call(home, "start")
        record = home / "embedded" / "server.json"
        server = server_of(home)
        record.write_text(record.read_text().replace(f'"pid": {server.pid}', f'"pid": {bystander.pid}'))
        assert call(home, "stop").stdout == "stopped\n"
        assert bystander.poll() is None
        assert gone(server.pid, within=2)
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_that_does_not_start_says_why(home):
    (home / "broken").mkdir()
    (home / "broken" / "moto.py").write_text("raise ImportError('half an installation')\n")
    failed = call(home, "start", PYTHONPATH=str(home / "broken"))
    assert failed.returncode == 1
    assert "ended with exit code 1" in failed.stderr
    assert "ImportError: half an installation" in failed.stderr


@pytest.mark.parametrize("command", [["start"], ["stop"], ["run", "--", "true"]])
@pytest.mark.parametrize("file", ["server.json", "aws-config", "lock", "server.log"])
def test_a_folder_in_the_place_of_a_file_is_named(home, file, command):
    (home / "embedded" / file).mkdir(parents=True)
    failed = call(home, *command)
    assert failed.returncode == 1
    assert failed.stderr == f"{home}/embedded/{file} is a folder, where the embedded AWS keeps a file: move it away\n"
    assert call(home, "status").returncode == 1
    (home / "embedded" / file).rmdir()


@pytest.mark.parametrize("place", ["", "embedded", "embedded/jobs"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, place):
    path = tmp_path / "home" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    failed = call(tmp_path / "home", "start")
    assert (failed.returncode, failed.stderr) == (
        1,
        f"{path} is no folder, where the embedded AWS keeps one: move it away\n",
    )


ODD = ["", "null", "3", "[]", '"x"', "{", '{"pid": 1', "{}", '{"port": 99999999, "pid": 1, "token": ""}', "\udcff"]


@pytest.mark.parametrize("text", ODD)
def test_an_odd_record_is_no_server_and_is_in_nobody_s_way(home, text):
    (home / "embedded").mkdir()
    (home / "embedded" / "server.json").write_text(text, errors="surrogateescape")
    status = call(home, "status")
    assert (status.returncode, status.stdout, status.stderr) == (1, "not running\n", "")
    stopped = call(home, "stop")
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "was not running\n", "")


@pytest.mark.parametrize("text", ["null", "{", None])
def test_a_server_whose_record_is_spoilt_can_be_ended(home, text):
    call(home, "start")
    server, record = server_of(home), home / "embedded" / "server.json"
    record.write_text(text) if text else record.unlink()
    status = call(home, "status")
    assert status.returncode == 1
    assert status.stdout.startswith(f"runs, does not answer (process {server.pid})")
    assert call(home, "stop").stdout == "stopped\n"
    assert gone(server.pid, within=1)


def test_a_lock_that_something_else_holds_is_named(home):
    import fcntl

    (home / "embedded").mkdir()
    with (home / "embedded" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["status"], ["stop"], ["start"]):
            failed = call(home, *command)
            assert failed.returncode == 1
            assert f"another process holds {home}/embedded/lock, and it is no embedded AWS" in failed.stderr


PATIENT_JOB = r"""
import boto3, sys
sys.path.insert(0, {tests!r})
from training_desk import Desk
desk = Desk.open(boto3.Session(profile_name="fl-client-1"), "jobs")
script = [
    "import subprocess, time",
    "subprocess.Popen(['sleep', '600'], start_new_session=True, cwd='/', env={{}})",
    "print('ready', flush=True)",
    "time.sleep(600)",
]
desk.start("\n".join(script), name="fl-job")
desk.says("fl-job", "ready")
"""


def start_with_a_job(home):
    """Start a server and a job whose script has left a process of another session; return server and all below it."""
    call(home, "start")
    server = server_of(home)
    config = str(home / "embedded" / "aws-config")
    files = {"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": config}
    script = PATIENT_JOB.format(tests=str(Path(__file__).parents[1]))
    subprocess.run([sys.executable, "-c", script], env={**os.environ, **files}, check=True, timeout=60)
    return server, psutil.Process(server.pid).children(recursive=True)


def test_a_stopped_server_is_told_as_such_and_ended_with_its_jobs(home):
    server, jobs = start_with_a_job(home)
    assert len(jobs) == 4  # fork server, supervisor, script, and what that has left
    os.kill(server.pid, signal.SIGSTOP)
    status = call(home, "status")
    assert (status.returncode, status.stderr) == (1, "")
    assert status.stdout.startswith(f"runs, does not answer (process {server.pid})")
    for command in (["start"], ["run", "--", "true"]):
        refused = call(home, *command)
        assert refused.returncode == 1
        assert (
            f"(process {server.pid}) and does not answer: `python -m embedded_aws --home {home} stop`" in refused.stderr
        )
    stopped = call(home, "stop")
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "stopped\n", "")
    assert gone(server.pid, within=0)
    assert all(gone(job.pid, within=0) for job in jobs)
    assert sorted(path.name for path in (home / "embedded").iterdir()) == ["lock", "server.log"]
    assert call(home, "start").returncode == 0


def test_a_deaf_server_is_killed_after_a_bound_with_its_jobs(home, monkeypatch):
    """Its threads hang, SIGTERM does nothing: as when it is stopped again and again."""
    from embedded_aws import control

    server, jobs = start_with_a_job(home)
    plain = psutil.Process.send_signal

    def deafened(process, number):
        plain(process, signal.SIGSTOP if number in (signal.SIGTERM, signal.SIGCONT) else number)

    monkeypatch.setattr(psutil.Process, "send_signal", deafened)
    before = time.monotonic()
    assert control.stop(control.Files(home), patience=1)
    assert time.monotonic() - before < 4
    assert gone(server.pid, within=0)
    assert all(gone(job.pid, within=0) for job in jobs)


STARTED = {
    "serve": ["-m", "embedded_aws", "--home", "{home}", "--clients", "1", "serve"],
    "the module": ["-m", "embedded_aws.server", "{home}", "1"],
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("how", STARTED)
def test_a_server_ends_with_the_process_that_started_it(home, how, number):
    """A test run that is killed, a terminal that is closed: nothing stays, jobs included."""
    command = [sys.executable, *(part.format(home=home) for part in STARTED[how])]
    starter = f"import subprocess, time; subprocess.Popen({command!r}, start_new_session=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", starter])
    try:
        give_up = time.monotonic() + 60
        while not (server := server_of(home)):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        process.send_signal(number)
        process.wait(10)
        assert gone(server.pid, within=2)
    finally:
        process.kill()
        process.wait()


def test_a_server_ends_with_its_lifeline_though_its_parent_lives(home):
    lifeline, kept = os.pipe()
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "--clients", "1", "serve"]
    process = subprocess.Popen([*command, "--lifeline", str(lifeline)], pass_fds=(lifeline,))
    os.close(lifeline)
    try:
        give_up = time.monotonic() + 60
        while not server_of(home):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        os.close(kept)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()


def test_a_started_server_stays(home):
    """`start` says so: it is for those who come back."""
    call(home, "start")  # that process is gone
    time.sleep(1.2)  # the server looks for its parent twice a second
    assert call(home, "status").returncode == 0


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
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from training_desk import Desk
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds={not leak})
        desk = Desk.open(boto3.Session(profile_name="fl-client-1"), "jobs")
        desk.start("import time; print('ready'); time.sleep(600)", name="fl-job")
        desk.says("fl-job", "ready")
        print(child.pid, flush=True)
        time.sleep(600)
    """)
    command = [sys.executable, "-m", "embedded_aws", "--home", str(home), "run", "--", sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
