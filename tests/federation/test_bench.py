"""The benchmark runs as `make bench` starts it, and measures a federation that computes the right thing."""

import os
import re
import subprocess
import sys

MAKE_EXPORTS = ("DATA", "CLIENTS", "ROUNDS", "SEED")  # empty unless they are asked for


def test_the_benchmark_runs_without_options(tmp_path):
    python = [sys.executable, "-m"]
    command = [*python, "embedded_aws", "--home", str(tmp_path), "run", "--", *python, "workshop", "bench"]
    environment = {**os.environ, **dict.fromkeys(MAKE_EXPORTS, ""), "COLUMNS": "120"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = dict(re.findall(r"│ +([^│]+?) +│ +([^│ ]+) +│", run.stdout))
    assert "3 clients, 3 rounds, TLS" in run.stdout
    assert float(figures["difference of parameters"]) <= 1e-12
    assert 300 < int(figures["peak memory, MB"]) < 800
    assert {"a round: gate", "a round: TLS", "the start: TLS", "the start: proofs"} <= figures.keys()
