"""MLflow gets what the record says, to the last digit; one that is away, slow or killed costs the run nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from cohort import FRAUD, Cohort, wait_until
from made_records import finished, made_up
from test_records import begin, recorded_run

from workshop import tracking
from workshop.errors import MissingStep, WorkshopError
from workshop.federation import events
from workshop.files import REPOSITORY
from workshop.science import model
from workshop.tracking import page, record, registry, sending, sheets

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    for name, value in sending.CALM.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def held(uri, run, problem="fraud"):
    """What MLflow holds of a run: by whom, its run and every metric's history as {round: value}."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(problem).experiment_id
    found = client.search_runs([experiment], f"tags.`federation.run` = '{run}'")
    assert len({each.data.tags["who"] for each in found}) == len(found), "a run is there twice"
    return {
        each.data.tags["who"]: (
            each,
            {
                name: [(point.step, point.value) for point in client.get_metric_history(each.info.run_id, name)]
                for name in each.data.metrics
            },
        )
        for each in found
    }


def as_recorded(uri, run):
    """Compare what MLflow holds with the record."""
    there = held(uri, run)
    for sheet in sheets.sheets(tracking.read(run)):
        each, metrics = there.pop(sheet.who)
        assert each.data.params == sheet.parameters
        assert sheet.tags.items() <= each.data.tags.items()
        assert (each.data.tags.get("mlflow.parentRunId") is None) == (sheet.who == sheets.SERVER)
        expected = {}
        for number, (_, values) in sheet.points.items():
            for name, value in values.items():
                expected.setdefault(name, []).append((number, value))
        assert {name: sorted(points) for name, points in metrics.items()} == expected
    assert not there


@pytest.mark.promise("F-21", "A tracker shows what the record says, to the last digit, sent once or twice")
def test_mlflow_holds_what_the_record_says(three, home):
    recorded_run(three, rounds=3)
    assert "3 rounds of 3 clients" in sending.send("abcd1234")
    uri = sending.store()
    as_recorded(uri, "abcd1234")
    parent, _ = held(uri, "abcd1234")["server"]
    assert parent.info.status == "FINISHED"
    sending.send("abcd1234")
    as_recorded(uri, "abcd1234")
    from mlflow import MlflowClient

    files = {each.path for each in MlflowClient(tracking_uri=uri).list_artifacts(parent.info.run_id)}
    assert files == {"run.json", "events.jsonl"}


def test_a_run_that_carries_on_is_one_run_of_the_tracker(home):
    folder = made_up(home, "r1", events.Joined("a", rows=10), finished(1), events.Ended("too few"))
    sending.send("r1")
    assert held(sending.store(), "r1")["server"][0].info.status == "FAILED"
    writing = record.Record(folder)
    for event in (events.Started(), events.Joined("a", rows=10), finished(2), events.Finished(2)):
        writing(event)
    writing.close()
    sending.send("r1")
    as_recorded(sending.store(), "r1")
    assert held(sending.store(), "r1")["server"][0].info.status == "FINISHED"


def test_the_process_beside_a_run_sends_it_and_ends(three):
    cohort = Cohort(three)
    writing = begin(cohort, rounds=2)
    tracking.follow("abcd1234")
    cohort.join()
    cohort.run(sinks=[writing], rounds=2)
    cohort.leave()
    writing.close()
    assert tracking.sent("abcd1234") == "run abcd1234 is in the tracker (here): 2 rounds of 3 clients"
    as_recorded(sending.store(), "abcd1234")


