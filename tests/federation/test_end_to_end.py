"""Three accounts, three real jobs, one model: against the same loop in one process, and when a client is missing."""

import signal
import threading
import time

import numpy as np
import pytest

from client_code import schema
from workshop import federation, problems, state
from workshop.aws import cleanup, jobs, kickoff
from workshop.errors import FederationError, JobError
from workshop.federation.words import narrate
from workshop.lessons import rehearsal
from workshop.science import baselines

FRAUD = problems.load()


@pytest.fixture(scope="module")
def finished(stage):
    return rehearsal.federate(stage, rounds=3)


@pytest.fixture(scope="module")
def by_hand(stage):
    folder = state.home() / "data"
    rows = [baselines.ClientRows.read(folder / client.name, FRAUD) for client in stage.clients]
    return baselines.federated_by_hand(rows, FRAUD)


def test_the_federation_equals_the_plain_loop(finished, by_hand):
    result, _ = finished
    for ours, theirs in zip(result.parameters, by_hand.parameters, strict=True):
        # The same sums in the same order; a job is another process with the same single BLAS thread.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.scaler.mean, by_hand.scaler.mean, rtol=0, atol=1e-12)
    assert result.threshold == pytest.approx(by_hand.threshold, abs=1e-12)


def test_every_round_is_recorded_with_scores_seconds_and_bytes(finished):
    result, _ = finished
    assert [entry.round for entry in result.history] == [1, 2, 3]
    for entry in result.history:
        assert 0.5 < entry.roc_auc < 1
        assert 0 < entry.seconds < 60
        # 50 parameters x 8 bytes x 3 clients each way, and messages around them, but no row.
        assert 1200 < entry.bytes_up < 6000
        assert 1200 < entry.bytes_down < 6000


def test_every_job_completes_and_leaves_its_model_in_its_own_bucket(stage, finished):
    _, started = finished
    assert (jobs.table(started)["status"] == "Completed").all()
    for client, job in zip(stage.clients, started, strict=True):
        artefact = job.describe()["ModelArtifacts"]["S3ModelArtifacts"]
        assert artefact.startswith(f"s3://{client.bucket}/artefacts/{job.job_name}/")


def test_weights_are_real_rows_and_not_those_that_smote_made(finished):
    result, _ = finished
    rows = {
        name: len(schema.read_table(state.home() / "data" / name / "train.csv", FRAUD)) for name in result.client_rows
    }
    assert result.client_rows == rows


def test_a_client_that_never_comes_is_named_with_its_jobs_status(stage):
    place, certificates = rehearsal.stand(stage)
    elsewhere = f"{stage.server_host}:9999"  # a port that the networks keep shut
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    started[2].stop()
    lost = rehearsal.kick_off(stage, certificates=certificates, address=elsewhere)  # dials where nobody listens
    for job in lost[:2]:
        job.stop()
    with pytest.raises(FederationError) as error:
        rehearsal.lead(stage, [*started[:2], lost[2]], place=place, certificates=certificates, join=12)
    assert "client-3 did not join within 12 s" in str(error.value)
    assert f"job {lost[2].job_name}: InProgress" in str(error.value)
    assert "client-1 (account" not in str(error.value)
    _wait_until_stopped([*started, *lost])


def test_a_job_that_fails_before_it_joins_ends_the_wait_at_once(stage):
    place, certificates = rehearsal.stand(stage)
    client = stage.clients[0]
    request = kickoff.training_request(
        client, name=kickoff.job_name(client.name), image=rehearsal.IMAGE, server_address=place.address,
        ca_certificate=certificates.authority_hyperparameter(), penalty="l3",
    )  # fmt: skip
    job = kickoff.start(client, stage.sessions[client.name], request)
    began = time.monotonic()
    with pytest.raises(FederationError, match="client-1 ended before it joined") as error:
        rehearsal.lead(stage, [job], place=place, certificates=certificates, join=100)
    assert time.monotonic() - began < 60
    assert "Failed" in str(error.value)


