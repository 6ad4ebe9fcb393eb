"""One run of the federation: who leads it, and checkpoints of other versions."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from client_code import task
from workshop import federation, state
from workshop.errors import FederationError
from workshop.federation.checkpoints import Checkpoints, Progress
from workshop.federation.rounds import Round

pytestmark = pytest.mark.slow  # it starts processes
OTHER_KERNEL = """
import sys
from workshop import federation
federation.open_run("127.0.0.1", {"rounds": 3})
print("leads", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path / "home"))


@pytest.fixture
def other_kernel():
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_KERNEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "leads\n"
        yield process
        process.kill()


def test_while_one_kernel_leads_another_is_told_so_and_changes_nothing(other_kernel):
    before = (state.home() / "federation" / "run.json").read_text()
    with pytest.raises(FederationError, match=rf"another kernel leads .*\(process {other_kernel.pid}\).*nothing was"):
        federation.open_run("127.0.0.1", {"rounds": 4})
    assert (state.home() / "federation" / "run.json").read_text() == before


def test_a_kernel_that_was_killed_leads_no_longer(other_kernel):
    first = json.loads((state.home() / "federation" / "run.json").read_text())["id"]
    other_kernel.kill()
    other_kernel.wait()
    run = federation.open_run("127.0.0.1", {"rounds": 3})
    assert run.id == first
    assert federation.open_run("127.0.0.1", {"rounds": 3}).id == first  # the cell is run again
    run.finish()


def test_who_has_finished_leads_no_longer(tmp_path):
    federation.open_run("127.0.0.1", {"rounds": 3}).finish()
    done = subprocess.run([sys.executable, "-c", OTHER_KERNEL], input="", capture_output=True, text=True, timeout=60)
    assert done.stdout == "leads\n"


@pytest.mark.parametrize("content", ["null", "[]", '["id", "settings", "before"]', "{", '{"id": 3}'])
def test_a_note_of_the_run_that_is_none_begins_a_new_run(content):
    folder = state.home() / "federation"
    folder.mkdir()
    (folder / "run.json").write_text(content)
    run = federation.open_run("127.0.0.1", {"rounds": 3})
    assert (len(run.id), run.before) == (8, ())
    run.finish()


def progress():
    start = [np.zeros((1, 2)), np.zeros(1)]
    entry = Round(1, 0.8, 0.2, 0.4, 0.1, 10, 20, 3)
    return Progress(start, task.Scaler(np.zeros(2), np.ones(2)), {}, [entry])


def rewritten(about, change):
    """Write a checkpoint whose checksum is right and whose content is another version's."""
    content = about.to_bytes()
    with np.load(io.BytesIO(content)) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    known = json.loads(str(parts["about"]))
    change(known)
    file = io.BytesIO()
    np.savez(file, **parts | {"about": np.array(json.dumps(known))})
    return file.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(colour="blue"),
        lambda about: about.pop("faults"),
        lambda about: about.update(version=1),
        lambda about: about.pop("version"),
        lambda about: about["history"][0].update(colour="blue"),
        lambda about: about["history"][0].pop("clients"),
        lambda about: about.update(history=3),
    ],
)
def test_a_checkpoint_of_another_version_is_passed_over(tmp_path, change, caplog):
    checkpoints = Checkpoints(tmp_path, "run", settings="s")
    content = rewritten(replace(progress(), settings="s"), change)
    (tmp_path / f"round-0002-{hashlib.sha256(content).hexdigest()}.npz").write_bytes(content)
    assert checkpoints.latest() is None
    assert "is of another version" in caplog.text
    checkpoints.save(progress())
    assert len(checkpoints.latest().history) == 1
