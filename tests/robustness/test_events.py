"""Events of a run, as its sinks see them: facts in order, in one thread, and never a client's fault."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from cohort import FRAUD, Cohort, Member

from client_code import task
from workshop.errors import FederationError
from workshop.federation import events, words


def run(rows, *sinks, member=(), **terms):
    cohort = Cohort(rows, member=member)
    cohort.join()
    result = cohort.run(sinks=sinks, **terms)
    cohort.leave()
    return result


def test_the_events_of_a_calm_run_tell_all_of_it_in_order(three):
    seen = []
    result = run(three, seen.append, rounds=2)
    facts = [event for event in seen if not isinstance(event, events.Waiting | events.Gathering)]
    assert tuple(facts) == result.events
    joined, rest = facts[:3], facts[3:]
    assert {event.client for event in joined} == three.clients.keys()
    assert all(isinstance(event, events.Joined) for event in joined)
    kinds = [type(event).__name__ for event in rest]
    one_round = ["RoundStarted", *["UpdateReceived"] * 3, "RoundFinished"]
    assert kinds == ["ScalerMade", *one_round, *one_round, "Finished"]
    assert [event.result for event in rest if isinstance(event, events.RoundFinished)] == list(result.history)
    assert result.notes == ()


def test_an_update_brings_what_the_client_measured_on_its_own_rows(three):
    seen = []
    result = run(three, seen.append, rounds=1)
    for event in (event for event in seen if isinstance(event, events.UpdateReceived)):
        data = three.clients[event.client]
        assert event.rows == len(data.real_features)
        # The client's round, done again here: the same model, scored by scikit-learn on rows of the same kind.
        features, held_out = (task.transform(part[0], result.scaler, FRAUD) for part in (data.train, data.validation))
        start = [np.zeros((1, features.shape[1])), np.zeros(1)]
        trained = task.fit(task.new_model(), start, features, data.train[1])
        expected = task.metrics(trained, (features, data.train[1]), (held_out, data.validation[1]), key=data.salt)
        assert set(event.metrics) == set(task.METRICS)
        seconds = event.metrics["training_seconds"]
        assert event.metrics == pytest.approx(expected | {"training_seconds": seconds}, rel=1e-12)
        assert 0 <= seconds <= event.seconds <= result.history[0].seconds
        assert event.bytes * 3 == result.history[0].bytes_up
        assert 0.5 < event.metrics["validation_auc"] <= 1


def test_what_clients_measured_is_a_table_by_round(three):
    result = run(three, rounds=2)
    for score in task.METRICS:
        table = result.measured(score)
        assert list(table.index) == [1, 2]
        assert set(table.columns) == three.clients.keys()
        for event in (event for event in result.events if isinstance(event, events.UpdateReceived)):
            assert table.loc[event.round, event.client] == event.metrics[score]
    assert replace(result, events=()).measured("validation_auc").empty


def test_scores_that_are_none_are_dropped_and_decide_nothing(three):
    class Boasting(Member):
        def fit(self, parameters, config):
            arrays, rows, _ = super().fit(parameters, config)
            return arrays, rows, {"training_loss": float("nan"), "validation_auc": "1", "other": 1.0}

    seen = []
    result = run(three, seen.append, member={"client-2": Boasting}, rounds=1)
    metrics = {event.client: event.metrics for event in seen if isinstance(event, events.UpdateReceived)}
    assert metrics["client-2"] == {}
    assert len(metrics["client-1"]) == len(task.METRICS)
    assert not result.history[0].left_out


def test_sinks_are_called_in_the_thread_of_the_run(three):
    threads = set()
    run(three, lambda event: threads.add(threading.get_ident()), rounds=1)
    assert threads == {threading.get_ident()}


def test_a_sink_that_fails_ends_the_run_and_is_held_against_no_client(three):
    def broken(event):
        if isinstance(event, events.UpdateReceived):
            raise ZeroDivisionError("a mistake of the sink's")

    cohort = Cohort(three)
    cohort.join()
    with pytest.raises(ZeroDivisionError):
        cohort.run(sinks=[broken])
    cohort.leave()


def test_a_client_tells_what_it_trains_with_and_nobody_believes_what_cannot_be(three):
    class Odd(Member):
        def introduction(self):
            return super().introduction() | {"penalty": "<b>l2</b>", "max_iter": "ten", "seed": -1}

    seen = []
    run(three, seen.append, member={"client-2": Odd}, rounds=1)
    told = {event.client: event.settings for event in seen if isinstance(event, events.Joined)}
    assert told["client-1"] == {"penalty": "l2", "solver": "lbfgs", "max_iter": 10, "seed": 0}
    assert told["client-2"] == {"solver": "lbfgs"}


def test_who_follows_hears_why_a_run_ended_early(three):
    def broken(event):
        seen.append(event)
        if isinstance(event, events.UpdateReceived):
            raise FederationError("no more of this")

    seen = []
    cohort = Cohort(three)
    cohort.join()
    with pytest.raises(FederationError):
        cohort.run(sinks=[broken])
    cohort.leave()
    assert seen[-1] == events.Ended("no more of this")


def test_an_event_is_read_as_it_was_written(three):
    seen = []
    run(three, seen.append, rounds=1)
    assert [events.from_json(events.to_json(event)) for event in seen] == seen


def test_every_kind_of_event_has_words_or_is_known_to_need_none():
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    silent = {events.Event, events.Started, events.Joined, events.RoundStarted, events.UpdateReceived}
    assert kinds - silent == words.STEPS.keys() | words.NOTES.keys()


def test_notes_come_with_the_next_step_and_once():
    said = []
    sink = words.narrate(lambda message, history: said.append(message))
    for _ in range(2):
        sink(events.TurnedAway("it did not say who it is"))
    sink(events.Finished(3))
    sink(events.Finished(3))
    turned_away = "a connection was turned away: it did not say who it is"
    assert said == [f"the model is finished; {turned_away}", "the model is finished"]
