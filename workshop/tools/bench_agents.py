"""Benchmark of warm agents: clusters up from nothing, runs from their start to the model, against the plain loop."""

from __future__ import annotations

import os
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from workshop import problems, state
from workshop.clusters import launch
from workshop.federation import FederationResult
from workshop.lessons import hospitals
from workshop.science import baselines
from workshop.tools.bench import Meter

ROUNDS = 3
RUNS = 5


def main() -> int:
    """Measure once, print the table. ``CLIENTS`` in the environment says how many hospitals there are."""
    n_clients = int(os.environ.get("CLIENTS") or 4)  # make exports it empty
    problem = problems.load()
    with Meter() as meter:
        began = time.perf_counter()
        stage = hospitals.connect_hospitals(n_clients=n_clients)
        connected = time.perf_counter() - began
        runs = [_run(stage, patience=60.0 + n_clients) for _ in range(RUNS + 1)]
        began = time.perf_counter()
        launch.roll_call(stage.api, stage.spec(), image=stage.connection["image"])
        called = time.perf_counter() - began
    rows = [baselines.ClientRows.read(state.home() / "data" / name, problem) for name in stage.members.clients]
    began = time.perf_counter()
    plain = baselines.federated_by_hand(rows, problem, rounds=ROUNDS, max_iter=10, penalty="l2", seed=0)
    loop = time.perf_counter() - began
    result = runs[-1][2]
    difference = max(float(np.abs(a - b).max()) for a, b in zip(result.parameters, plain.parameters, strict=True))
    warm = sorted(seconds for seconds, _, _ in runs[1:])
    rounds = sorted(second for _, seconds, _ in runs[1:] for second in seconds)
    table = Table(title=f"{n_clients} agents, {ROUNDS} rounds, TLS, embedded clusters")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for what, value in (
        ("from nothing to agents that wait, s", f"{connected:.1f}"),
        ("first run, from its start to the model, s", f"{runs[0][0]:.2f}"),
        (f"a warm run, median of {RUNS}, s", f"{warm[len(warm) // 2]:.2f}"),
        ("a round, median, s", f"{rounds[len(rounds) // 2]:.3f}"),
        ("a roll call, s", f"{called:.2f}"),
        ("the plain loop in one process, s", f"{loop:.2f}"),
        ("difference of parameters", f"{difference:.1e}"),
        ("peak memory of everything, MB", f"{meter.peak / 2**20:.0f}"),
    ):
        table.add_row(what, value)
    Console().print(table)
    hospitals.clean_up(stage)
    return 0


def _run(stage: hospitals.Hospitals, *, patience: float) -> tuple[float, list[float], FederationResult]:
    """Return the seconds from start to model, those of every round, and what the run has brought."""
    began = time.perf_counter()
    result = stage.run(rounds=ROUNDS, deadline=10 * patience, join=patience, round=patience)
    return time.perf_counter() - began, [record.seconds for record in result.history], result
