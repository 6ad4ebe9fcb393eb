"""Runs led by a process of their own: asked for twice there is one, stopped there is none, and a record tells."""

import json
import time

import numpy as np
import psutil
import pytest

from client_code import task
from workshop import problems, state, tracking
from workshop.errors import FederationError, WorkshopError
from workshop.science import baselines, model
from workshop.tracking import record, registry, runner

FRAUD = problems.load()
pytestmark = pytest.mark.usefixtures("stage")


def asked(stage, **terms):
    return runner.Request(tuple(client.name for client in stage.clients), tracker="none", **terms)


def leaders(run):
    """Processes that lead a run."""
    return [each for each in psutil.process_iter(["cmdline"]) if (each.info["cmdline"] or [])[-2:] == ["lead", run]]


@pytest.mark.promise("F-25", "A run that was asked for twice is started once, and needs neither page nor kernel")
def test_a_run_in_its_own_process_gives_the_model_of_the_plain_loop(stage):
    run = runner.start(asked(stage, rounds=2, max_iter=4))
    assert runner.start(asked(stage, rounds=2, max_iter=4), run=run) == run
    seen = []
    told = runner.wait(run, seconds=90, tell=seen.append)
    assert told.status == "finished"
    assert not leaders(run) or _gone(run)
    assert [list(each.history) for each in seen][-1] == [1, 2]
    assert set(told.who()["trains with"]) == {"penalty l2, solver lbfgs, max_iter 4, seed 0"}
    version = registry.of_run("fraud", run)
    rows = [baselines.ClientRows.read(state.home() / "data" / client.name, FRAUD) for client in stage.clients]
    plain = baselines.federated_by_hand(rows, FRAUD, rounds=2, max_iter=4)
    scores = task.predict(plain.parameters, task.transform(stage.test[0], plain.scaler, FRAUD))
    pipeline = model.load(version.folder).pipeline
    ours = pipeline.predict_proba(_frame(stage.test[0]))[:, 1]
    assert np.abs(ours - scores).max() < 1e-12
    assert version.about["complete"]


def _frame(features):
    import pandas as pd

    return pd.DataFrame(features, columns=list(FRAUD.feature_names))


def _gone(run):
    give_up = time.monotonic() + 20
    while leaders(run) and time.monotonic() < give_up:
        time.sleep(0.05)
    return not leaders(run)


def test_a_run_that_is_stopped_says_so_and_leaves_no_job(stage):
    run = runner.start(asked(stage, rounds=2000, max_iter=1))
    with pytest.raises(FederationError, match=f"run {run} is going on: wait for its end, or stop it"):
        runner.start(asked(stage))
    began = time.monotonic()
    while not (record.folder() / run / record.EVENTS).exists() or not tracking.read(run).history:
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    runner.stop(run)
    with pytest.raises(FederationError, match=f"run {run} has ended early: "):
        runner.wait(run, seconds=60)
    assert tracking.read(run).status == "ended early"
    assert _gone(run)
    assert not [v for v in registry.versions("fraud") if v.run == run]
    # Nothing stands in the way of the next one.
    assert runner.wait(runner.start(asked(stage, rounds=1)), seconds=90).status == "finished"


def test_a_runner_that_is_killed_leaves_a_record_that_says_so(stage):
    run = runner.start(asked(stage, rounds=2000, max_iter=1))
    began = time.monotonic()
    while not (record.folder() / run / record.EVENTS).exists() or not tracking.read(run).history:
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    (leader,) = leaders(run)
    leader.kill()
    with pytest.raises(FederationError, match=f"run {run} was cut off; its log"):
        runner.wait(run, seconds=30)
    assert run not in runner.running()
    assert runner.wait(runner.start(asked(stage, rounds=1)), seconds=90).status == "finished"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rounds": 0}, "ROUNDS is 0"),
        ({"penalty": "l3"}, "penalty is 'l3': choose one of l2, l1, none"),
        ({"strategy": "FedBest"}, "strategy is 'FedBest': choose one of"),
        ({"strategy": "FedProx", "penalty": "l1"}, "not with l1"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"quorum": 9}, "QUORUM is 9"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_starts(stage, wrong, says):
    before = set(record.folder().iterdir())
    with pytest.raises(WorkshopError, match=says):
        runner.start(asked(stage, **wrong))
    assert set(record.folder().iterdir()) == before


def test_who_is_not_connected_cannot_be_invited(stage):
    with pytest.raises(FederationError, match="client-9: not connected; connected are client-1, client-2, client-3"):
        runner.start(runner.Request(("client-1", "client-9")))
    with pytest.raises(FederationError, match="nobody is invited"):
        runner.start(runner.Request(()))


def test_a_run_that_cannot_begin_says_why(stage, monkeypatch):
    (data,) = state.load("data")
    state.save(data={key: value for key, value in data.items() if key != "seed"} | {"clients": {}})
    try:
        run = runner.start(asked(stage))
        with pytest.raises(FederationError, match=f"run {run} has not begun: .*'seed'"):
            runner.wait(run, seconds=60)
    finally:
        state.save(data=data)
    assert run not in runner.running()
    assert json.loads((record.folder() / run / "request.json").read_text())["rounds"] == 3
