"""Hospitals on embedded clusters: what runs bring, what disturbs them, and that nothing is left of them."""

import contextlib
import json
import os
import shutil
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml

from client_code import edition
from kubernetes import client
from workshop import state, tracking
from workshop.aws import blueprint, cleanup, deployment
from workshop.clusters import connect, emptying, launch, manifests
from workshop.clusters.agents import Agent
from workshop.errors import FederationError
from workshop.federation import events
from workshop.files import REPOSITORY
from workshop.lessons import hospitals, in_clusters, ward
from workshop.science import baselines
from workshop.tracking import record, runner

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
N = 3
TIMES = int(os.environ.get("TIMES", "3"))
ROUNDS = 30
TRAINING = {"max_iter": 1, "penalty": "l2", "seed": 0}


@pytest.fixture(scope="module")
def up(own_accounts):
    own_accounts(N)
    return hospitals.connect_hospitals(n_clients=N)


@pytest.fixture(scope="module")
def runs(up):
    return ward.Ward(up.connection, up.launcher, up.api, training=TRAINING)


@pytest.fixture(scope="module")
def calm(runs):
    return runs.lead(rounds=ROUNDS, quorum=N)


@pytest.mark.promise("G-07", "A run of agents gives the model of the plain loop, to 1e-12")
def test_a_run_gives_the_model_of_the_plain_loop(up):
    result = up.run(rounds=3)
    problem = hospitals.problems.load()
    clients = [baselines.ClientRows.read(state.home() / "data" / name, problem) for name in up.members.clients]
    plain = baselines.federated_by_hand(clients, problem, rounds=3, max_iter=10, penalty="l2", seed=0)
    for ours, theirs in zip(result.parameters, plain.parameters, strict=True):
        assert np.abs(ours - theirs).max() < 1e-12
    rows = {name: entry["train_rows"] for name, entry in state.load("data")[0]["clients"].items()}
    assert result.client_rows == rows
    assert all(in_clusters.models_kept(up.sessions.get, connect.agents(up.members), run=_last_run(up)).values())


def _last_run(up):
    bucket = up.connection["server_bucket"]
    # The launcher may read results, not list them: the owner can.
    listed = up.sessions["server"].client("s3").list_objects_v2(Bucket=bucket, Prefix="model/runs/")["Contents"]
    return max(listed, key=lambda entry: entry["LastModified"])["Key"].split("/")[2]


def test_the_roll_says_who_is_there_and_asks_nothing_else(up):
    roll = launch.roll_call(up.api, up.spec(join=20.0), image=up.connection["image"])
    assert roll["here"].all()
    assert set(roll["code"]) == {edition.of(REPOSITORY / "client_code")}
    rows = {name: entry["train_rows"] for name, entry in state.load("data")[0]["clients"].items()}
    assert roll["rows"].to_dict() == rows


@pytest.mark.promise("G-08", "Kill any pod at a random moment: the run finishes, with the same model bit by bit")
@pytest.mark.timeout(600)
def test_any_pod_may_be_killed_at_any_moment(runs, calm, figure):
    resumed, rng = 0, np.random.default_rng(7)
    for _ in range(TIMES):
        kinds = [runs.kill_run, *(partial(runs.kill_agent, agent.name) for agent in runs.agents)]
        kill = kinds[rng.integers(len(kinds))]
        moment = rng.uniform(0.0, 1.5)
        outcome = runs.lead(
            rounds=ROUNDS, quorum=N, after=1, do=lambda kill=kill, moment=moment: (time.sleep(moment), kill())
        )
        assert outcome.model == calm.model
        resumed += outcome.result.resumed > 0
    figure(f"{TIMES} of {TIMES}, {resumed} of them resumed from a checkpoint")


@pytest.mark.promise("G-09", "A node that is drained takes its agent away for a moment, and nothing from the model")
def test_a_drained_node_changes_nothing(runs, calm):
    outcome = runs.lead(rounds=ROUNDS, quorum=N, do=partial(runs.drain, runs.agents[0].name, seconds=0.5))
    assert outcome.model == calm.model


@pytest.mark.promise("G-10", "Without the policy that lets it out, an agent takes part in nothing; the others go on")
def test_a_policy_that_is_gone_closes_the_way(up, runs):
    first, *others = [agent.name for agent in runs.agents]
    with runs.without_policy(first, connect.folder(first)):
        outcome = runs.lead(rounds=2, quorum=N - 1, start_with=N - 1, join=3.0, round=2.0)
    assert set(outcome.result.client_rows) == set(others)
    again = runs.lead(rounds=2, quorum=N)
    assert len(again.result.client_rows) == N


