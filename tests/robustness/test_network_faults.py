"""Cut, silent, lossy and slow cables: clients are processes, gRPC and TLS are real, and so is what the kernel drops."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from cohort import Rows, wait_until
from flwr.common import FitIns
from flwr.common import ndarrays_to_parameters as pack
from flwr.common.serde import fit_ins_to_proto
from wires import SERVER, Wired, Wires, missing

from client_code import schema
from workshop.errors import FederationError

VICTIM = "client-2"
ROUNDS = 3
CUTS = {"unplugged": Wires.down, "not heard": Wires.mute, "not hearing": Wires.deaf}
DEADLINE = 8  # seconds for a round in which a client is away for longer
NOTICED = 25  # seconds: the server has given the connection up before
AWAY = 11  # seconds: longer than a round, shorter than two


@dataclass
class Outcome:
    """How a federation ended."""

    result: object = None
    error: FederationError | None = None
    seconds: float = 0.0  # since the trouble began
    evidence: int = 0  # packets that were dropped or had to wait


def in_round_2(cut, *, seconds=None, **terms):
    """Return a scenario in whose second round a client's cable is cut, for some seconds or for good."""

    def scenario(federation):
        outcome, began = Outcome(), []
        with contextlib.ExitStack() as trouble:
            mend = threading.Timer(seconds or 0, trouble.close)

            def progress(message, history):
                federation.lines.append(message)
                if message.startswith("round 2 of") and not began:
                    began.append(time.monotonic())
                    trouble.enter_context(cut(federation.wires, VICTIM))
                    if seconds:
                        mend.start()

            try:
                outcome.result = federation.run(progress, rounds=ROUNDS, **terms)
            except FederationError as error:
                outcome.error = error
            outcome.seconds = time.monotonic() - began[0]
            mend.cancel()
        return outcome

    return scenario


def throughout(trouble, evidence):
    """Return a scenario with bad cables from the first packet on."""

    def scenario(federation):
        with contextlib.ExitStack() as troubles:
            for name in federation.jobs:
                troubles.enter_context(trouble(federation.wires, name))
            result = federation.run(rounds=ROUNDS)
            return Outcome(result, evidence=sum(evidence(federation.wires, name) for name in federation.jobs))

    return scenario


# The longest first: while they wait, the others have the processors.
SCENARIOS = {
    **{(cut, seconds): in_round_2(CUTS[cut], seconds=seconds) for seconds in (30, 5) for cut in CUTS},
    **{("needed", seconds): in_round_2(Wires.down, round=seconds, quorum=3) for seconds in (NOTICED, DEADLINE)},
    "away for good": in_round_2(Wires.down, round=DEADLINE),
    "away for a while": in_round_2(Wires.down, seconds=AWAY, round=AWAY - 1),
    "lossy": throughout(lambda wires, name: wires.lossy(name, 5), Wires.dropped),
    "slow": throughout(lambda wires, name: wires.slow(name, "1mbit"), Wires.delayed),
}