def test_a_client_that_dies_in_round_2_is_named_and_the_others_are_stopped(stage, kill_job):
    place, certificates = rehearsal.stand(stage)
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    killed = threading.Event()

    def kill_client_2(message, history):
        if message.startswith("round 2 of 3: clients") and not killed.is_set():
            killed.set()
            kill_job(started[1].job_name)

    with pytest.raises(FederationError) as error:
        rehearsal.lead(stage, started, place=place, certificates=certificates, sinks=[narrate(kill_client_2)], quorum=3)
    assert killed.is_set()
    assert "round 2 of 3 has 2 usable answers and needs 3; client-2: no answer (its job has ended)" in str(error.value)
    assert "137" in str(error.value)  # SIGKILL, as the exit status of a container
    _wait_until_stopped(started)


def test_the_port_is_closed_and_signals_are_as_before_after_a_failure(stage):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    place, certificates = rehearsal.stand(stage)
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    for job in started:
        job.stop()
    with pytest.raises(FederationError):
        rehearsal.lead(stage, started, place=place, certificates=certificates, join=30)
    assert rehearsal.stand(stage)[0] == place
    assert {number: signal.getsignal(number) for number in before} == before
    _wait_until_stopped(started)


def test_an_aws_that_goes_away_ends_the_run_and_names_the_job(serve_aws, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    process, _ = serve_aws(tmp_path)
    try:
        alone = rehearsal.connect_accounts(n_clients=2)
        place, certificates = rehearsal.stand(alone)
        started = rehearsal.kick_off(alone, certificates=certificates, address=place.address)

        def pull_the_plug(message, history):
            if message.startswith("round 2 of 3: clients"):
                process.kill()
                process.wait()

        with pytest.raises((FederationError, JobError), match=r"client-[12]") as error:
            rehearsal.lead(
                alone,
                started,
                place=place,
                certificates=certificates,
                sinks=[narrate(pull_the_plug)],
                round=8,
            )
        assert "may still be running" in " ".join(error.value.__notes__)
    finally:
        process.kill()
        process.wait()


def test_an_interrupted_cell_stops_the_jobs_and_leaves_the_kernel_alive(stage):
    place, certificates = rehearsal.stand(stage)
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)

    def interrupt(message, history):
        if message.startswith("round 1 of 3 is done"):
            signal.raise_signal(signal.SIGINT)  # what Jupyter's stop button sends

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            rehearsal.lead(stage, started, place=place, certificates=certificates, sinks=[narrate(interrupt)])
    finally:
        signal.signal(signal.SIGINT, before)
    _wait_until_stopped(started)
    assert rehearsal.stand(stage)[0] == place


def test_a_job_that_nobody_expects_is_turned_away_and_the_others_go_on(stage):
    place, certificates = rehearsal.stand(stage)
    strangers = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    expected = rehearsal.kick_off(stage, certificates=certificates, address=place.address)

    def wait_for_strangers(message, history):
        if message.startswith("round 1"):
            jobs.wait(strangers, needed=0)

    result = rehearsal.lead(
        stage,
        expected,
        place=place,
        certificates=certificates,
        rounds=1,
        sinks=[narrate(wait_for_strangers)],
    )
    assert not result.history[0].left_out, result.notes
    assert set(result.client_rows) == {"client-1", "client-2", "client-3"}
    jobs.wait(expected)
    assert all(job.describe()["TrainingJobStatus"] == "Failed" for job in strangers)


@pytest.mark.promise("F-10", "A port that another program has taken is named before any job starts")
def test_a_port_that_is_taken_is_named():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FederationError, match=f"cannot listen at 127.0.0.1:{port}.*another program listens there"):
            federation.place("127.0.0.1", port)


def test_an_address_of_another_machine_is_named_where_nobody_forwards():
    with pytest.raises(FederationError, match=r"cannot listen at 192\.0\.2\.1:0 .*the server's notebook instance"):
        federation.place("192.0.2.1", forwarded=False)


def test_cleaning_up_twice_leaves_nothing_and_harms_nothing(stage, finished):
    del finished
    cleanup.delete_all(stage.sessions)
    again = cleanup.delete_all(stage.sessions)
    assert not again.to_numpy().any()
    assert cleanup.left_over(stage.sessions).empty


def _wait_until_stopped(started) -> None:
    give_up = time.monotonic() + 30
    while any(job.describe()["TrainingJobStatus"] not in jobs.FINISHED for job in started):
        assert time.monotonic() < give_up, "a job of a failed federation is still running"
        time.sleep(0.2)
