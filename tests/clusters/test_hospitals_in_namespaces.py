"""Hospitals where the kernel enforces the network: pods, load balancer and policies in namespaces of their own."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from embedded_aws.network import netns

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
SCRIPT = """
import json
import numpy as np
from workshop import problems, state
from workshop.clusters import connect
from workshop.lessons import hospitals, ward
from workshop.science import baselines
up = hospitals.connect_hospitals(n_clients=2)
training = {"max_iter": 10, "penalty": "l2", "seed": 0}
runs = ward.Ward(up.connection, up.launcher, up.api, training=training)
whole = runs.lead(rounds=2, quorum=2).result
first, second = (agent.name for agent in runs.agents)
with runs.without_policy(first, connect.folder(first)):
    without = runs.lead(rounds=2, quorum=1, start_with=1, join=3.0, round=2.0).result
rows = [baselines.ClientRows.read(state.home() / "data" / name, problems.load()) for name in (first, second)]
by_hand = baselines.federated_by_hand(rows, problems.load(), rounds=2, max_iter=10, penalty="l2", seed=0)
print(json.dumps({
    "whole": sorted(whole.client_rows), "without": sorted(without.client_rows),
    "difference": max(float(np.abs(a - b).max()) for a, b in zip(whole.parameters, by_hand.parameters)),
}))
hospitals.clean_up(up)
"""


@pytest.mark.promise("G-15", "Agents, load balancer and policies hold where the kernel enforces the network")
def test_hospitals_in_namespaces(tmp_path):
    if missing := netns.missing():
        pytest.skip(f"no network namespaces here: {missing}")
    run = subprocess.run(
        [sys.executable, "-m", "embedded_aws", "--home", str(tmp_path), "--clients", "2", "--network", "namespaces",
         "run", "--", sys.executable, "-c", SCRIPT],
        env=os.environ | {"WORKSHOP_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["whole"] == ["client-1", "client-2"]
    assert told["without"] == ["client-2"]
    assert told["difference"] < 1e-12
