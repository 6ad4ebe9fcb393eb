"""Clients that are slow, gone, late, silent or too many, and a server that comes back: every wait has an end."""

import threading
import time

import numpy as np
import pytest
from cohort import Cohort, Member, wait_until

from workshop.errors import FederationError, JobError
from workshop.federation import endings, participants
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.seats import Seat


def slow_in(*rounds, seconds):
    """Return a member class whose training takes long in some rounds."""

    class Slow(Member):
        def fit(self, parameters, config):
            if config["round"] in rounds:
                time.sleep(seconds)
            return super().fit(parameters, config)

    return Slow


def dies_in(server_round, after=0.0):
    """Return a member class whose code fails in a round, after so many seconds of it."""

    class Dying(Member):
        def fit(self, parameters, config):
            if config["round"] == server_round:
                time.sleep(after)
                raise ValueError("the cell holds 8675309")
            return super().fit(parameters, config)

    return Dying


@pytest.mark.promise("F-05", "A slow client is left out of the round and welcome in the next")
def test_a_slow_client_is_left_out_of_the_round_and_welcome_in_the_next(three, figure):
    cohort = Cohort(three, member={"client-3": slow_in(2, seconds=4)}, patience=20)
    cohort.join()
    result = cohort.run(rounds=4, round=2.5)
    assert [entry.clients for entry in result.history] == [3, 2, 3, 3]
    assert result.history[1].left_out == {"client-3": "no answer (too slow)"}
    assert 2.5 <= result.history[1].seconds < 7.5
    cohort.leave()
    assert cohort.jobs["client-3"].outcome == "Completed"
    figure(f"a deadline of 2.5 s closed the round after {result.history[1].seconds:.1f} s")


@pytest.mark.promise("F-02", "A client whose code fails is noticed at once; its exception's text stays at home")
def test_a_client_that_dies_is_noticed_at_once_and_the_others_go_on(three, figure):
    cohort = Cohort(three, member={"client-2": dies_in(2)})
    cohort.join()
    result = cohort.run(rounds=3, round=60)
    assert [entry.clients for entry in result.history] == [3, 2, 2]
    assert result.history[1].left_out == {"client-2": "no answer (its job has ended)"}
    assert result.history[1].seconds < 5
    assert not any("8675309" in line for line in (*result.notes, *cohort.lines))
    figure(f"its round took {result.history[1].seconds:.1f} s")


@pytest.mark.promise("F-02", "Below the quorum the run ends and names everybody who is missing")
def test_below_the_quorum_the_run_ends_and_names_who_is_missing(three):
    cohort = Cohort(three, member={"client-2": dies_in(2, after=2), "client-3": dies_in(2, after=2)})
    cohort.join()
    started = time.monotonic()
    with pytest.raises(FederationError, match="round 2 of 3 has 1 usable answers and needs 2") as error:
        cohort.run(rounds=3, round=60)
    assert time.monotonic() - started < 15
    for name, account in (("client-2", f"{2:012d}"), ("client-3", f"{3:012d}")):
        assert f"{name}: no answer (its job has ended)" in str(error.value)
        assert f"{name} (account {account}), job fl-{name}-0-1: Failed" in str(error.value)
    assert "client-1" not in str(error.value)


def test_who_is_not_waited_for_any_longer_is_not_called_slow(three):
    cohort = Cohort(
        three, member={"client-1": slow_in(2, seconds=8), "client-2": dies_in(2), "client-3": dies_in(2)}, patience=1
    )
    cohort.join()
    with pytest.raises(FederationError, match="round 2 of 3 has 0 usable answers and needs 2") as error:
        cohort.run(rounds=3, round=60)
    assert "client-1: no answer (not waited for, as too few others can answer)" in str(error.value)
    assert "client-1 (account" not in str(error.value)


@pytest.mark.promise("F-02", "A client that never comes ends the wait at the deadline, by name")
def test_a_client_that_never_comes_ends_the_wait_at_the_deadline(three):
    cohort = Cohort(three)
    cohort.join("client-1", "client-2")
    started = time.monotonic()
    with pytest.raises(FederationError, match="client-3 did not join within 3 s"):
        cohort.run(join=3)
    assert 3 <= time.monotonic() - started < 8
    assert any("2 of 3 clients are here; waiting for client-3" in line for line in cohort.lines)


def test_with_leave_to_start_without_it_the_others_do(three):
    cohort = Cohort(three)
    cohort.join("client-1", "client-2")
    result = cohort.run(join=3, start_with=2)
    assert [entry.clients for entry in result.history] == [2, 2, 2]
    assert result.history[0].left_out == {"client-3": "no answer (not connected)"}
    assert sum(entry.seconds for entry in result.history) < 5  # nobody waits again for who has not come


@pytest.mark.promise("F-05", "Who comes late takes part from then on")
def test_who_comes_late_takes_part_from_then_on(three):
    cohort = Cohort(three, patience=20, member={"client-1": slow_in(2, seconds=2)})
    cohort.join("client-1", "client-2")
    late = threading.Timer(4.0, cohort.join, args=["client-3"])
    late.start()
    result = cohort.run(rounds=4, join=3, start_with=2, round=30)
    assert result.history[0].clients == 2
    assert result.history[-1].clients == 3
    assert "client-3" in result.client_rows