@pytest.mark.promise("F-22", "A tracker that is killed in round 2 neither slows nor ends a run; the run is sent later")
def test_a_tracker_that_is_killed_in_round_2(three, home):
    made_up(home, "before", finished(1), events.Finished(1))
    sending.send("before")  # so that there is a database to serve
    cohort = Cohort(three)
    writing = begin(cohort, rounds=4)
    with page.server() as uri:
        sender = subprocess.Popen(
            [sys.executable, "-c", f"from workshop.tracking.sending import send\n"
             f"print(send('abcd1234', {uri!r}, wait=True))"],
            cwd=REPOSITORY, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

        def in_round_2(event):
            if isinstance(event, events.RoundFinished) and event.round == 1:
                wait_until(lambda: _there(uri), seconds=60)  # round 1 is in the tracker
            if isinstance(event, events.RoundStarted) and event.round == 2:
                os.kill(served(), signal.SIGKILL)

        cohort.join()
        result = cohort.run(sinks=[writing, in_round_2], rounds=4)
        cohort.leave()
        writing.close()
        said = sender.communicate(timeout=60)[0]
    assert len(result.history) == len(tracking.read("abcd1234").history) == 4
    assert said.count("tried again when the run is over") <= 1
    assert "does not take run abcd1234" in said or "cannot be opened" in said
    sending.send("abcd1234")  # into what that server has served
    as_recorded(sending.store(), "abcd1234")


def served():
    """The process of the tracker that this one has started."""
    (server,) = [each for each in psutil.Process().children() if "uvicorn" in each.cmdline()]
    return server.pid


def _there(uri):
    try:
        return bool(held(uri, "abcd1234")["server"][1].get("Test:AUC"))
    except (AttributeError, KeyError):
        return False


def test_a_tracker_that_is_away_is_told_in_a_line_and_how_to_send_later(home):
    made_up(home, "r1", finished(1), events.Finished(1))
    tracking.follow("r1", f"http://127.0.0.1:{page.free_port()}")
    line = tracking.sent("r1")
    assert line.startswith("WorkshopError: the tracker http://127.0.0.1:")
    assert line.endswith("; `fl track send r1` sends it later")


def test_a_tracker_that_never_answers_is_given_up(home, monkeypatch):
    made_up(home, "r1", finished(1), events.Finished(1))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(WorkshopError, match="does not take run r1"):
            sending.send("r1", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 30


def test_the_page_shows_the_run(home):
    import urllib.request

    made_up(home, "r1", finished(1), events.Finished(1))
    with pytest.raises(MissingStep, match="fl track send"), page.server():
        pass
    sending.send("r1")
    with page.server() as address, urllib.request.urlopen(address) as answer:  # noqa: S310 (loopback)
        assert b"mlflow" in answer.read().lower()
        with urllib.request.urlopen(f"{address}/ajax-api/3.0/mlflow/ui-telemetry") as told:  # noqa: S310 (loopback)
            assert json.load(told)["disable_ui_telemetry"] is True
    wait_until(lambda: not page._answers(address))


def test_mlflow_s_registry_holds_the_version_and_what_it_is_called(three, home):
    from mlflow import MlflowClient, pyfunc, set_tracking_uri

    uri = sending.store()
    for run, rounds in (("aaaa1111", 2), ("bbbb2222", 1)):
        result = recorded_run(three, run, rounds=rounds)
        about = {"run": run, "source": "synthetic", "seed": 0, "test": "t"}
        folder = home / "model"
        model.save(folder, result.parameters, result.scaler, FRAUD, threshold=result.threshold, about=about)
        version = registry.register(folder, FRAUD)
        if run == "aaaa1111":
            registry.promote(version, because="the first")
        for _ in range(2):  # twice does no harm
            sending.send(run)
    client = MlflowClient(tracking_uri=uri)
    champion, challenger = (client.get_model_version_by_alias("fraud", name) for name in ("champion", "challenger"))
    assert (champion.tags["federation.run"], challenger.tags["federation.run"]) == ("aaaa1111", "bbbb2222")
    assert len(client.search_model_versions("name = 'fraud'")) == 2
    assert f"from a probability of {result.threshold:.4g} on" in challenger.description
    set_tracking_uri(uri)
    stored = pyfunc.load_model("models:/fraud@challenger")
    assert stored.metadata.signature.inputs.input_names() == list(FRAUD.feature_names)
    row = model.example(version.folder)
    assert stored.predict(row).tolist() == model.load(version.folder).pipeline.predict_proba(row).tolist()
    parent, _ = held(uri, "aaaa1111")["server"]
    assert (parent.info.status, parent.info.end_time) == ("FINISHED", int(tracking.read("aaaa1111").ended * 1000))


def test_sagemaker_experiments_holds_what_the_record_says(home, monkeypatch):
    """Against moto itself: the embedded AWS serves no Experiments."""
    import boto3
    from moto import mock_aws

    for name, value in {
        "ACCESS_KEY_ID": "testing",
        "SECRET_ACCESS_KEY": "testing",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    joined = events.Joined("a client", "abcdefabcdef", 10, {"penalty": "l2", "max_iter": 4})
    up = events.UpdateReceived(1, "a client", 10, {"training_loss": 0.123456789, "validation_auc": 0.8}, 0.5, 7)
    made_up(home, "r1", joined, up, finished(1), events.Ended("too few"))
    with mock_aws():
        for _ in range(2):
            sending.send("r1", "experiments")
        client = boto3.client("sagemaker")
        (trial,) = client.list_trials()["TrialSummaries"]
        assert trial["TrialName"] == "federation-fraud-r1"
        listed = {each["TrialComponentName"] for each in client.list_trial_components()["TrialComponentSummaries"]}
        assert listed == {"federation-fraud-r1-server", "federation-fraud-r1-a-client"}
        parent, child = sheets.sheets(tracking.read("r1"))
        for sheet, name in ((parent, "federation-fraud-r1-server"), (child, "federation-fraud-r1-a-client")):
            there = client.describe_trial_component(TrialComponentName=name)
            values = {key: each["StringValue"] for key, each in there["Parameters"].items()}
            assert values == {**sheet.parameters, **sheet.tags}
            assert {each["MetricName"]: (each["Count"], each["Last"]) for each in there["Metrics"]} == {
                key: (1, value) for key, value in sheet.points[1][1].items()
            }
            assert there["Status"] == {"PrimaryStatus": "Failed", "Message": "too few"}


def test_experiments_without_a_region_say_so(home, monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "none"))
    made_up(home, "r1", finished(1), events.Finished(1))
    with pytest.raises(WorkshopError, match="SageMaker Experiments cannot be reached: You must specify a region"):
        sending.send("r1", "experiments")
