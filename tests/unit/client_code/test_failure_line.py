"""What a failed job tells the server's account: its failure line and its log's end name no place of this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it starts processes
ROOT = Path(__file__).parents[3]
SERVER = ["--server-address", "127.0.0.1:9", "--ca-certificate", "MII=", "--join-deadline", "0.1", "--bucket", "b"]
# What spoils a job: arguments, where {} is its folder, and words of the line.
CASES = {
    "no channel": ([], "channel train is missing"),
    "no table": (["--train", "{}/empty"], "channel empty, train_balanced.csv"),
    "a folder for a table": (["--train", "{}/folders"], "there is no such file"),
    "a file for a channel": (["--train", "{}/stamp.csv"], "there is no such file"),
    "a stamp and nothing else": (["--train", "{}/stamped"], "a stamp and nothing else"),
    "a channel whose name is too long": (["--train", "x" * 5000], ""),
    "a channel elsewhere": (["--train", "{}/empty/../stamped"], "a stamp and nothing else"),
}
# Runs every case in one process: importing Flower takes longer than all of them.
RUN = """
import json, sys, types
from pathlib import Path
import client
for name, arguments in json.load(open(sys.argv[1])).items():
    print(f"== {name}", flush=True)
    sys.stderr.flush()
    assert client.main(arguments) == 1
    print(f"-- {Path('failure').read_text()}", flush=True)
print("== the model's folder")
client.task.build_pipeline = lambda *_: None
try:
    client.save(str(Path.cwd() / "stamp.csv"), (), types.SimpleNamespace(encoding=None))
except Exception as error:
    print(f"-- {error if isinstance(error, client.JobError) else type(error).__name__}")
print("== what nobody foresees")
client.problems.load = lambda path: (_ for _ in ()).throw(OSError(2, "No such file", str(path)))
client.main(["--train", str(Path.cwd()), *json.loads(sys.argv[2])])
print(f"-- {Path('failure').read_text()}", flush=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return, by case, what the job has printed and its failure line."""
    folder = tmp_path_factory.mktemp("machine")
    shutil.copytree(ROOT / "client_code", folder / "code", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "problems" / "fraud.toml", folder / "code" / "problem.toml")
    (folder / "empty").mkdir()
    (folder / "stamp.csv").write_text("# a stamp\n")
    (folder / "folders" / "train_balanced.csv").mkdir(parents=True)
    (folder / "stamped").mkdir()
    shutil.copy(folder / "stamp.csv", folder / "stamped" / "train_balanced.csv")
    cases = {name: [*SERVER, *(word.format(folder) for word in words)] for name, (words, _) in CASES.items()}
    (folder / "cases.json").write_text(json.dumps(cases))
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "cases.json"), json.dumps(SERVER)],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        env=os.environ
        | {"PYTHONPATH": str(folder / "code"), "SM_OUTPUT_DIR": str(folder), "SM_MODEL_DIR": str(folder / "model")},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    parts = [part.partition("\n")[::2] for part in run.stdout.split("== ")[1:]]
    return folder, {name: (said, said.rpartition("-- ")[2]) for name, said in parts}


@pytest.mark.parametrize("case", [*CASES, "the model's folder", "what nobody foresees"])
def test_neither_the_failure_line_nor_the_log_names_a_place_of_this_machine(told, case):
    folder, cases = told
    said, line = cases[case]
    assert line.strip()
    assert CASES.get(case, ("", ""))[1] in line
    assert str(folder) not in said
    assert str(ROOT) not in said
    assert not re.search(r"(?<![\w:.])/\w[\w.-]*/", said)  # nor any other absolute path


def test_what_nobody_foresees_is_told_with_file_and_line_alone(told):
    _, cases = told
    assert re.fullmatch(r"unforeseen FileNotFoundError in <string>, line \d+\s*", cases["what nobody foresees"][1])
