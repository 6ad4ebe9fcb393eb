"""Benchmark of warm agents: clusters up from nothing, runs from their start to the model, against the plain loop."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from workshop import problems, state, tracking
from workshop.clusters import launch
from workshop.federation import FederationResult
from workshop.lessons import hospitals
from workshop.science import baselines
from workshop.tools.bench import Meter

ROUNDS = 3
RUNS = 5
TRACKED_ROUNDS, PAIRS = 20, 7


@dataclass(frozen=True)
class Measured:
    """Seconds, but for what says otherwise."""

    connected: float  # from nothing to agents that wait
    first: float  # the first run, from its start to the model
    warm: float  # any later one, the median
    round: float  # the median
    called: float  # a roll call
    loop: float  # the same federation as a plain loop in one process
    difference: float  # of its parameters and the run's, the largest
    tracked: float  # a warm run of TRACKED_ROUNDS that is recorded and sent to a tracker, over one that is neither
    beside: float  # megabytes of the process that will send it, while the run goes on
    sender: float  # and at its peak, when the run is over
    standing: float  # megabytes of everything that waits, this process included
    megabytes: float  # of everything at its peak, a run's pod included


WORDS = {
    "connected": "from nothing to agents that wait, s",
    "first": "first run, from its start to the model, s",
    "warm": f"a warm run, median of {RUNS}, s",
    "round": "a round, median, s",
    "called": "a roll call, s",
    "loop": "the plain loop in one process, s",
    "difference": "difference of parameters",
    "tracked": f"a run of {TRACKED_ROUNDS} rounds with record and tracker over one without, median of {PAIRS}",
    "beside": "memory of the process that will send it, beside the run, MB",
    "sender": "its peak when the run is over, MB",
    "standing": "memory of everything that waits, MB",
    "megabytes": "peak memory of everything, MB",
}


def main(as_json: bool = False) -> int:
    """Measure once, print what was measured. ``CLIENTS`` in the environment says how many hospitals there are."""
    n_clients = int(os.environ.get("CLIENTS") or 4)  # make exports it empty
    measured = asdict(measure(n_clients))
    if as_json:
        print(json.dumps(measured))
        return 0
    table = Table(title=f"{n_clients} agents, {ROUNDS} rounds, TLS, embedded clusters")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for name, value in measured.items():
        table.add_row(WORDS[name], f"{value:.3g}" if value < 1000 else f"{value:.0f}")
    Console().print(table)
    return 0


def measure(n_clients: int) -> Measured:
    """Bring hospitals up, lead runs, take all of it down again."""
    problem = problems.load()
    with Meter() as meter:
        began = time.perf_counter()
        stage = hospitals.connect_hospitals(n_clients=n_clients)
        connected = time.perf_counter() - began
        time.sleep(2.0)
        standing = meter.now / 2**20
        runs = [_run(stage, patience=60.0 + n_clients) for _ in range(RUNS + 1)]
        began = time.perf_counter()
        launch.roll_call(stage.api, stage.spec(), image=stage.connection["image"])
        called = time.perf_counter() - began
        peak = meter.peak
        tracked, beside, sender = _tracked(stage)
    rows = [baselines.ClientRows.read(state.home() / "data" / name, problem) for name in stage.members.clients]
    began = time.perf_counter()
    plain = baselines.federated_by_hand(rows, problem, rounds=ROUNDS, max_iter=10, penalty="l2", seed=0)
    loop = time.perf_counter() - began
    pairs = zip(runs[-1][2].parameters, plain.parameters, strict=True)
    hospitals.clean_up(stage)
    return Measured(
        connected=connected, first=runs[0][0], warm=median(seconds for seconds, _, _ in runs[1:]),
        round=median(second for _, seconds, _ in runs[1:] for second in seconds), called=called, loop=loop,
        difference=max(float(np.abs(a - b).max()) for a, b in pairs), standing=standing, megabytes=peak / 2**20,
        tracked=tracked, beside=beside, sender=sender,
    )  # fmt: skip


def _run(stage: hospitals.Hospitals, *, patience: float) -> tuple[float, list[float], FederationResult]:
    """Return the seconds from start to model, those of every round, and what the run has brought."""
    began = time.perf_counter()
    result = stage.run(rounds=ROUNDS, deadline=10 * patience, join=patience, round=patience)
    return time.perf_counter() - began, [record.seconds for record in result.history], result


def _tracked(stage: hospitals.Hospitals) -> tuple[float, float, float]:
    """Return how much longer a run takes that is recorded and sent; the sender's megabytes beside it, and after."""
    ratios, beside, most = [], 0, 0
    for _ in range(PAIRS):
        seconds = []
        for with_tracker in (False, True):
            began, run = time.perf_counter(), launch.new_id()
            sinks = [_record(stage, run)] if with_tracker else []
            stage.run(run=run, rounds=TRACKED_ROUNDS, sinks=sinks)
            seconds.append(time.perf_counter() - began)
            for record in sinks:
                beside = max(beside, *(_resident(child) for child in _senders(run)), 0)
                record.close()
                most = max(most, _memory_of_sender(run))
        ratios.append(seconds[1] / seconds[0])
    return median(ratios), beside / 2**20, most / 2**20


def _record(stage: hospitals.Hospitals, run: str) -> tracking.Record:
    spec = stage.spec(run=run, rounds=TRACKED_ROUNDS)
    terms = spec.agreed().checked(len(spec.participants))
    given = {"training": spec.training, "terms": terms, "data": {}}
    record = tracking.begin(run, problem=problems.load(), participants=spec.participants, **given)
    tracking.follow(run)
    return record


def _memory_of_sender(run: str) -> int:
    """Return the bytes that the process which sends a run has at its peak; wait until it has ended."""
    most = 0
    while senders := _senders(run):
        for sender in senders:
            most = max(most, _resident(sender))
            with contextlib.suppress(psutil.Error):
                sender.wait(0.02)
    return most


def _senders(run: str) -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if run in _command(child)]


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
