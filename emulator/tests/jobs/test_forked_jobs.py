"""Jobs are forked from a process that has imported the image's libraries: nobody should notice but the memory."""

import gzip
import os
import re
import subprocess
import sys
import time

import psutil
import pytest
from test_training_jobs import wheel

ONLY_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere every job is a new interpreter")

SCRIPTS = {
    "names": """
        import sys
        print(__name__, __file__, __package__, __spec__, sys.argv, sys.path[0])
        print(sorted(name for name in globals() if name != "sys"))
    """,
    "main module": """
        import __main__, inspect, pickle, sys
        class Thing:
            pass
        print(sys.modules["__main__"] is __main__, __main__.Thing is Thing)
        print(inspect.getsource(Thing), type(pickle.loads(pickle.dumps(Thing()))) is Thing)
    """,
    "an error": """
        def deep():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise ValueError("boom") from error
        deep()
    """,
    "a syntax error": "print(1\n",
    "a module that is not there": "import not_there\n",
    "an exit with a number": "import sys; print('so far'); sys.exit(7)\n",
    "an exit with words": "import sys; sys.exit('in words')\n",
    "an exit with nothing": "import sys; sys.exit()\n",
    "an exit in a thread": "import sys, threading; threading.Thread(target=sys.exit, args=[3]).start()\n",
    "an error in a thread": """
        import threading
        def fail():
            raise ValueError("boom")
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
    """,
    "an own hook": """
        import sys
        sys.excepthook = lambda kind, error, trace: print("hook:", error)
        raise ValueError("boom")
    """,
    "the end": """
        import atexit, threading, time
        atexit.register(print, "first registered")
        atexit.register(print, "last registered")
        threading.Thread(target=lambda: (time.sleep(0.2), print("a thread's end"))).start()
        print("the script's end")
    """,
    "an error at the end": """
        import atexit
        atexit.register(lambda: 1 / 0)
    """,
    "children": """
        import multiprocessing, os, subprocess, sys
        print(subprocess.run([sys.executable, "-c", "import os; print(os.environ['WORD'])"], capture_output=True,
                             env={**os.environ, "WORD": "said"}, text=True).stdout)
        def square(number):
            return number * number
        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    print(method, pool.map(square, [3]))
    """,
    "signals and streams": """
        import signal, sys
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
            print(number, signal.getsignal(number))
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []), repr(sys.stdin.read()), sys.stdout.isatty())
    """,
    "what is not yet imported": """
        import sys, threading
        print([name for name in ("forkserver", "embedded_aws", "workshop") if name in sys.modules])
        print(threading.active_count(), threading.current_thread().name)
    """,
}  # fmt: skip


def unindented(script):
    return "\n".join(line.removeprefix("        ") for line in script.strip("\n").splitlines()) + "\n"


def without_addresses(lines):
    return sorted(re.sub("0x[0-9a-f]+", "0x", line) for line in lines if line)


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_job_does_what_python_does(desk, name, tmp_path, what):
    script = unindented(SCRIPTS[what])
    (tmp_path / "train.py").write_text(script)
    python = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = (python.stdout + python.stderr).replace(str(tmp_path), "/opt/ml/code").splitlines()
    job = desk.run(script, name=name)
    assert without_addresses(desk.lines(name)) == without_addresses(said)
    assert (job["TrainingJobStatus"] == "Completed") == (python.returncode == 0)
    if python.returncode:
        assert job["FailureReason"].endswith(f"exit code: {python.returncode}")


def test_a_file_that_a_script_leaves_open_is_written(desk, name):
    script = "import gzip, os; file = gzip.open(os.environ['SM_MODEL_DIR'] + '/left.gz', 'wt'); file.write('whole')"
    job = desk.run(script, name=name)
    assert gzip.decompress(desk.artefact(job["ModelArtifacts"]["S3ModelArtifacts"])["left.gz"]) == b"whole"


def test_no_two_jobs_draw_the_same_numbers(desk, name):
    script = "import random, numpy, uuid; print(random.random(), numpy.random.random(), uuid.uuid4())"
    for number in (1, 2):
        desk.run(script, name=f"{name}-{number}")
    (one,), (other,) = (desk.lines(f"{name}-{number}") for number in (1, 2))
    assert not set(one.split()) & set(other.split())


def test_what_python_reads_when_it_starts_is_what_the_job_asks_for(desk, name):
    asked = {"PYTHONHASHSEED": "7", "LC_ALL": "C.UTF-8"}
    python = subprocess.run(
        [sys.executable, "-c", "print(hash('word'))"], env={**os.environ, **asked}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    desk.run("print(hash('word'))", name=name, Environment=asked)
    assert desk.lines(name) == [python.stdout.strip()]


def test_a_long_request_reaches_the_script_whole(desk, name):
    asked = {f"word-{number}": "x" * (2000 + number) for number in range(20)}
    desk.run("import sys; print(sum(map(len, sys.argv[2::2])))", name=name, HyperParameters=asked)
    assert desk.lines(name) == [str(sum(map(len, asked.values())))]


def test_a_library_that_a_bundle_brings_is_the_one_that_is_used(desk, name):
    files = {
        "requirements.txt": "--no-index\n--find-links wheels\npandas==0.0.1\n",
        "wheels/pandas-0.0.1-py3-none-any.whl": wheel("pandas", "0.0.1", "WORD = 'brought along'"),
    }
    desk.run("import pandas; print(pandas.WORD)", name=name, files=files)
    assert desk.lines(name) == ["brought along"]


def test_an_environment_in_which_no_python_starts_fails_the_job_and_no_other(desk, name):
    job = desk.run("print('never')", name=name, Environment={"PYTHONHOME": "/nowhere"})
    assert "no Python starts in the environment that the job asks for" in job["FailureReason"]
    assert desk.run("print('well')", name=f"{name}-next")["TrainingJobStatus"] == "Completed"


def fork_server(aws):
    (found,) = [one for one in psutil.Process(aws.pid).children() if "forkserver.py" in " ".join(one.cmdline())]
    return found


def test_a_fork_server_that_was_killed_is_replaced_and_its_jobs_go_on(desk, aws, name):
    script = "import pathlib, time\nprint('ready')\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)"
    desk.start(script, name=name)
    desk.says(name, "ready")
    fork_server(aws).kill()
    assert desk.run("print('well')", name=f"{name}-next")["TrainingJobStatus"] == "Completed"
    (aws.home / "embedded" / "jobs" / "000400040004" / name / "opt" / "ml" / "code" / "go").touch()
    assert desk.ended(name)["TrainingJobStatus"] == "Completed"


@ONLY_LINUX
def test_the_fork_server_has_one_thread(desk, aws, name):
    """A fork takes along the thread that forks, and what others have locked stays locked."""
    desk.run("", name=name)
    assert fork_server(aws).num_threads() == 1


@ONLY_LINUX
def test_jobs_share_what_they_import(desk, aws, name):
    script = """
import numpy, pandas, sklearn.linear_model, sys, time
print("ready")
sys.stdout.flush()
time.sleep(600)
"""
    desk.start(script, name=name)
    desk.says(name, "ready")
    family = psutil.Process(aws.pid).children(recursive=True)
    (job,) = [one for one in family if "python train.py" in " ".join(one.cmdline())]
    memory = job.memory_full_info()
    desk.sagemaker.stop_training_job(TrainingJobName=name)
    assert memory.rss > 100e6
    assert memory.uss < 20e6
    give_up = time.monotonic() + 5
    while job.is_running():
        assert time.monotonic() < give_up
        time.sleep(0.01)
