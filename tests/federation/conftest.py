"""Accounts that are connected and hold their rows, on the session's embedded AWS."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from workshop.lessons import rehearsal


@pytest.fixture(scope="module")
def stage(aws):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(aws.home))
        connected = rehearsal.connect_accounts(n_clients=3, seed=0)
        yield connected
        rehearsal.clean_up(connected)


@pytest.fixture(scope="module")
def owners(serve_aws, tmp_path_factory):
    """Return a function that runs a command as one owner; each has a folder and a profile of its own."""
    process, aws = serve_aws(tmp_path_factory.mktemp("cloud"), n_clients=2)
    homes = {}
    for name in ("server", "client-1"):
        homes[name] = home = tmp_path_factory.mktemp(name)
        (home / "embedded").mkdir()
        profiles = aws.config.read_text().split("\n[")
        mine = [part for part in profiles if f"profile fl-{name}]" in part]
        (home / "embedded" / "aws-config").write_text("[" + mine[0].removeprefix("["))
        (home / "state.json").write_text(json.dumps({"target": {"name": "embedded", "clients": 1}}))

    def command(name, *arguments, code=0):
        run = subprocess.run(
            [sys.executable, "-m", "workshop", *map(str, arguments)], capture_output=True, text=True, timeout=120,
            env=os.environ | {"WORKSHOP_HOME": str(homes[name])}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert run.returncode == code, run.stdout + run.stderr
        return run.stdout + run.stderr

    command.homes, command.aws = homes, aws
    yield command
    process.terminate()
    process.wait(10)
    for home in homes.values():
        shutil.rmtree(home, ignore_errors=True)
