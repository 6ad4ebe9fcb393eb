"""The whole federation where the kernel enforces the network: jobs without internet, Flower from their own wheels."""

import json
import os
import subprocess
import sys

import pytest

from embedded_aws.network import netns
from workshop import problems
from workshop.packing import wheelhouse

FRAUD = problems.load()

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from workshop import state
from workshop.aws import uploads
from workshop.lessons import rehearsal
from workshop.packing import bundle
from workshop.science import baselines
wheels = Path(sys.argv[1]) if sys.argv[1] else None
uploads.wheels = lambda: wheels
stage = rehearsal.connect_accounts(n_clients=2)
place, _ = rehearsal.stand(stage)
result, jobs = rehearsal.federate(stage, rounds=2)
rows = [baselines.ClientRows.read(state.home() / "data" / client.name, stage.problem) for client in stage.clients]
by_hand = baselines.federated_by_hand(rows, stage.problem, rounds=2)
print(json.dumps({
    "listens": place.listen, "dialled": place.address, "rounds": len(result.history),
    "difference": max(float(np.abs(a - b).max()) for a, b in zip(result.parameters, by_hand.parameters)),
}))
rehearsal.clean_up(stage)
"""


@pytest.fixture
def wheels():
    """With wheels where somebody wants to download them; without, Flower is the one that is installed."""
    return str(wheelhouse.build(wheelhouse.THIS)) if os.environ.get("WORKSHOP_DOWNLOADS") else ""


def test_a_federation_in_namespaces_equals_the_plain_loop(tmp_path, wheels):
    if missing := netns.missing():
        pytest.skip(f"no network namespaces here: {missing}")
    run = subprocess.run(
        [sys.executable, "-m", "embedded_aws", "--home", str(tmp_path), "--clients", "2", "--network", "namespaces",
         "run", "--", sys.executable, "-c", SCRIPT, wheels],
        env=os.environ | {"WORKSHOP_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["listens"] == told["dialled"]  # the address of the notebook instance is this process's own
    assert told["listens"].startswith("10.80.0.")
    assert told["rounds"] == 2
    assert told["difference"] < 1e-12