@pytest.mark.promise("F-02", "The whole has a deadline too")
def test_the_whole_has_a_deadline_too(three, tmp_path):
    cohort = Cohort(three, member={"client-1": slow_in(2, 3, 4, 5, seconds=2)}, patience=8)
    cohort.join()
    started = time.monotonic()
    with pytest.raises(
        FederationError,
        match=r"not done after 5 s.*of 9 rounds are; raise DEADLINE, run the notebook again; it carries on after",
    ):
        cohort.run(rounds=9, whole=5, quorum=1, checkpoints=Checkpoints(tmp_path, "x"))
    assert time.monotonic() - started < 12


@pytest.mark.promise("T-02", "An account takes part once, also with valid credentials")
def test_a_second_process_with_the_same_credentials_does_not_take_the_first_one_s_seat(three):
    twins = Cohort(three, patience=3)
    twins.join()

    def second(message, history):
        if message.startswith("round 1 of 9 is done"):
            twins.join("client-2")
        if message.startswith("round 9 of 9: "):
            wait_until(lambda: any("takes part already" in line for line in twins.told), seconds=10)

    twins.told = []
    result = twins.run(
        rounds=9, progress=lambda message, history: (twins.told.append(message), second(message, history))
    )
    assert all(entry.clients == 3 for entry in result.history)
    assert "a connection was turned away: client-2 takes part already" in result.notes


@pytest.mark.promise("F-03", "A client that comes before the server waits for it")
def test_a_client_waits_for_a_server_that_comes_later(three):
    cohort = Cohort(three, patience=20)
    cohort.join()
    time.sleep(1.5)
    assert len(cohort.run(rounds=1).history) == 1


@pytest.mark.promise("F-03", "A server that was away finds its clients again")
def test_a_server_that_was_away_finds_its_clients_again_and_carries_on_where_it_was(three, tmp_path):
    whole = Cohort(three)
    whole.join()
    undisturbed = whole.run(rounds=4)

    cohort, checkpoints = Cohort(three, patience=20), Checkpoints(tmp_path, "run")
    cohort.join()

    class Killed(BaseException):
        pass

    def kill(message, history):
        if message.startswith("round 3 of 4: "):
            raise Killed

    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("workshop.federation.seats._dismiss", lambda proxy: proxy.bridge.close())  # no time for good-bye
        cohort.run(rounds=4, checkpoints=checkpoints, progress=kill)
    assert len(checkpoints.latest().history) == 2
    result = cohort.run(rounds=4, checkpoints=checkpoints)
    assert result.resumed == 2
    for ours, theirs in zip(result.parameters, undisturbed.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # bit by bit
    assert [entry.roc_auc for entry in result.history] == [entry.roc_auc for entry in undisturbed.history]
    cohort.leave()
    assert {job.outcome for job in cohort.jobs.values()} == {"Completed"}


@pytest.mark.parametrize("strategy", ["FedAvgM", "FedAdam", "FedYogi"])
@pytest.mark.promise("F-03", "What FedAvgM, FedAdam and FedYogi remember survives a restart, bit by bit")
def test_what_a_strategy_remembers_survives_too(three, tmp_path, strategy):
    def run(checkpoints, rounds):
        cohort = Cohort(three)
        cohort.join()
        result = cohort.run(rounds=rounds, strategy=strategy, checkpoints=checkpoints)
        cohort.leave()
        return result

    undisturbed = run(None, 3)
    run(Checkpoints(tmp_path, "run"), 2)
    resumed = run(Checkpoints(tmp_path, "run"), 3)
    assert resumed.resumed == 2
    for ours, theirs in zip(resumed.parameters, undisturbed.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.promise("F-02", "An account that says nothing holds up neither the end of a run nor the others' jobs")
def test_an_account_that_says_nothing_holds_up_nobody(three, monkeypatch):
    cohort, released = Cohort(three), threading.Event()
    monkeypatch.setattr(endings, "ANSWER", 0.5)
    silent, *others = cohort.jobs.values()
    stopped = []
    for job in cohort.jobs.values():
        monkeypatch.setattr(job, "stop", lambda job=job: stopped.append(job.job_name))
    for name in ("status", "stop"):
        monkeypatch.setattr(silent, name, lambda: released.wait(60))
    started = time.monotonic()
    error = endings.early([Seat(job, missed=True) for job in cohort.jobs.values()], "everybody is missing")
    assert f"client-1 (account {1:012d}), job fl-client-1-0-1: no answer" in str(error)
    assert all(participants.report(job) in str(error) for job in others)
    with pytest.raises(JobError, match=r"job fl-client-1-0-1: no answer$"):
        participants.stop_all(list(cohort.jobs.values()), seconds=0.5)
    assert sorted(stopped) == [job.job_name for job in others]
    assert time.monotonic() - started < 5
    released.set()


def other_labels(data):
    return data._replace(train=(data.train[0], 1 - data.train[1]))


@pytest.mark.promise("F-03", "Rows or labels that changed since a run was cut off begin it again")
@pytest.mark.parametrize("change", [lambda data: data._replace(real_features=data.real_features[1:]), other_labels])
def test_rows_that_changed_since_the_run_was_cut_off_begin_it_again(three, tmp_path, change):
    first = Cohort(three)
    first.join()
    first.run(rounds=2, checkpoints=Checkpoints(tmp_path, "run"))

    class Changed(Member):
        def __init__(self, model, data, **more):
            super().__init__(model, change(data), **more)

    second = Cohort(three, member={"client-1": Changed})
    second.join()
    result = second.run(rounds=3, checkpoints=Checkpoints(tmp_path, "run"))
    assert result.resumed == 0
    assert len(result.history) == 3
    assert any("rows have changed" in line for line in result.notes)