@pytest.mark.promise("G-11", "A pod that has no role of an invited account is turned away, whatever cluster it is in")
def test_a_stranger_s_pod_is_turned_away(up, runs):
    """The agent's own image and settings, under a service account that nobody has given a role."""
    first = runs.agents[0].name
    folder = connect.folder(first)
    text = manifests.kubectl(first, ["kustomize", str(folder)])
    agent = next(each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment")
    agent["metadata"]["name"] = "stranger"
    labels = agent["spec"]["selector"]["matchLabels"]
    for where in (labels, agent["spec"]["template"]["metadata"]["labels"]):
        where["app.kubernetes.io/instance"] = "stranger"
    agent["spec"]["template"]["spec"]["serviceAccountName"] = "default"
    manifests.kubectl(first, ["scale", "deployment/agent", "--replicas=0"])
    manifests.kubectl(first, ["apply", "-f", "-"], given=json.dumps(agent))
    try:
        manifests.kubectl(first, ["rollout", "status", "deployment/stranger", "--timeout=60s"])
        outcome = runs.lead(rounds=2, quorum=N - 1, start_with=N - 1, join=4.0, round=2.0)
    finally:
        manifests.kubectl(first, ["delete", "deployment", "stranger"])
        manifests.kubectl(first, ["scale", "deployment/agent", "--replicas=1"])
        connect.wait_for_agent(first)
    assert first not in outcome.result.client_rows
    assert any("it declines: there are no AWS credentials here" in note for note in outcome.notes), outcome.notes


@pytest.mark.promise("G-12", "A run that too few hospitals join ends with its reason, once, and names who is missing")
def test_a_run_that_cannot_be_ends_with_its_reason(up, runs):
    spec = up.spec(rounds=2, join=2.0)
    spec = replace(spec, participants=(*spec.participants, Agent("nobody", "999999999999", "FL-agent")))
    launched = up.start(spec)
    with pytest.raises(FederationError, match="nobody did not join within 2 s") as error:
        launched.follow(deadline=60)
    assert "ended early" in str(error.value)
    job = launched.job()
    assert (job.status.failed, job.status.conditions[-1].reason) == (1, "PodFailurePolicy")
    launched.delete()


def test_events_of_a_run_come_as_they_happen(up):
    seen = []
    up.run(rounds=3, sinks=[seen.append])
    kinds = [type(event) for event in seen if not isinstance(event, events.Waiting | events.Gathering)]
    assert kinds.count(events.Joined) == N
    assert kinds.count(events.UpdateReceived) == 3 * N
    assert kinds[-1] is events.Finished


def test_a_run_in_a_process_of_its_own_is_a_job_and_leaves_none(up):
    request = runner.Request(tuple(up.members.clients), rounds=3, max_iter=2, tracker="none")
    told = runner.wait(runner.start(request), seconds=90)
    assert (told.status, list(told.history)) == ("finished", [1, 2, 3])
    assert set(told.who()["trains with"]) == {"penalty l2, solver lbfgs, max_iter 2, seed 0"}
    assert not client.BatchV1Api(up.api).list_namespaced_job("federation").items


def test_a_run_that_is_stopped_leaves_no_job(up):
    run = runner.start(runner.Request(tuple(up.members.clients), rounds=2000, max_iter=1, tracker="none"))
    give_up = time.monotonic() + 60
    while not (record.folder() / run / record.EVENTS).exists() or not tracking.read(run).history:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    runner.stop(run)
    with pytest.raises(FederationError, match=f"run {run} has ended early: stopped"):
        runner.wait(run, seconds=60)
    assert not client.BatchV1Api(up.api).list_namespaced_job("federation").items
    again = runner.Request(tuple(up.members.clients), rounds=1, tracker="none")
    assert runner.wait(runner.start(again), seconds=90).status == "finished"


@pytest.mark.promise("G-13", "A tear-down during a run empties every account, and a second one finds nothing to do")
@pytest.mark.timeout(600)
def test_a_tear_down_during_a_run_leaves_nothing_twice(up):
    launched = up.start(up.spec(rounds=2000, quorum=N))
    going_on = threading.Event()

    def follow():
        sink = lambda event: going_on.set() if isinstance(event, events.RoundFinished) else None  # noqa: E731
        with contextlib.suppress(FederationError):  # its Job is deleted under it
            launched.follow([sink], deadline=120)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert going_on.wait(60)
    emptied = emptying.empty(up.sessions)
    assert emptied.loc["server"].tolist() == [1, 1, 0, 1]
    cleanup.delete_all(up.sessions)
    assert cleanup.left_over(up.sessions).empty
    assert emptying.empty(up.sessions).empty
    assert cleanup.delete_all(up.sessions)["stacks"].sum() == 0
    assert cleanup.left_over(up.sessions).empty
    follower.join(60)
    assert not follower.is_alive()


@pytest.mark.promise("G-14", "A deployment that stopped half way is taken down as well")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("last", ["cluster", "nodes"])
def test_a_deployment_that_stopped_half_way_is_taken_down(own_accounts, last):
    sessions = own_accounts(1)
    members = deployment.meet(sessions, network="10.80.0.0/16", choices=hospitals.Choices(platform="kubernetes"))
    steps = [step.template for step in blueprint.KUBERNETES]
    deployment.deploy(members, blueprint.KUBERNETES.only(steps[: steps.index(last) + 1]))
    emptying.empty(sessions)
    cleanup.delete_all(sessions)
    assert cleanup.left_over(sessions).empty
