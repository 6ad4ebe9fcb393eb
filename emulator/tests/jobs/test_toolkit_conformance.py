"""The container contract against its original, the sagemaker-training toolkit, in a Python of its own.

``SAGEMAKER_TOOLKIT_PYTHON`` names that Python: its environment holds ``tests/jobs/toolkit-requirements.lock``,
which needs a C compiler and Linux, so that the kit itself does not depend on it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import psutil
import pytest
from test_training_jobs import wheel

from embedded_aws.jobs import contract

TOOLKIT = os.environ.get("SAGEMAKER_TOOLKIT_PYTHON")
pytestmark = pytest.mark.skipif(not TOOLKIT, reason="SAGEMAKER_TOOLKIT_PYTHON is not set: see this file's first lines")

DUMP = """
import json, os, sys
told = {"argv": sys.argv, "cwd": os.getcwd()}
told["env"] = {name: value for name, value in os.environ.items() if name.startswith(("SM_", "SAGEMAKER_REGION"))}
json.dump(told, open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w"))
"""
HYPERPARAMETERS = {
    "max-iter": "10",
    "penalty": "l2",
    "C": "0.5",
    "flag": "true",
    "nothing": "null",
    "quoted": '"text"',
    "empty": "",
    "list": "[1, 2]",
    "nested": '{"b": 1, "a": [2]}',
    "snake_case": "é",
    "server-address": "10.0.0.1:8080",
    "sagemaker_extra": "1",
    "sagemaker_container_log_level": "10",
    "sagemaker_region": '"us-east-1"',
    "sagemaker_job_name": '"told"',
}
MAY_DIFFER = {
    "SM_STUDIO_LOCAL_MODE": "a switch for the toolkit outside a container, set by this test",
}


@pytest.fixture(scope="module")
def both(desk, tmp_path_factory):
    """Return what one script sees under the toolkit and in the embedded AWS."""
    job = desk.run(DUMP, name="fl-conformance", HyperParameters=HYPERPARAMETERS)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    ours = json.loads(desk.artefact(job["ModelArtifacts"]["S3ModelArtifacts"])["told.json"])

    base = tmp_path_factory.mktemp("toolkit") / "opt" / "ml"
    for folder in ("input/config", "input/data/train", "model", "output/data", "code"):
        (base / folder).mkdir(parents=True)
    configuration = {
        "hyperparameters": job["HyperParameters"],
        "resourceconfig": contract.resource_config("ml.m5.large"),
        "inputdataconfig": contract.input_data_config(job["InputDataConfig"]),
    }
    for file, content in configuration.items():
        (base / "input" / "config" / f"{file}.json").write_text(json.dumps(content))
    credentials = desk.session.get_credentials()
    environment = {
        "PATH": os.environ["PATH"],
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_STUDIO_LOCAL_MODE": "true",
        "S3_ENDPOINT_URL": desk.s3.meta.endpoint_url,
        "AWS_ENDPOINT_URL": desk.s3.meta.endpoint_url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "TRAINING_JOB_NAME": "fl-conformance",
    }
    command = [TOOLKIT, "-m", "sagemaker_training.cli.train"]
    ran = subprocess.run(command, env=environment, cwd=base, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    theirs = json.loads((base / "model" / "told.json").read_text())
    return normalised(theirs, str(base)), normalised(ours, ours["cwd"].removesuffix("/code"))


NEIGHBOURS = {
    "src/train.py": """
import json, os, subprocess, sys
import helper, top
child = [sys.executable, "-c", "import top; print(top.__name__)"]
told = [helper.__file__, top.__file__, sys.path[:2], sys.argv, os.getcwd(), __file__]
told += [subprocess.run(child, cwd="/", capture_output=True, text=True).stdout]
json.dump(told, open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w"))
""",
    "src/helper.py": "",
    "top.py": "",
}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_script_in_a_folder_of_the_bundle_finds_the_modules_that_it_finds_under_the_toolkit(
    desk, name, tmp_path, fresh
):
    program = {"sagemaker_program": "src/train.py"}
    wheels = {"wheels/fl_brought-1.5-py3-none-any.whl": wheel("fl_brought", "1.5", "")} if fresh else {}
    job = desk.run(name=name, files={**NEIGHBOURS, **wheels}, HyperParameters=program)
    assert job["TrainingJobStatus"] == "Completed", job
    ours = json.loads(desk.artefact(job["ModelArtifacts"]["S3ModelArtifacts"])["told.json"])

    base = tmp_path / "opt" / "ml"
    for folder in ("input/config", "input/data/train", "model", "output/data", "code/src"):
        (base / folder).mkdir(parents=True)
    for file, content in NEIGHBOURS.items():
        (base / "code" / file).write_text(content)
    where = {"sagemaker_submit_directory": str(base / "code"), "sagemaker_region": "us-east-1"}
    configuration = {
        "hyperparameters": {**program, **where},
        "resourceconfig": contract.resource_config("ml.m5.large"),
        "inputdataconfig": {},
    }
    for file, content in configuration.items():
        (base / "input" / "config" / f"{file}.json").write_text(json.dumps(content))
    environment = {"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(base), "SM_STUDIO_LOCAL_MODE": "true"}
    command = [TOOLKIT, "-m", "sagemaker_training.cli.train"]
    ran = subprocess.run(command, env=environment, cwd=base, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    theirs = normalised(json.loads((base / "model" / "told.json").read_text()), str(base))
    ours = normalised(ours, ours[4].removesuffix("/code"))
    # Behind the script's folder: the bundle's, where the toolkit has its own `bin` between the two.
    ours_path, theirs_path = ours.pop(2), theirs.pop(2)
    assert ours_path[0] == theirs_path[0] == "/opt/ml/code/src"
    assert ours == theirs


STAND_IN = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as server:
    server.sendall(b"here")
    word = server.recv(10)
open(os.path.join(os.environ["SM_MODEL_DIR"], "model"), "wb").write(word)
"""


def test_a_signal_to_the_container_s_first_process_does_not_reach_the_script_and_the_server_s_word_does(tmp_path):
    """In a process namespace of its own the toolkit is process 1, as in a container; SIGTERM comes from outside."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs to be root, to make a process namespace (unshare)")
    base = tmp_path / "opt" / "ml"
    for folder in ("input/config", "input/data/train", "model", "output/data", "code"):
        (base / folder).mkdir(parents=True)
    (base / "code" / "train.py").write_text(STAND_IN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        configuration = {
            "hyperparameters": {
                "sagemaker_program": "train.py", "sagemaker_region": "us-east-1", "port": str(server.getsockname()[1]),
                "sagemaker_submit_directory": str(base / "code"),
            },
            "resourceconfig": contract.resource_config("ml.m5.large"), "inputdataconfig": {},
        }  # fmt: skip
        for file, content in configuration.items():
            (base / "input" / "config" / f"{file}.json").write_text(json.dumps(content))
        environment = {"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(base), "SM_STUDIO_LOCAL_MODE": "true"}
        command = ["unshare", "--pid", "--fork", "--kill-child", TOOLKIT, "-m", "sagemaker_training.cli.train"]
        with (tmp_path / "log").open("wb") as log:
            container = subprocess.Popen(command, env=environment, cwd=base, stdout=log, stderr=log)
        try:
            server.settimeout(60)
            connection, _ = server.accept()
            assert connection.recv(10) == b"here"
            (first,) = psutil.Process(container.pid).children()
            first.send_signal(signal.SIGTERM)
            time.sleep(1)
            assert first.is_running()
            assert "heard" not in (tmp_path / "log").read_text()
            connection.sendall(b"saved")
            assert container.wait(30) == 0, (tmp_path / "log").read_text()
        finally:
            container.kill()
            container.wait()
    assert (base / "model" / "model").read_bytes() == b"saved"


def normalised(told, base):
    """Call the base folder what it is in a container, in values and inside JSON."""
    return json.loads(json.dumps(told).replace(base, "/opt/ml"))


def test_the_arguments_are_the_toolkit_s(both):
    theirs, ours = both
    assert ours["argv"] == theirs["argv"]


def test_the_variables_are_the_toolkit_s(both):
    theirs, ours = both
    assert set(theirs["env"]) - set(MAY_DIFFER) == set(ours["env"]) - set(MAY_DIFFER)


def test_the_values_are_the_toolkit_s(both):
    theirs, ours = both
    compared = {name: (ours["env"].get(name), value) for name, value in theirs["env"].items() if name not in MAY_DIFFER}
    assert {name: pair for name, pair in compared.items() if pair[0] != pair[1]} == {}