@pytest.fixture(scope="module")
def wired(tmp_path_factory):
    """Return a function that makes a federation over cables."""
    if lacking := missing():
        pytest.skip(lacking)
    data = tmp_path_factory.mktemp("rows")
    rows = Rows.make(data, 3)
    return lambda: Wired(rows, data=data, home=tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module")
def undisturbed(wired):
    """Return a run on good cables: the federation, its result, and what passed on the first client's cable."""
    with wired() as federation:
        with federation.wires.tapped("client-1") as tap:
            federation.join()
            result = federation.run(rounds=ROUNDS)
            federation.leave()
        yield federation, result, tap


@pytest.fixture(scope="module")
def outcomes(wired):
    """Run every scenario at the same time, each in a world of its own; return what will have come of them."""
    with contextlib.ExitStack() as stack:
        federations = {name: stack.enter_context(wired()) for name in SCENARIOS}
        pool = stack.enter_context(ThreadPoolExecutor(len(SCENARIOS)))
        futures = {}
        for name, federation in federations.items():
            stack.callback(federation.end)  # before the pool waits for its threads
            futures[name] = pool.submit(SCENARIOS[name], federation)
            federation.join()
            # One after the other: all at once would hold up each other.
            wait_until(
                lambda federation=federation: any("every client is here" in line for line in federation.lines),
                seconds=60,
            )
        yield lambda name: (federations[name], futures[name].result(timeout=150))


def same(result, undisturbed):
    """Return whether two models are the same bit by bit."""
    ours, theirs = [*result.parameters, *result.scaler], [*undisturbed.parameters, *undisturbed.scaler]
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("seconds", [5, 30])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.promise("F-04", "A link that is cut for 5 or 30 s, both ways or one, changes nothing but the time")
def test_a_cable_that_is_cut_in_a_round_changes_nothing_but_the_time(outcomes, undisturbed, cut, seconds):
    federation, outcome = outcomes((cut, seconds))
    assert outcome.error is None
    assert [entry.clients for entry in outcome.result.history] == [3, 3, 3]
    assert seconds <= outcome.result.history[1].seconds < seconds + 12
    assert same(outcome.result, undisturbed[1])
    federation.leave()
    assert {job.describe()["TrainingJobStatus"] for job in federation.jobs.values()} == {"Completed"}


@pytest.mark.promise("F-04", "A client that is away for longer than a round is left out")
def test_a_client_that_is_away_for_longer_than_a_round_is_left_out_and_the_others_go_on(outcomes):
    _, outcome = outcomes("away for good")
    assert [entry.clients for entry in outcome.result.history] == [3, 2, 2]
    assert [entry.left_out for entry in outcome.result.history[1:]] == [
        {VICTIM: "no answer (too slow)"},
        {VICTIM: "no answer (not connected)"},
    ]
    assert DEADLINE <= outcome.result.history[1].seconds < DEADLINE + 5
    assert outcome.seconds < 2 * DEADLINE + 10


@pytest.mark.parametrize("deadline", [DEADLINE, NOTICED])
@pytest.mark.promise("F-04", "If all are needed, the run ends soon after the deadline and names who is away")
def test_if_all_are_needed_it_ends_soon_after_the_deadline_and_names_who_is_away(outcomes, deadline):
    _, outcome = outcomes(("needed", deadline))
    assert f"round 2 of 3 has 2 usable answers and needs 3; {VICTIM}: no answer" in str(outcome.error)
    assert deadline <= outcome.seconds < deadline + 5


def test_a_client_that_comes_back_is_welcome_in_the_next_round(outcomes):
    federation, outcome = outcomes("away for a while")
    assert [entry.clients for entry in outcome.result.history] == [3, 2, 3]
    federation.leave()


@pytest.mark.parametrize("trouble", ["lossy", "slow"])
@pytest.mark.promise("F-04", "5 % loss or 1 Mbit/s change nothing either")
def test_bad_cables_change_nothing_either(outcomes, undisturbed, trouble):
    _, outcome = outcomes(trouble)
    assert outcome.evidence > 0
    assert [entry.clients for entry in outcome.result.history] == [3, 3, 3]
    assert same(outcome.result, undisturbed[1])


def found(tap, secrets):
    """Count secrets in what a tap has heard, in the streams and in the frames as they are."""
    heard = [*tap.streams().values(), b"".join(tap.frames)]
    return {name: sum(stream.count(secret) for stream in heard) for name, secret in secrets.items()}


@pytest.mark.promise("T-05", "Who listens on the cable learns no number of the model and no name")
def test_who_listens_on_the_cable_learns_no_number_and_no_name(undisturbed):
    federation, result, tap = undisturbed
    numbers = np.concatenate([array.ravel() for array in (*result.parameters, *result.scaler)])
    secrets = {f"number {n}": number.tobytes() for n, number in enumerate(numbers) if number not in (0, 1)}
    secrets |= {name: name.encode() for name in (*schema.FEATURES, *(job.name for job in federation.jobs.values()))}
    assert len(secrets) > 2 * 49
    heard = sum(map(len, tap.streams().values()))
    assert heard > sum(entry.bytes_down + entry.bytes_up for entry in result.history) / 3
    assert not any(found(tap, secrets).values())

    names = {"features": " ".join(schema.FEATURES), "jobs": " ".join(job.name for job in federation.jobs.values())}
    message = fit_ins_to_proto(FitIns(pack([*result.parameters, *result.scaler]), names)).SerializeToString()
    with federation.wires.tapped("client-1") as tap:
        send(federation.wires, message)
    assert all(found(tap, secrets).values())


def send(wires, message):
    """Send a message over the first client's cable as it is."""
    with wires.server.call(lambda: socket.create_server((SERVER, 0))) as server:
        address = server.getsockname()
        with wires.clients["client-1"].call(lambda: socket.create_connection(address)) as client:
            receiver, _ = server.accept()
            with receiver:
                receiver.sendall(message)
                receiver.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass
    time.sleep(0.3)  # the tap reads what the kernel has kept for it
